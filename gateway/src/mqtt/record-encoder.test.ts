import { decodeFrame, isFrame, makeSigner, makeTimestamp, parseOcmfText, signRecord } from '@wattline/protocol'
import test from 'ava'
import { makeTempFolder, openRig } from '../../test/signing-rig.ts'
import { RecordEncoder } from './record-encoder.ts'

function rigWith(t: { teardown(action: () => void): void }, registers: readonly number[]) {
  const rig = openRig({ dataDir: makeTempFolder((action) => t.teardown(action)) })
  t.teardown(() => rig.close())
  for (const wh of registers) rig.sign(wh)
  return rig.texts()
}

test('SPEC-41: the first record goes in full, the next as frames that rebuild to the very same text', (t) => {
  const texts = rigWith(t, [1_000, 1_010, 1_020, 1_020])
  const encoder = new RecordEncoder()
  t.is(encoder.encode(texts[0]!), texts[0]!)
  const base = parseOcmfText(texts[0]!)
  for (const [at, text] of texts.entries()) {
    if (at === 0) continue
    const frame = encoder.encode(text)
    if (typeof frame === 'string') return t.fail('a frame expected')
    t.true(isFrame(frame))
    t.true(frame.length <= 80)
    t.is(decodeFrame(frame, { base, previousHash: parseOcmfText(texts[at - 1]!).hash }), text)
  }
})

test('SPEC-41: after a reset the next record goes in full again', (t) => {
  const texts = rigWith(t, [1_000, 1_010, 1_020])
  const encoder = new RecordEncoder()
  encoder.encode(texts[0]!)
  encoder.reset()
  t.is(encoder.encode(texts[1]!), texts[1]!)
  t.not(encoder.encode(texts[2]!), texts[2]!)
})

test('a base is given up after 4096 frames', (t) => {
  const texts = rigWith(t, [1_000, 1_001])
  const encoder = new RecordEncoder()
  encoder.encode(texts[0]!)
  const kinds = Array.from({ length: 4_097 }, () => typeof encoder.encode(texts[1]!))
  t.is(kinds.indexOf('string'), 4_096)
})

test('a base is given up when frames grow long', (t) => {
  const texts = rigWith(t, [1, 9_000_000_000_000_000])
  const [first, far] = texts.map((text) => parseOcmfText(text).record)
  const later = { ...first!, ...far!, takenAt: makeTimestamp(first!.takenAt + 2 ** 40) }
  const signer = makeSigner(new Uint8Array(32).fill(7))
  const encoder = new RecordEncoder()
  encoder.encode(texts[0]!)
  const { text } = signRecord(later, signer)
  t.is(encoder.encode(text), text)
  const next = signRecord({ ...later, sequence: 3, pageNumber: 3 }, signer).text
  t.true(encoder.encode(next).length <= 72)
})

test('SPEC-40: a new epoch or another meter goes in full', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const first = openRig({ dataDir })
  first.sign(1_000)
  first.close()
  const second = openRig({ dataDir, bootId: 'boot-2' })
  t.teardown(() => second.close())
  second.sign(1_010)
  const [a, b] = second.texts()
  const encoder = new RecordEncoder()
  encoder.encode(a!)
  t.is(encoder.encode(b!), b!)
})
