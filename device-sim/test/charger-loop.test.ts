import test from 'ava'
import { runChargerLoop } from './charger-loop.ts'
import { makeTestFolder } from './line.ts'

test('promise 1: stations and gateway are killed and lines cut at random; each session is told, signed, booked and passed on once', async (t) => {
  t.timeout(170_000)
  const seed = Date.now() % 1_000_000
  const groups = [
    ['CP1', 'CP3'],
    ['CP2', 'CP4'],
  ] as const
  const report = await runChargerLoop({ folder: makeTestFolder(t), cuts: 5, seed, groups, say: (line) => t.log(line) })
  t.deepEqual(report.problems, [])
  t.true(report.sessions >= 4 && report.bookedWh > 0)
})
