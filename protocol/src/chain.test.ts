import test from 'ava'
import fc from 'fast-check'
import { firstEpoch, makeChain, memoised, roof, roofRecord, signerOf } from '../test/arbitraries.ts'
import { type SignedRecord, signRecord } from './attestation.ts'
import { isEquivocation, type RangeExpectation, verifyRange } from './chain.ts'

const length = 1000
const signer = signerOf(10)
const stranger = signerOf(11)
const verifier = memoised()
const chain = makeChain(length, signer)
const texts = chain.map(({ text }) => text)
const foreign = makeChain(20, stranger, { template: { ...roof, pointText: 'gw-1 battery' } })
const forged = makeChain(20, stranger)

const expected: RangeExpectation = {
  pointText: 'gw-1 roof',
  keyOf: (epoch) => (epoch >= firstEpoch ? signer.publicKey : undefined),
  firstSequence: 1,
  lastSequence: length,
  previousHash: '0'.repeat(64),
}
const verify = (list: readonly string[], changes: Partial<RangeExpectation> = {}) =>
  verifyRange(list, { ...expected, ...changes }, verifier)
const place = fc.nat({ max: length - 1 })

test('SPEC-35: an unbroken chain of 1,000 records is complete', (t) => {
  t.deepEqual(verify(texts), {
    ok: true,
    count: length,
    firstSequence: 1,
    lastSequence: length,
    headHash: chain[length - 1]!.hash,
  })
})

test('SPEC-35: any part of a chain is a complete range of its own', (t) => {
  fc.assert(
    fc.property(place, place, (a, b) => {
      const [from, to] = [Math.min(a, b), Math.max(a, b)]
      const { firstSequence: _f, lastSequence: _l, previousHash: _p, ...open } = expected
      t.like(verifyRange(texts.slice(from, to + 1), open, verifier), {
        ok: true,
        firstSequence: from + 1,
        lastSequence: to + 1,
      })
    }),
    { numRuns: 10 },
  )
})

test('SPEC-35: a dropped record is missed, at its place', (t) => {
  fc.assert(
    fc.property(place, (at) => {
      t.like(verify(texts.toSpliced(at, 1)), { ok: false, code: 'chain/missing', index: at, expectedSequence: at + 1 })
    }),
    { numRuns: 40 },
  )
})

test('SPEC-35: a record of the same chain in two places is a duplicate, at the place where it does not belong', (t) => {
  fc.assert(
    fc.property(place, fc.nat({ max: length }), (from, to) => {
      const wrong = to === from ? to + 1 : to // beside itself: the second one is the one too many
      t.like(verify(texts.toSpliced(to, 0, texts[from]!)), { ok: false, code: 'chain/duplicate', index: wrong })
    }),
    { numRuns: 40 },
  )
})

test('SPEC-35: two swapped records are reordered, at the first of the two places', (t) => {
  fc.assert(
    fc.property(place, place, (a, b) => {
      fc.pre(a !== b)
      const swapped = texts.with(a, texts[b]!).with(b, texts[a]!)
      const first = Math.min(a, b)
      t.like(verify(swapped), { ok: false, code: 'chain/reordered', index: first, expectedSequence: first + 1 })
    }),
    { numRuns: 40 },
  )
})

test('SPEC-35: an altered byte anywhere in any record is refused at that record', (t) => {
  fc.assert(
    fc.property(place, fc.nat(), fc.integer({ min: 1, max: 127 }), (at, where, flip) => {
      const text = texts[at]!
      const i = where % text.length
      const altered = text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) ^ flip) + text.slice(i + 1)
      const verdict = verify(texts.with(at, altered))
      t.like(verdict, { ok: false, index: at })
      t.true(
        !verdict.ok &&
          ['record/malformed', 'record/bad-signature', 'chain/foreign', 'record/wrong-key'].includes(verdict.code),
      )
    }),
    { numRuns: 200 },
  )
})

