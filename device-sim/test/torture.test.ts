import test from 'ava'
import { makeTestFolder } from './line.ts'
import { runTorture } from './torture.ts'

const seed = Date.now() % 1_000_000

test('no late, lost, doubled, spoiled, cut or trickled answer of mixed devices becomes the value of another read', async (t) => {
  t.log(`seed ${seed}`)
  const options = { folder: makeTestFolder(t), lines: 32, seed, pace: 'fast' } as const
  const { requests, right, wrong, examples, manners } = await runTorture({ ...options, client: 'bus', requests: 2500 })
  t.is(wrong, 0, examples.join('\n'))
  t.true(right > requests / 2)
  t.true(['doubled', 'late', 'lost', 'spoiled', 'cut', 'trickled'].every((manner) => (manners[manner] ?? 0) > 20))
})

test('the same devices make plain modbus-serial return wrong values, so the judge can see them', async (t) => {
  const options = { folder: makeTestFolder(t), lines: 32, seed, pace: 'fast' } as const
  const { wrong } = await runTorture({ ...options, client: 'modbus-serial', requests: 1000 })
  t.true(wrong > 0)
})
