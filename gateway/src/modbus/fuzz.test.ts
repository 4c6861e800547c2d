import test from 'ava'
import { fuzzFrames, longestNoise } from '../../test/fuzz-frames.ts'
import { seeded } from './bus-rig.ts'

test('of 40,000 random and changed frames none throws, none that is not valid is handed on, and few bytes are kept', (t) => {
  const seed = Date.now() % 1_000_000
  t.log(`seed ${seed}`)
  const { accepted, invalid, mostKept } = fuzzFrames({ frames: 20_000, random: seeded(seed) })
  t.deepEqual(invalid, [])
  t.true(accepted > 1000)
  t.true(mostKept <= longestNoise)
})
