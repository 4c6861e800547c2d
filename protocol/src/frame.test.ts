import test from 'ava'
import fc from 'fast-check'
import { makeChain, record, roofRecord, signerOf } from '../test/arbitraries.ts'
import { signRecord } from './attestation.ts'
import { WattError } from './errors.ts'
import { decodeFrame, encodeFrame, frameTag, isFrame, maxFrameLength, readFrameHead } from './frame.ts'
import { parseOcmfText } from './ocmf.ts'
import { readingStateNames, readingStates } from './reading.ts'
import { makeTimestamp } from './timestamp.ts'

const signer = signerOf(3)
const base = parseOcmfText(signRecord(roofRecord(10, '0'.repeat(64)), signer).text)
const previousHash = 'a'.repeat(64)

test('SPEC-40: a frame rebuilds to the same text, byte for byte, in every state and however the clock steps', (t) => {
  const change = fc.record({
    offset: fc.integer({ min: 1, max: 100_000 }),
    ms: fc.integer({ min: 0, max: 253_402_300_799_999 }),
    clockStatus: fc.constantFrom('U' as const, 'I' as const, 'S' as const, 'R' as const),
    state: fc.constantFrom(...readingStateNames),
    wh: fc.bigInt({ min: 0n, max: 999_999_999_999_999n }),
  })
  fc.assert(
    fc.property(change, ({ offset, ms, clockStatus, state, wh }) => {
      const registers = readingStates[state].energy === 'absent' ? {} : { export: wh }
      const changed = roofRecord(10 + offset, previousHash, {
        takenAt: makeTimestamp(ms),
        clockStatus,
        state,
        registers,
      })
      const { text } = signRecord(changed, signer)
      const frame = encodeFrame(text, base)
      t.truthy(frame)
      t.true(isFrame(frame!) && frame!.length <= maxFrameLength)
      t.deepEqual(readFrameHead(frame!), { baseTag: frameTag(base), sequenceOffset: offset })
      t.is(decodeFrame(frame!, { base, previousHash }), text)
    }),
    { numRuns: 60 },
  )
})

test('SPEC-41: what a frame cannot rebuild has no frame', (t) => {
  fc.assert(
    fc.property(record, (any) => {
      const { text } = signRecord(any, signer)
      const frame = encodeFrame(text, base)
      if (frame !== undefined) t.is(decodeFrame(frame, { base, previousHash: any.previousHash }), text)
    }),
    { numRuns: 60 },
  )
  const at = (changes: object) => encodeFrame(signRecord(roofRecord(11, previousHash, changes), signer).text, base)
  t.truthy(at({}))
  t.is(at({ epoch: base.record.epoch + 1 }), undefined)
  t.is(at({ template: { ...base.record.template, gatewayVersion: '0.2.0' } }), undefined)
  t.is(at({ registers: { import: 5n, export: 5n } }), undefined)
  t.is(at({ sequence: 10 }), undefined)
  t.is(at({ pageNumber: 12 }), undefined)
  t.is(at({ context: 'T', mark: 'B' }), undefined)
})

test('SPEC-40: a frame of a meter read each minute for a day stays within 80 bytes', (t) => {
  const chain = makeChain(1440, signerOf(4))
  const first = parseOcmfText(chain[0]!.text)
  const lengths = chain.slice(1).map(({ text }) => encodeFrame(text, first)!.length)
  t.true(lengths.reduce((sum, length) => sum + length, 0) / lengths.length <= 80)
})

test('SPEC-42: a frame for another base says which one it wants', (t) => {
  const frame = encodeFrame(signRecord(roofRecord(11, previousHash), signer).text, base)!
  const other = parseOcmfText(signRecord(roofRecord(10, '1'.repeat(64)), signer).text)
  t.throws(() => decodeFrame(frame, { base: other, previousHash }), {
    code: 'frame/unknown-template',
    message: new RegExp(frameTag(base)),
  })
})

test('SPEC-40: no bytes whatever make the decoder do more than refuse', (t) => {
  const { text } = signRecord(roofRecord(11, previousHash), signer)
  const frame = encodeFrame(text, base)!
  const mutated = fc
    .tuple(fc.nat({ max: frame.length - 1 }), fc.integer({ min: 1, max: 255 }), fc.nat({ max: 200 }))
    .map(([at, flip, cut]) => {
      const copy = frame.slice(0, Math.max(1, frame.length - (cut > 80 ? 0 : cut)))
      copy[at % copy.length]! ^= flip
      return copy
    })
  fc.assert(
    fc.property(fc.oneof(mutated, fc.uint8Array({ maxLength: 140 })), (bytes) => {
      try {
        t.not(decodeFrame(bytes, { base, previousHash }), text)
        readFrameHead(bytes)
      } catch (error) {
        t.true(error instanceof WattError, String(error))
      }
    }),
    { numRuns: 2000 },
  )
})

const head = [0x10, ...Buffer.from(frameTag(base), 'hex')]
const tail = Array<number>(64).fill(1)
const refusals: Record<string, [number[], RegExp]> = {
  'another version': [[0x20, ...head.slice(1), 1, 0, 0, ...tail], /version 1 expected/],
  'an unknown state': [[0x1f, ...head.slice(1), 1, 0, 0, ...tail], /state 15/],
  'too few bytes': [head, /only 3 bytes/],
  'too many bytes': [[...head, ...Array<number>(200).fill(1)], /at most/],
  'a number without end': [[...head, ...Array<number>(100).fill(0x80)], /longer than ten bytes/],
  'a number past the end': [
    [...head, 1, 0, ...Array<number>(66).fill(0x80)],
    /longer than ten|past the end|bytes of signature/,
  ],
  'an offset that is too large': [[...head, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, ...tail], /out of range/],
  'a short signature': [[...head, 1, 0, 0, ...tail.slice(1)], /bytes of signature/],
}
for (const [what, [bytes, message]] of Object.entries(refusals)) {
  test(`SPEC-40: a frame with ${what} is refused`, (t) => {
    t.throws(() => decodeFrame(Uint8Array.from(bytes), { base, previousHash }), { instanceOf: WattError, message })
  })
}
test('SPEC-40: a number that runs to the very end of a frame is refused', (t) => {
  t.throws(() => readFrameHead(Uint8Array.from([...head, ...Array<number>(66).fill(0x80)].slice(0, 69))), {
    code: 'frame/unreadable',
  })
  t.false(isFrame(new Uint8Array()))
  t.false(isFrame(Buffer.from('OCMF|')))
  t.throws(() => readFrameHead(new Uint8Array()), { code: 'frame/unreadable' })
})
