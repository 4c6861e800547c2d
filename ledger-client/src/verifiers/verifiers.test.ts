import { existsSync, readFileSync } from 'node:fs'
import { makeSigner, nobleVerifier, type SignatureVerifier, WattError } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { verifyForeignRecord } from './foreign.ts'
import { loadLibrary, makeNativeSigner, makeNativeVerifier } from './native-verifier.ts'
import { makeNodeVerifier } from './node-verifier.ts'
import { pickSigner, pickVerifier, verifierNames } from './pick.ts'

const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const library = await loadLibrary()
const verifiers: readonly SignatureVerifier[] = [
  nobleVerifier,
  makeNodeVerifier(),
  ...(library === undefined ? [] : [makeNativeVerifier(library)]),
]

const secret = fc.uint8Array({ minLength: 32, maxLength: 32 }).filter((bytes) => {
  const value = toNumber(bytes)
  return value > 0n && value < order
})

function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}

function toBytes(value: bigint): Uint8Array {
  return Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
}

function verdicts(...args: Parameters<SignatureVerifier['verify']>): boolean[] {
  return verifiers.map((verifier) => verifier.verify(...args))
}

const all = (value: boolean) => verifiers.map(() => value)

test('all verifiers agree: valid, and valid with high s', (t) => {
  fc.assert(
    fc.property(secret, fc.uint8Array({ maxLength: 300 }), (key, payload) => {
      const signer = makeSigner(key)
      const signature = signer.sign(payload)
      t.deepEqual(verdicts(payload, signature, signer.publicKey), all(true))
      const high = Uint8Array.of(...signature.subarray(0, 32), ...toBytes(order - toNumber(signature.subarray(32))))
      const copy = high.slice()
      t.deepEqual(verdicts(payload, high, signer.publicKey), all(true))
      t.deepEqual(high, copy, 'the bytes given are not changed')
    }),
    { numRuns: 20 },
  )
})

test('all verifiers agree: flipped bits and other keys are not valid', (t) => {
  fc.assert(
    fc.property(
      secret,
      secret,
      fc.uint8Array({ minLength: 1, maxLength: 100 }),
      fc.nat(),
      (key, other, payload, bit) => {
        const signer = makeSigner(key)
        const signature = signer.sign(payload)
        const flip = (bytes: Uint8Array) => {
          const flipped = bytes.slice()
          const at = bit % (bytes.length * 8)
          flipped[at >> 3] = (flipped[at >> 3] ?? 0) ^ (1 << (at & 7))
          return flipped
        }
        t.deepEqual(verdicts(flip(payload), signature, signer.publicKey), all(false))
        t.deepEqual(verdicts(payload, flip(signature), signer.publicKey), all(false))
        t.deepEqual(verdicts(payload, signature, flip(signer.publicKey)), all(false))
        if (toNumber(key) !== toNumber(other)) {
          t.deepEqual(verdicts(payload, signature, makeSigner(other).publicKey), all(false))
        }
      },
    ),
    { numRuns: 20 },
  )
})

test('all verifiers agree: numbers out of range and garbage are not valid, and nothing throws', (t) => {
  const signer = makeSigner(toBytes(7n))
  const payload = Buffer.from('x')
  const signature = signer.sign(payload)
  const edges = [0n, order, order + 1n, 2n ** 256n - 1n].map(toBytes)
  for (const edge of edges) {
    t.deepEqual(verdicts(payload, Uint8Array.of(...edge, ...signature.subarray(32)), signer.publicKey), all(false))
    t.deepEqual(verdicts(payload, Uint8Array.of(...signature.subarray(0, 32), ...edge), signer.publicKey), all(false))
  }
  // A hybrid encoding of the same point (X9.62 §4.3.6), which libsecp256k1 would take.
  const hybrid = signer.publicKey.slice()
  hybrid[0] = 6 + ((hybrid[64] ?? 0) & 1)
  t.deepEqual(verdicts(payload, signature, hybrid), all(false))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.uint8Array({ maxLength: 70 }), (bytes, key) => {
      t.deepEqual(verdicts(payload, bytes, signer.publicKey), all(false))
      t.deepEqual(verdicts(payload, signature, key), all(false))
    }),
    { numRuns: 50 },
  )
})

test('the native signer makes the very signature that the reference makes', async (t) => {
  const key = toBytes(4711n)
  const payload = Buffer.from('{"FV":"1.3"}')
  const expected = makeSigner(key).sign(payload)
  t.deepEqual(Buffer.from((await pickSigner(key)).sign(payload)), Buffer.from(expected))
  if (library !== undefined)
    t.deepEqual(Buffer.from(makeNativeSigner(library, key).sign(payload)), Buffer.from(expected))
})

test('verifiers are picked by name; auto takes the fastest that there is', async (t) => {
  const picked = await Promise.all(
    verifierNames.map(async (name) => {
      try {
        return (await pickVerifier(name)).name
      } catch (error) {
        return error instanceof WattError ? error.code : 'unexpected'
      }
    }),
  )
  const native = library === undefined ? 'config/invalid' : 'native'
  t.deepEqual(picked, [library === undefined ? 'node' : 'native', native, 'node', 'noble'])
})

// Other people's published records stand beside the repository and are not part of it.
const published = new URL('../../../../shared/vectors/ocmf-public.json', import.meta.url)

test('published records of other makers get the verdict that three independent verifiers agree on', (t) => {
  if (!existsSync(published)) {
    t.log(`${published.pathname} is not there: nothing to compare with`)
    t.pass()
    return
  }
  const { records } = JSON.parse(readFileSync(published, 'utf8')) as {
    records: { id: string; record: string; publicKey: string | null; verdict: string }[]
  }
  t.is(records.length, 142)
  const wrong = records.filter(
    ({ record, publicKey, verdict }) => verifyForeignRecord(record, publicKey ?? '').verdict !== verdict,
  )
  t.deepEqual(
    wrong.map(({ id }) => id),
    [],
  )
})

test('a foreign record that cannot be checked says why', (t) => {
  const reasons = [
    '',
    'OCMF|{}',
    'OCMF|{}|nonsense',
    'OCMF|{}|{"SA":"RSA"}',
    'OCMF|{}|{"SD":"xyz"}',
    'OCMF|[]|{"SD":"00"}',
    'OCMF|{}|{"SD":"00","SE":"base85"}',
    'OCMF|{}|{"SD":"00","SM":"text/plain"}',
  ].map((text) => verifyForeignRecord(text, ''))
  for (const result of reasons) t.is(result.verdict, 'invalid')
  t.is(new Set(reasons.map((result) => ('reason' in result ? result.reason : ''))).size, 6)
})
