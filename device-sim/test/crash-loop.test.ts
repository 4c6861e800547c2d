import test from 'ava'
import { runCrashLoop } from './crash-loop.ts'
import { makeTestFolder } from './line.ts'

test('promise 1: gateway, ledger and broker are killed at random, and every Wh is counted once', async (t) => {
  t.timeout(170_000)
  const seed = Date.now() % 1_000_000
  const report = await runCrashLoop({ folder: makeTestFolder(t), kills: 12, seed, say: (line) => t.log(line) })
  t.deepEqual(report.problems, [])
  t.true(report.points.every(({ records, receiptsUpTo }) => records > 20 && receiptsUpTo === records))
  t.true(report.mintedWh > 0 && report.burnedWh > 0)
})
