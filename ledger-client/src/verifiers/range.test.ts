import { nobleVerifier, type SignatureVerifier } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { Device, fastVerifier } from '../../test/rig.ts'
import { authenticateRange } from './range.ts'

const roof = new Device({ meter: 'roof', role: 'producer', key: 4711 })
const texts = Array.from({ length: 60 }, (_, n) => roof.sign({ registers: { export: BigInt(10 * n) } }))
const key = roof.signer.publicKey

function counting(): SignatureVerifier & { calls: number } {
  const verifier = {
    name: 'counting',
    calls: 0,
    verify: (...args: Parameters<SignatureVerifier['verify']>) => {
      verifier.calls++
      return fastVerifier.verify(...args)
    },
  }
  return verifier
}

test('SPEC-54: one signature authenticates a range', (t) => {
  const verifier = counting()
  t.like(authenticateRange(texts, key, verifier), { faults: [], signatures: 1 })
  t.is(verifier.calls, 1)
  t.deepEqual(authenticateRange(texts.slice(0, 3), key, nobleVerifier).faults, [])
  t.is(authenticateRange(texts, key, fastVerifier).firstPrevious, roof.certificate.hash)
  t.is(authenticateRange(texts, key, fastVerifier).lastHash, roof.previousHash)
  t.is(
    authenticateRange(texts, new Device({ meter: 'x', role: 'producer' }).signer.publicKey, verifier).faults.length,
    60,
  )
})

test('SPEC-54: a range that holds false records is split: each is named, and no other', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat({ max: 59 }), { maxLength: 8 }), (places) => {
      const spoilt = texts.map((text, index) => (places.includes(index) ? text.replace(/"RV":\d/, '"RV":9') : text))
      const { faults, signatures } = authenticateRange(spoilt, key, fastVerifier)
      t.deepEqual(
        faults.map(({ index, code }) => [index, String(code)]),
        places.toSorted((a, b) => a - b).map((index) => [index, 'record/bad-signature']),
      )
      t.true(signatures <= 1 + 2 * places.length)
    }),
    { numRuns: 100 },
  )
})

test('SPEC-54: true records with something missing between them are told apart from false ones', (t) => {
  const gap = [...texts.slice(0, 20), ...texts.slice(23)]
  t.deepEqual(
    authenticateRange(gap, key, fastVerifier).faults.map(({ index, code }) => [index, String(code)]),
    [[20, 'chain/missing']],
  )
  const swapped = [...texts.slice(0, 9), texts[10]!, texts[9]!, ...texts.slice(11)]
  t.true(authenticateRange(swapped, key, fastVerifier).faults.some(({ index }) => index === 10))
})

test('whatever a range is made of, nothing throws and nothing that is no record passes', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string(), fc.constantFrom('', '|', 'OCMF|', 'OCMF||', 'OCMF|{"XP":"|', ...texts))),
      (list) => {
        const bad = new Set(authenticateRange(list, key, fastVerifier).faults.map(({ index }) => index))
        for (const [index, text] of list.entries()) if (!texts.includes(text)) t.true(bad.has(index))
      },
    ),
    { numRuns: 100 },
  )
})
