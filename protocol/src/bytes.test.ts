import { createHash } from 'node:crypto'
import test from 'ava'
import fc from 'fast-check'
import { asciiToBytes, bytesToAscii, fromHex, hashText, sameBytes, toUpperHex } from './bytes.ts'

const ascii = fc.string({ unit: 'grapheme-ascii' })

test('ASCII text survives bytes and back, and hashes as everywhere else', (t) => {
  fc.assert(
    fc.property(ascii, (text) => {
      t.is(bytesToAscii(asciiToBytes(text)), text)
      t.is(hashText(text), createHash('sha256').update(text).digest('hex'))
    }),
  )
})

test('SPEC-10: a character beyond ASCII is told with its place', (t) => {
  t.throws(() => asciiToBytes('abü'), { code: 'record/malformed', message: /character 2 .* U\+fc/ })
  t.is(bytesToAscii(Uint8Array.of(0x41, 0x80)), undefined)
})

test('hex is read in either case, and nothing else is', (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      t.deepEqual(fromHex(toUpperHex(bytes)), bytes)
      t.deepEqual(fromHex(toUpperHex(bytes).toLowerCase()), bytes)
    }),
  )
  for (const bad of ['a', 'zz', '0x', ' 1']) t.is(fromHex(bad), undefined)
})

test('byte strings are the same when every byte is', (t) => {
  t.true(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)))
  t.false(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)))
  t.false(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1)))
})
