// `node device-sim/test/soak-weeks.ts [days] [seed]`: four weeks without a broker in virtual time, and what
// catching up costs. Prints the figures and ends with 1 where something does not balance.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { measureIdleNode } from './process-memory.ts'
import { listMemoryProblems, runWithoutBroker } from './weeks-without-broker.ts'

const [days = '28', seed = '1'] = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), 'wattline-weeks-'))
try {
  const idleMb = await measureIdleNode()
  const outcome = await runWithoutBroker({ folder, days: Number(days), seed: Number(seed), drainTimeoutSeconds: 1800 })
  const { fillMb, problems, ...figures } = outcome
  const faults = [...problems, ...listMemoryProblems(outcome, idleMb)]
  const perSecond = {
    filled: Math.round(outcome.readings / outcome.fillSeconds),
    drained: Math.round(outcome.readings / outcome.drainSeconds),
  }
  const summary = { ...figures, perSecond, idleMb, fillFirstDayMb: fillMb[0], fillPeakMb: Math.max(...fillMb), faults }
  const rounded = (_key: string, value: unknown) => (typeof value === 'number' ? Number(value.toFixed(1)) : value)
  process.stdout.write(`${JSON.stringify(summary, rounded, 2)}\n`)
  process.exitCode = faults.length === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true })
}
