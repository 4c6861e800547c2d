import { createHmac } from 'node:crypto'
import test from 'ava'
import fc from 'fast-check'
import { makeTimestamp } from '../timestamp.ts'
import { findOneTimeCode, makeOneTimeCode, type OneTimeCodeKey, oneTimeCodeSlot, sameText } from './one-time-code.ts'

const golden: OneTimeCodeKey = { secret: '1234567890123456', validitySeconds: 30, length: 8 }
const at = (seconds: number) => makeTimestamp(seconds * 1000)

test('SPEC-140: the golden code of OCPP 2.1 web payment', (t) => {
  t.is(makeOneTimeCode(golden, oneTimeCodeSlot(at(1_700_000_000), golden)), 'AGQxo251')
  t.is(findOneTimeCode(golden, 'AGQxo251', at(1_700_000_000)), 56_666_666)
})

const keys = fc.record({
  secret: fc.string({ unit: fc.constantFrom(...'!09AZaz~_-'), minLength: 16, maxLength: 64 }),
  validitySeconds: fc.integer({ min: 1, max: 3600 }),
  length: fc.integer({ min: 8, max: 32 }),
})
const moments = fc.integer({ min: 0, max: 4_000_000_000 })

test('a code is what another HMAC gives, has its length, and only base62', (t) => {
  fc.assert(
    fc.property(keys, moments, (key, seconds) => {
      const slot = Math.floor(seconds / key.validitySeconds)
      const counter = Buffer.alloc(8)
      counter.writeBigUInt64BE(BigInt(slot))
      const mac = createHmac('sha256', key.secret).update(counter).digest()
      const ring = Buffer.concat([mac, mac]).subarray((mac[31] ?? 0) & 15)
      const code = makeOneTimeCode(key, oneTimeCodeSlot(at(seconds), key))
      t.regex(code, new RegExp(`^[0-9a-zA-Z]{${key.length}}$`))
      const digits = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
      t.deepEqual(
        [...code].map((char) => digits.indexOf(char)),
        [...ring.subarray(0, key.length)].map((byte) => byte % 62),
      )
    }),
  )
})

test('a code opens in its interval and the one after, and in no other', (t) => {
  fc.assert(
    fc.property(keys, fc.integer({ min: 100, max: 1_000_000 }), fc.integer({ min: -3, max: 3 }), (key, slot, shift) => {
      const code = makeOneTimeCode(key, slot)
      const moment = at((slot + shift) * key.validitySeconds)
      t.is(findOneTimeCode(key, code, moment), shift === 0 || shift === 1 ? slot : undefined)
      t.is(findOneTimeCode(key, code, moment, 0), shift === 0 ? slot : undefined)
    }),
  )
})

test('a code with one character changed, left out or added opens nothing; case counts', (t) => {
  fc.assert(
    fc.property(keys, fc.nat(31), (key, place) => {
      const slot = 1000
      const code = makeOneTimeCode(key, slot)
      const i = place % code.length
      const other = code[i] === 'x' ? 'y' : 'x'
      for (const wrong of [code.slice(0, i) + other + code.slice(i + 1), code.slice(1), `${code}0`, '']) {
        t.is(findOneTimeCode(key, wrong, at(slot * key.validitySeconds), 0), undefined)
      }
    }),
  )
  t.is(findOneTimeCode(golden, 'agqxo251', at(1_700_000_000)), undefined)
  t.is(findOneTimeCode(golden, makeOneTimeCode(golden, 0), at(3)), 0, 'nothing lies before the first interval')
})

test('texts are compared as wholes', (t) => {
  fc.assert(fc.property(fc.string(), fc.string(), (a, b) => t.is(sameText(a, b), a === b)))
  t.true(sameText('ab', 'ab'))
})

test('a key that could be guessed is refused with every problem', (t) => {
  const wrong = { secret: 'short secret', validitySeconds: 0.5, length: 7 }
  t.throws(() => makeOneTimeCode(wrong, 1), { message: /secret: 16 .*validity: .*length: 8 to 32/ })
  t.throws(() => makeOneTimeCode({ ...golden, secret: '1234567890 123456' }, 1), { message: /secret/ })
  t.throws(() => makeOneTimeCode({ ...golden, length: 33 }, 1), { message: /length/ })
})
