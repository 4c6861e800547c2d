// Resident memory of a gateway as it ships (`make build`) that reads a hundred metering points each second, relays them
// to a ledger and serves its health over HTTP.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { printFigure } from '../../protocol/bench/figure.ts'
import { Program } from '../src/demo/programs.ts'
import { measureIdleNode, readMemory } from '../test/process-memory.ts'
import { writeBenchLine } from './bench-line.ts'

const settleMs = 20_000

const folder = mkdtempSync(join(tmpdir(), 'wattline-bench-'))
const line = await writeBenchLine({ folder, meters: 100, metersPerBus: 25, logLevel: 'info' })
const programs: Program[] = []
try {
  const reference = await measureIdleNode()
  programs.push(new Program('sim', ['--config', line.simConfig]))
  await programs[0]?.event('sim.started')
  programs.push(new Program('ledger', ['--config', line.ledgerConfig]))
  await programs[1]?.event('ledger.started')
  const gateway = new Program('gateway', ['--config', line.gatewayConfig], 'built')
  programs.push(gateway)
  await gateway.event('gateway.started')
  await sleep(settleMs)
  printFigure({
    name: 'gateway-rss-100-points',
    value: readMemory(gateway.pid)?.residentMb ?? Number.NaN,
    unit: 'MB',
    comparedWith: 'a Node that does nothing',
    reference,
    promise: 'at most 120 MB',
  })
} finally {
  for (const program of programs.toReversed()) await program.stop()
  rmSync(folder, { recursive: true })
}