const insertions: Record<string, [SignedRecord[], string]> = {
  'of another metering point': [foreign, 'chain/foreign'],
  'forged with another key': [forged, 'record/bad-signature'],
}
for (const [what, [source, code]] of Object.entries(insertions)) {
  test(`SPEC-35: an inserted record ${what} is named, at its place`, (t) => {
    fc.assert(
      fc.property(fc.nat({ max: length }), fc.nat({ max: source.length - 1 }), (at, which) => {
        t.like(verify(texts.toSpliced(at, 0, source[which]!.text)), { ok: false, code, index: at })
      }),
      { numRuns: 30 },
    )
  })
}

test('SPEC-35: an inserted record that the true key signed is named, at its place', (t) => {
  fc.assert(
    fc.property(place, fc.integer({ min: 1, max: length + 50 }), (at, sequence) => {
      fc.pre(sequence !== at + 1)
      const other = signRecord(roofRecord(sequence, 'f'.repeat(64)), signer)
      t.like(verify(texts.toSpliced(at, 0, other.text)), { ok: false, code: 'chain/inserted', index: at })
    }),
    { numRuns: 30 },
  )
})

test('SPEC-35: an inserted record that pretends to be the next one is not taken for a displaced one', (t) => {
  const next = signRecord(roofRecord(length + 1, 'f'.repeat(64)), signer)
  t.like(verify(texts.toSpliced(671, 0, next.text)), { ok: false, code: 'chain/inserted', index: 671 })
})

test('SPEC-35: a record in place of the true one, with the right sequence, breaks the chain where it stands', (t) => {
  const other = signRecord(roofRecord(500, 'f'.repeat(64)), signer)
  t.like(verify(texts.with(499, other.text)), { ok: false, code: 'chain/inserted', index: 499 })
  const sameLink = signRecord(roofRecord(500, chain[498]!.hash, { registers: { export: 9n } }), signer)
  t.like(verify(texts.with(499, sameLink.text)), { ok: false, code: 'chain/inserted', index: 500 })
})

test('SPEC-35: the ends of a range can be demanded', (t) => {
  t.like(verify(texts.slice(0, -1)), { ok: false, code: 'chain/missing', index: 999, expectedSequence: 1000 })
  t.like(verify(texts, { previousHash: '1'.repeat(64) }), { ok: false, code: 'chain/inserted', index: 0 })
  t.like(verify([]), { ok: false, code: 'chain/missing', index: 0 })
  const { lastSequence: _, firstSequence: __, ...open } = expected
  t.like(verifyRange([], open, verifier), { ok: false, code: 'chain/missing', index: 0 })
})

test('SPEC-30, SPEC-35: an epoch may begin anywhere, goes on in sequence, and never falls', (t) => {
  const second = signRecord(roofRecord(1001, chain[999]!.hash, { epoch: firstEpoch + 1 }), signer)
  const third = signRecord(roofRecord(1002, second.hash), signer)
  t.like(verify([...texts, second.text], { lastSequence: 1001 }), { ok: true, count: 1001 })
  t.like(verify([...texts, second.text, third.text]), { ok: false, code: 'chain/inserted', index: 1001 })
})

test('SPEC-35: a record of an epoch without a known key is refused', (t) => {
  const early = signRecord(roofRecord(1, '0'.repeat(64), { epoch: 1 }), signer)
  t.like(verify([early.text]), { ok: false, code: 'record/wrong-key', index: 0 })
})

test('SPEC-36: two payloads for one epoch and sequence are equivocation, whoever shows them', (t) => {
  const first = chain[4]!.text
  const second = signRecord(roofRecord(5, chain[3]!.hash, { registers: { export: 5n } }), signer).text
  const proof = { publicKey: signer.publicKey, first, second }
  t.true(isEquivocation(proof))
  t.true(isEquivocation({ ...proof, first: second, second: first }))
  t.false(isEquivocation({ ...proof, second: first }), 'the same record twice is a replay')
  t.false(isEquivocation({ ...proof, second: chain[5]!.text }), 'two places')
  t.false(isEquivocation({ ...proof, second: forged[4]!.text }), 'another key')
  t.false(isEquivocation({ ...proof, first: 'garbage' }))
  const fork = signRecord(roofRecord(5, chain[3]!.hash, { epoch: firstEpoch + 9 }), signer).text
  t.false(isEquivocation({ ...proof, second: fork }), 'a new epoch after a restored backup')
})
