import { createPublicKey, verify } from 'node:crypto'
import test from 'ava'
import fc from 'fast-check'
import { record, roofRecord, signerOf } from '../test/arbitraries.ts'
import {
  formatPublicKey,
  isLowS,
  makeSigner,
  nobleVerifier,
  parsePublicKey,
  samePublicKey,
  signRecord,
  toLowS,
  verifyRecord,
} from './attestation.ts'
import { asciiToBytes, toUpperHex } from './bytes.ts'
import { encodeDerSignature } from './der.ts'
import { formatOcmfText } from './ocmf.ts'

const signer = signerOf(1)
const zeros = '0'.repeat(64)

function mirror(signature: Uint8Array): Uint8Array {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = order - BigInt(`0x${toUpperHex(signature.subarray(32))}`)
  return Uint8Array.from([...signature.subarray(0, 32), ...Buffer.from(s.toString(16).padStart(64, '0'), 'hex')])
}

test('SPEC-16: node:crypto accepts what we sign, with the published key', (t) => {
  const key = createPublicKey({
    key: Buffer.from(formatPublicKey(signer.publicKey), 'hex'),
    format: 'der',
    type: 'spki',
  })
  fc.assert(
    fc.property(record, (original) => {
      const { payload, signature } = signRecord(original, signer)
      t.true(verify('sha256', Buffer.from(payload), key, encodeDerSignature(signature)))
      t.true(isLowS(signature))
    }),
    { numRuns: 30 },
  )
})

test('SPEC-16: a flipped bit anywhere in payload or signature is refused', (t) => {
  const { payload, signature, text } = signRecord(roofRecord(1, zeros), signer)
  t.true(verifyRecord(text, signer.publicKey).ok)
  for (let i = 0; i < payload.length; i++) {
    const flipped = payload.slice(0, i) + String.fromCharCode(payload.charCodeAt(i) ^ 1) + payload.slice(i + 1)
    t.false(verifyRecord(formatOcmfText(flipped, signature), signer.publicKey).ok, `payload byte ${i}`)
  }
  for (let i = 0; i < signature.length; i++) {
    const flipped = signature.slice()
    flipped[i]! ^= 1
    t.false(verifyRecord(formatOcmfText(payload, flipped), signer.publicKey).ok, `signature byte ${i}`)
  }
})

test('SPEC-16: another key, and garbage instead of a record, are refused with their code', (t) => {
  const { text } = signRecord(roofRecord(1, zeros), signer)
  const wrong = verifyRecord(text, signerOf(2).publicKey)
  t.like(wrong, { ok: false, code: 'record/bad-signature' })
  t.regex(wrong.ok ? '' : wrong.message, /gw-1 roof/)
  t.like(verifyRecord('nonsense', signer.publicKey), { ok: false, code: 'record/malformed' })
  t.throws(() => verifyRecord(undefined as never, signer.publicKey, undefined))
})

test('SPEC-16: high-s is valid where foreign records are verified, and never in a record of ours', (t) => {
  const { payload, signature } = signRecord(roofRecord(1, zeros), signer)
  const high = mirror(signature)
  t.false(isLowS(high))
  t.true(nobleVerifier.verify(asciiToBytes(payload), high, signer.publicKey))
  t.deepEqual(toLowS(high), signature)
  t.is(toLowS(signature), signature)
  t.like(verifyRecord(formatOcmfText(payload, high), signer.publicKey), { ok: false, code: 'record/malformed' })
})

test('SPEC-16: a verifier never throws, whatever it is given', (t) => {
  t.false(nobleVerifier.verify(new Uint8Array(), new Uint8Array(3), new Uint8Array(2)))
})

test('SPEC-16: the key survives its published form; anything else is refused', (t) => {
  const spki = formatPublicKey(signer.publicKey)
  t.is(spki.length, 176)
  t.true(samePublicKey(parsePublicKey(spki.toLowerCase()), signer.publicKey))
  for (const bad of [
    '',
    'zz',
    spki.slice(2),
    `${spki}00`,
    spki.replace(/..$/, 'FF'),
    spki.replace('420004', '420003'),
  ]) {
    t.throws(() => parsePublicKey(bad), { code: 'key/unreadable' })
  }
})

test('a secret key that is none is refused, and its bytes are not told', (t) => {
  t.throws(() => makeSigner(new Uint8Array(32)), { code: 'key/unreadable', message: /got 32 bytes/ })
  t.throws(() => makeSigner(new Uint8Array(5).fill(7)), { code: 'key/unreadable', message: /got 5 bytes/ })
})
