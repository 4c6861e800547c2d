import { generateKeyPairSync, sign } from 'node:crypto'
import test from 'ava'
import fc from 'fast-check'
import { decodeDerSignature, encodeDerSignature } from './der.ts'

const compact = fc
  .uint8Array({ minLength: 64, maxLength: 64 })
  .filter((bytes) => bytes.subarray(0, 32).some(Boolean) && bytes.subarray(32).some(Boolean))

test('SPEC-16: a compact signature survives DER and back', (t) => {
  fc.assert(
    fc.property(compact, (signature) => {
      t.deepEqual(decodeDerSignature(encodeDerSignature(signature)), signature)
    }),
  )
  t.pass()
})

test('SPEC-16: a DER text that is accepted is the only text for its value', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const signature = decodeDerSignature(bytes)
      if (signature !== undefined) t.deepEqual(encodeDerSignature(signature), bytes)
    }),
  )
  t.pass()
})

test('SPEC-16: any one changed byte of the structure is refused or gives another value', (t) => {
  fc.assert(
    fc.property(compact, fc.nat(), fc.integer({ min: 1, max: 255 }), (signature, place, flip) => {
      const der = encodeDerSignature(signature)
      der[place % der.length]! ^= flip
      const decoded = decodeDerSignature(der)
      if (decoded !== undefined) t.notDeepEqual(decoded, signature)
    }),
  )
  t.pass()
})

test('SPEC-16: what node:crypto writes is read, for 256 and 384 bits', (t) => {
  for (const [namedCurve, width] of [
    ['secp256k1', 32],
    ['secp384r1', 48],
  ] as const) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve })
    for (let i = 0; i < 50; i++) {
      const der = sign('sha256', Buffer.from(`${i}`), privateKey)
      t.is(decodeDerSignature(der, width)?.length, 2 * width)
    }
  }
})

const refused: Record<string, number[]> = {
  'nothing at all': [],
  'a sequence of the wrong length': [0x30, 7, 2, 1, 1, 2, 1, 1],
  'no sequence': [0x31, 6, 2, 1, 1, 2, 1, 1],
  'a number that is no INTEGER': [0x30, 6, 3, 1, 1, 2, 1, 1],
  'an empty number': [0x30, 6, 2, 0, 2, 2, 1, 1],
  'a negative number': [0x30, 6, 2, 1, 0x80, 2, 1, 1],
  zero: [0x30, 6, 2, 1, 0, 2, 1, 1],
  'a needless leading zero': [0x30, 7, 2, 2, 0, 1, 2, 1, 1],
  'a number that runs past the end': [0x30, 6, 2, 1, 1, 2, 9, 1],
  'bytes after the second number': [0x30, 7, 2, 1, 1, 2, 1, 1, 0],
  'a number of 33 bytes that is no padding': [0x30, 38, 2, 33, 1, ...Array<number>(32).fill(1), 2, 1, 1],
}

for (const [what, bytes] of Object.entries(refused)) {
  test(`SPEC-16: DER with ${what} is refused`, (t) => {
    t.is(decodeDerSignature(Uint8Array.from(bytes)), undefined)
  })
}

test('a compact signature of another length is a bug of the caller', (t) => {
  t.throws(() => encodeDerSignature(new Uint8Array(63)), { message: /64 bytes expected, got 63/ })
})
