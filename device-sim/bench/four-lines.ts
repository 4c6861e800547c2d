// What a reading costs a gateway as it ships (`make build`) with four RS-485 lines of 32 meters each: processor time for
// each signed record, with all that goes with it (two reads, guard, signature, commit, relay to a ledger), and memory.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { printFigure } from '../../protocol/bench/figure.ts'
import { freePorts, Program } from '../src/demo/programs.ts'
import { fetchStatus } from '../src/demo/status.ts'
import { readCpuMs } from '../test/process-cpu.ts'
import { measureIdleNode, readMemory } from '../test/process-memory.ts'
import { startLines, timeReads } from './serial-lines.ts'

const [lineCount, metersEach, baudRate] = [4, 32, 19_200]
const intervalSeconds = 5
const settleMs = 15_000
const measureMs = 30_000
const profile = 'eastron-sdm630'
const host = '127.0.0.1'

const folder = mkdtempSync(join(tmpdir(), 'wattline-bench-'))
const [mqtt = 0, web = 0] = await freePorts(2)
const write = (name: string, content: object): string => {
  const path = join(folder, name)
  writeFileSync(path, stringify({ version: 1, ...content }))
  return path
}
const lines = Array.from({ length: lineCount }, (_, at) => ({ id: `line-${at}`, path: join(folder, `tty${at}`) }))
const meters = lines.flatMap(({ id: line }) =>
  Array.from({ length: metersEach }, (_, at) => ({ id: `${line}-m${at + 1}`, line, unitId: at + 1 })),
)
const gatewayConfig = write('gateway.yaml', {
  gateway: { id: 'gw-1', dataDir: './gateway' },
  buses: lines.map(({ id, path }) => ({ id, serial: { path, baudRate, parity: 'none', stopBits: 1 } })),
  meters: meters.map(({ id, line, unitId }) => ({ id, bus: line, unitId, profile, role: 'producer', intervalSeconds })),
  mqtt: { url: `mqtt://${host}:${mqtt}` },
  web: { host, port: web },
})
const ledgerConfig = write('ledger.yaml', {
  ledger: { dataDir: './ledger', enrolment: 'open' },
  mqtt: { embedded: { host, port: mqtt } },
})

async function countRecords(): Promise<number> {
  const status = await fetchStatus(`http://${host}:${web}`)
  if (status === undefined) throw new Error('the gateway does not tell its status')
  return status.points.reduce((sum, { lastSigned }) => sum + (lastSigned?.sequence ?? 0), 0)
}

/** Processor time of modbus-serial for the same two reads, with nothing done with them. */
async function measurePlainReads(path: string): Promise<number> {
  const blocks = [
    [0x48, 4],
    [0x34, 2],
  ] as const
  const rounds = 100
  const orders = { client: 'modbus-serial', path, baudRate, unitId: 1, functionCode: 4, blocks, rounds } as const
  return (await timeReads(orders)).cpuUs / rounds
}

const programs: Program[] = []
try {
  const idleMb = await measureIdleNode()
  programs.push(
    await startLines(folder, {
      lines: lines.map((line) => ({ ...line, baudRate })),
      meters: meters.map((meter, seed) => ({ ...meter, seed, profile, curve: 'solar' })),
    }),
  )
  const plainUs = await measurePlainReads(lines[0]?.path ?? '')
  const ledger = new Program('ledger', ['--config', ledgerConfig])
  programs.push(ledger)
  await ledger.event('ledger.started')
  const gateway = new Program('gateway', ['--config', gatewayConfig], 'built')
  programs.push(gateway)
  await gateway.event('gateway.started')
  await sleep(settleMs)
  const before = { records: await countRecords(), cpuMs: readCpuMs(gateway.pid) }
  await sleep(measureMs)
  const after = { records: await countRecords(), cpuMs: readCpuMs(gateway.pid) }
  printFigure({
    name: 'cpu-per-reading-4-lines-of-32-meters',
    value: (1000 * (after.cpuMs - before.cpuMs)) / (after.records - before.records),
    unit: 'µs',
    comparedWith: 'modbus-serial for the same reads, nothing signed or stored',
    reference: plainUs,
  })
  printFigure({
    name: 'gateway-rss-4-lines-of-32-meters',
    value: readMemory(gateway.pid)?.residentMb ?? Number.NaN,
    unit: 'MB',
    comparedWith: 'a Node that does nothing',
    reference: idleMb,
    promise: 'at most 120 MB',
  })
} finally {
  for (const program of programs.toReversed()) await program.stop()
  rmSync(folder, { recursive: true })
}
