import test from 'ava'
import { signerOf } from '../test/arbitraries.ts'
import { type AnchorFacts, formatAnchor, noHash, parseAnchor } from './anchor.ts'
import { signDocument } from './document.ts'

const signer = signerOf(102)
const root = 'ab'.repeat(32)
const facts: AnchorFacts = {
  day: '2026-11-21',
  records: { count: 5, root },
  entries: { count: 3, root: 'cd'.repeat(32), head: 'ef'.repeat(32) },
  previous: noHash,
}

test('SPEC-98: an anchor says what it was made of, and is the same each time', (t) => {
  const text = formatAnchor(facts, signer)
  t.is(formatAnchor(facts, signer), text)
  const anchor = parseAnchor(text, signer.publicKey)
  t.like(anchor, facts)
  t.deepEqual(anchor.ledger, signer.publicKey)
  t.is(anchor.text, text)
  const { day: _day, ...head } = facts
  t.false('day' in parseAnchor(formatAnchor(head, signer)))
})

test('SPEC-98: what the named or the trusted key did not sign is refused', (t) => {
  const text = formatAnchor(facts, signer)
  const refused = (bad: string, message: RegExp) =>
    t.throws(() => parseAnchor(bad, signer.publicKey), { code: 'anchor/invalid', message })
  refused(text.replace('"count":5', '"count":6'), /anchor of 2026-11-21: not signed by the key it names/)
  refused(formatAnchor(facts, signerOf(103)), /not from the ledger that is trusted/)
  const { day: _day, ...rest } = facts
  refused(formatAnchor(rest, signer).replace('"count":3', '"count":4'), /^head: not signed/)
  // A signature with high s is as valid to the mathematics: one document must have one text.
  const high = { ...signer, sign: (payload: Uint8Array) => negate(signer.sign(payload)) }
  refused(formatAnchor(facts, high), /not signed/)
  for (const change of [
    { day: '2026-02-31T' },
    { previous: 'AB'.repeat(32) },
    { more: 1 },
    { records: { count: -1, root } },
  ]) {
    const body = JSON.parse(text.split('|')[1] ?? '') as object
    refused(signDocument('WATT-ANCHOR', { ...body, ...change }, signer), /./)
  }
})

function negate(signature: Uint8Array): Uint8Array {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = order - BigInt(`0x${Buffer.from(signature.subarray(32)).toString('hex')}`)
  return Uint8Array.of(...signature.subarray(0, 32), ...Buffer.from(s.toString(16).padStart(64, '0'), 'hex'))
}
