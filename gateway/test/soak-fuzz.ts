// `node gateway/test/soak-fuzz.ts [frames] [seed]`: random bytes and changed frames into both parsers, a million each.
// Ends with 1 where a frame that was not valid was handed on, or where memory grows with the number of frames.
import { seeded } from '../src/modbus/bus-rig.ts'
import { fuzzFrames, longestNoise } from './fuzz-frames.ts'

const frames = Number(process.argv[2] ?? 1_000_000)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
const rounds = 10
const random = seeded(seed)
const total = { accepted: 0, invalid: [] as string[], mostKept: 0 }
const residentMb: number[] = []
process.stdout.write(`seed ${seed}, ${frames} frames for each parser\n`)
for (let round = 0; round < rounds; round++) {
  const { accepted, invalid, mostKept } = fuzzFrames({ frames: Math.ceil(frames / rounds), random })
  total.accepted += accepted
  total.invalid.push(...invalid)
  total.mostKept = Math.max(total.mostKept, mostKept)
  residentMb.push(Math.round(process.memoryUsage.rss() / 1e6))
}
process.stdout.write(`${JSON.stringify({ ...total, residentMb })}\n`)
// The first round also fills what the garbage collector leaves to itself.
const hasGrown = Math.max(...residentMb.slice(-3)) > 1.5 * Math.max(...residentMb.slice(0, 3))
const isBounded = total.mostKept <= longestNoise && !hasGrown
process.exitCode = total.invalid.length === 0 && isBounded && total.accepted > 0 ? 0 : 1
