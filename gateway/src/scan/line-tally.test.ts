import test from 'ava'
import fc from 'fast-check'
import { withCrc } from '../modbus/rtu-framing.ts'
import { LineTally } from './line-tally.ts'
import { dissect } from './traffic.ts'

const request = withCrc(Buffer.from([5, 3, 0, 0, 0, 2]))
const answer = withCrc(Buffer.from([5, 3, 4, 0x43, 0x66, 0x80, 0]))
const exception = withCrc(Buffer.from([5, 0x83, 2]))
const foreign = withCrc(Buffer.from([9, 4, 0, 0, 0, 2]))
const spoiled = Buffer.from(answer.map((byte, i) => (i === 4 ? byte ^ 0x10 : byte)))

/** Turns of unit 5, one a second. */
function tallyOf(...brought: readonly (readonly Buffer[])[]): LineTally {
  const tally = new LineTally()
  brought.forEach((parts, i) => void tally.take({ request, sentAtMs: 1000 * i, bytes: Buffer.concat(parts) }))
  return tally
}

test('frames are found between noise, and what is left is the noise', (t) => {
  const { frames, noise } = dissect(Buffer.concat([Buffer.of(0xff), foreign, exception, Buffer.of(0x7e), answer]))
  t.deepEqual(
    frames.map(({ kind, unitId }) => [kind, unitId]),
    [
      ['request', 9],
      ['exception', 5],
      ['answer', 5],
    ],
  )
  t.deepEqual([...noise], [0xff, 0x7e])
})

test('every byte of any line belongs to a frame or to the noise', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const { frames, noise } = dissect(Buffer.from(bytes))
      return frames.reduce((sum, frame) => sum + frame.bytes.length, noise.length) === bytes.length
    }),
  )
  t.pass()
})

test('an answer and a refusal are answers; the echo of an adapter is nothing', (t) => {
  const tally = tallyOf([request, answer], [exception])
  t.like(tally.units.get(5), { answers: 2, garbled: 0, secondAnswers: 0 })
  t.is(tally.foreignRequests, 0)
  t.is(tally.noiseBytes, 0)
})

test('a spoiled answer counts by its length', (t) => {
  const tally = tallyOf([spoiled], [spoiled, spoiled], [answer])
  t.like(tally.units.get(5), { answers: 1, garbled: 2, keptLength: 1 })
  t.deepEqual([...(tally.units.get(5)?.lengths.values() ?? [])], [{ bytes: 9, asked: 3, garbled: 2 }])
})

test('a line at its level is noise, and no spoiled answer', (t) => {
  const tally = tallyOf([Buffer.of(0)], [Buffer.of(0xff, 0)])
  t.is(tally.units.get(5)?.garbled, 0)
  t.is(tally.levelBytes, 3)
})

test('an answer that comes again is told from one that comes late', (t) => {
  t.is(tallyOf([answer, answer]).units.get(5)?.secondAnswers, 1)
  const late = new LineTally()
  late.take({ request, sentAtMs: 0, bytes: Buffer.alloc(0) })
  const other = withCrc(Buffer.from([6, 3, 0, 0, 0, 2]))
  late.take({ request: other, sentAtMs: 700, bytes: answer })
  t.like(late.units.get(5), { secondAnswers: 0, lateMs: [700] })
})

test('what nobody of ours asked is a foreign client', (t) => {
  const tally = tallyOf([answer, foreign], [withCrc(Buffer.from([9, 4, 4, 1, 2, 3, 4])), answer])
  t.is(tally.foreignRequests, 1)
  t.is(tally.foreignAnswers, 1)
})
