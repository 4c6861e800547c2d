import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parseOcmfText } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { stringify } from 'yaml'
import { freePorts, Program, runCommand } from '../src/demo/programs.ts'
import { makeRandom } from '../src/random.ts'
import { makeTestFolder } from './line.ts'

// Units 1 and 2 are read over TCP, 3 and 4 over a pair of pseudo-terminals. float32 shows these to the Wh, rounded once.
const meters = [
  { id: 'roof', unitId: 1, bus: 'lan-1', profile: 'eastron-sdm630', importWh: 1_234_567n, exportWh: 0n },
  { id: 'pump', unitId: 2, bus: 'lan-1', profile: 'eastron-sdm120', importWh: 16_384_002n, exportWh: 17_000_123n },
  { id: 'shed', unitId: 3, bus: 'line-1', profile: 'eastron-sdm630', importWh: 1n, exportWh: 8_191_999n },
  { id: 'barn', unitId: 4, bus: 'line-1', profile: 'eastron-sdm120', importWh: 5_000_000n, exportWh: 999_999n },
] as const
const [importAddress, exportAddress] = [0x48, 0x4a]
const floats = meters.flatMap(({ unitId, importWh, exportWh }) => [
  { unit: unitId, address: importAddress, value: Number(importWh) / 1000 },
  { unit: unitId, address: exportAddress, value: Number(exportWh) / 1000 },
])

interface Buses {
  readonly folder: string
  readonly tcp: object
  readonly serial: object
}

async function startPymodbus(t: ExecutionContext): Promise<Buses> {
  const folder = makeTestFolder(t)
  const [ours, theirs] = [join(folder, 'ours'), join(folder, 'theirs')]
  const socat = spawn('socat', [`pty,raw,echo=0,link=${ours}`, `pty,raw,echo=0,link=${theirs}`])
  t.teardown(() => socat.kill())
  while (!existsSync(ours) || !existsSync(theirs)) await sleep(10)
  // Debian's own interpreter: the package belongs to it.
  const script = fileURLToPath(new URL('pymodbus_server.py', import.meta.url))
  const server = spawn('/usr/bin/python3', [script], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => server.kill())
  server.stdin.end(JSON.stringify({ path: theirs, floats }))
  const [port] = await once(createInterface({ input: server.stdout }), 'line')
  return {
    folder,
    tcp: { host: '127.0.0.1', port: Number(port) },
    serial: { path: ours, baudRate: 9600, parity: 'none', stopBits: 1 },
  }
}

test("the gateway signs what a meter made with Debian's pymodbus counts, over TCP and over RTU", async (t) => {
  const { folder, tcp, serial } = await startPymodbus(t)
  const [mqtt] = await freePorts(1)
  const config = join(folder, 'gateway.yaml')
  const content = {
    version: 1,
    gateway: { id: 'gw-1', dataDir: './gateway', logLevel: 'debug' },
    buses: [
      { id: 'lan-1', tcp },
      { id: 'line-1', serial },
    ],
    meters: meters.map(({ id, unitId, bus, profile }) => ({
      ...{ id, unitId, bus, profile },
      role: 'bidirectional',
      intervalSeconds: 1,
    })),
    mqtt: { url: `mqtt://127.0.0.1:${mqtt}` },
  }
  writeFileSync(config, stringify(content))
  const gateway = new Program('gateway', ['--config', config])
  t.teardown(() => gateway.stop())
  for (const { id } of meters) {
    await gateway.event(
      ({ event, ...line }) => event === 'record.signed' && line['point'] === `gw-1/${id}` && line['state'] === 'ok',
    )
  }
  await gateway.stop()
  for (const { id, importWh, exportWh } of meters) {
    const { stdout } = await runCommand('gateway', ['export', '--config', config, '--meter', id])
    const records = stdout.split('\n').filter((text) => text !== '')
    t.true(records.length > 0)
    const registers = records.map((text) => parseOcmfText(text).record.registers)
    for (const read of registers)
      if (Object.keys(read).length > 0) t.deepEqual(read, { import: importWh, export: exportWh })
    t.true(registers.some((read) => read.import === importWh))
  }
})

interface WordRead {
  readonly unitId: number
  readonly functionCode: 3 | 4
  readonly address: number
  readonly count: number
}

// As pymodbus_server.py makes them.
function wordsOf({ unitId, functionCode, address, count }: WordRead): readonly number[] {
  return Array.from({ length: count }, (_, i) => ((address + i) * 31 + unitId * 1009 + functionCode * 7919) & 0xffff)
}

for (const transport of ['tcp', 'serial'] as const) {
  test(`every register of a pymodbus server is read as it is, over ${transport}`, async (t) => {
    const buses = await startPymodbus(t)
    const random = makeRandom(7)
    const upTo = (end: number) => Math.floor(random() * end)
    const reads = Array.from({ length: 40 }, (): WordRead => {
      const count = 1 + upTo(125)
      const address = 1000 + upTo(0x1_0000 - 1000 - count)
      return { unitId: 1 + upTo(4), functionCode: upTo(2) === 0 ? 3 : 4, address, count }
    })
    const script = fileURLToPath(new URL('../../gateway/test/read-words.ts', import.meta.url))
    const config = JSON.stringify({ id: 'b', [transport]: buses[transport] })
    const { stdout } = await promisify(execFile)(process.execPath, [script, config, JSON.stringify(reads)])
    const told = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    t.deepEqual(
      told,
      reads.map((request) => ({ request, words: wordsOf(request) })),
    )
  })
}
