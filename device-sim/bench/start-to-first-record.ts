// How long a gateway takes from its start to the first record that is signed and on the disk: what a power cut costs
// beyond itself. The first start also makes the key and the certificate; both kinds count.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { Program } from '../src/demo/programs.ts'
import { writeBenchLine } from './bench-line.ts'

const rounds = 5

function timeNode(): number {
  const startMs = performance.now()
  execFileSync(process.execPath, ['-e', '0'])
  return performance.now() - startMs
}

async function timeGateway(gatewayConfig: string): Promise<number> {
  const startMs = performance.now()
  const gateway = new Program('gateway', ['--config', gatewayConfig])
  try {
    await gateway.event('record.signed')
    return performance.now() - startMs
  } finally {
    await gateway.stop()
  }
}

const folder = mkdtempSync(join(tmpdir(), 'wattline-bench-'))
const { simConfig, gatewayConfig } = await writeBenchLine({ folder, meters: 3, metersPerBus: 3, logLevel: 'debug' })
const sim = new Program('sim', ['--config', simConfig])
try {
  await sim.event('sim.started')
  const times = { gateway: [] as number[], node: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    times.node.push(timeNode())
    times.gateway.push(await timeGateway(gatewayConfig))
  }
  printFigure({
    name: 'start-to-first-record',
    value: percentile(times.gateway, 0.5),
    unit: 'ms',
    comparedWith: "node -e '0'",
    reference: percentile(times.node, 0.5),
    promise: 'at most 2000 ms',
  })
} finally {
  await sim.stop()
  rmSync(folder, { recursive: true })
}
