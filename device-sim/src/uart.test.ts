import test from 'ava'
import fc from 'fast-check'
import type { LineSettings } from './line-timing.ts'
import { makeRandom } from './random.ts'
import { encodeRtuFrame, hasValidCrc } from './rtu-frame.ts'
import { addBitErrors, invert, listen, toWave, understands } from './uart.ts'

const settings: fc.Arbitrary<LineSettings> = fc.record({
  baudRate: fc.constantFrom(1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200),
  parity: fc.constantFrom('none', 'even', 'odd'),
  stopBits: fc.constantFrom(1, 2),
})
const frame = fc
  .tuple(fc.integer({ min: 1, max: 247 }), fc.uint8Array({ minLength: 2, maxLength: 60 }))
  .map(([unitId, pdu]) => encodeRtuFrame(unitId, pdu))

const soundBytes = (characters: ReturnType<typeof listen>) =>
  Uint8Array.from(characters.filter(({ error }) => error === undefined).map(({ byte }) => byte))
const allBytes = (characters: ReturnType<typeof listen>) => Uint8Array.from(characters.map(({ byte }) => byte))

test('the same settings: what is sent is heard, at the time of its stop bits', (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      settings,
      fc.constantFrom(1, 2),
      (bytes, sender, stopBits) => {
        const characters = listen(toWave(bytes, sender), { ...sender, stopBits })
        t.deepEqual(soundBytes(characters), bytes)
        const bits = 9 + (sender.parity === 'none' ? 0 : 1) + sender.stopBits
        const lastMs = (1000 * ((bytes.length - 1) * bits + bits - sender.stopBits + 1)) / sender.baudRate
        t.true(Math.abs(characters.at(-1)!.endMs - lastMs) < 1e-6)
      },
    ),
  )
})

// A frame of n characters is sound at the other parity only if each of them happens to fit: 2^-n. Its bytes may come
// through with an error at each, as real receivers give them; at another speed not even that.
test('other settings: what is sent is never heard as a valid frame beyond chance', (t) => {
  let tried = 0
  let passed = 0
  fc.assert(
    fc.property(frame, settings, settings, (bytes, sender, receiver) => {
      fc.pre(!understands(sender, receiver))
      const heard = listen(toWave(bytes, sender), receiver)
      tried += 1
      const isOtherSpeed = sender.baudRate !== receiver.baudRate
      if (hasValidCrc(soundBytes(heard)) || (isOtherSpeed && hasValidCrc(allBytes(heard)))) passed += 1
    }),
    { numRuns: 5000 },
  )
  t.true(tried > 3000)
  t.true(passed <= tried / 100, `${passed} of ${tried}`)
})

test('swapped wires: no valid frame, and a last character that never ends', (t) => {
  fc.assert(
    fc.property(frame, settings, (bytes, sender) => {
      const heard = listen(invert(toWave(bytes, sender)), sender)
      t.true(['framing', 'break'].includes(heard.at(-1)?.error ?? ''))
      t.false(hasValidCrc(soundBytes(heard)))
    }),
  )
})

test('swapped twice is not swapped', (t) => {
  fc.assert(
    fc.property(frame, settings, (bytes, sender) => {
      t.deepEqual(invert(invert(toWave(bytes, sender))), toWave(bytes, sender))
    }),
  )
})

test('a parity that does not fit, a stop bit that is none and a line held low are told apart', (t) => {
  const even: LineSettings = { baudRate: 9600, parity: 'even', stopBits: 1 }
  const odd: LineSettings = { ...even, parity: 'odd' }
  t.like(listen(toWave(Uint8Array.of(0x31), even), odd), [{ byte: 0x31, error: 'parity' }])
  // Without parity the tenth bit is the stop bit, and an even number of ones makes it 0.
  t.like(listen(toWave(Uint8Array.of(0x33), even), { ...even, parity: 'none' }), [{ byte: 0x33, error: 'framing' }])
  t.like(listen(toWave(Uint8Array.of(0), { ...even, baudRate: 300 }), even), [{ byte: 0, error: 'break' }])
})

test('bit errors come at their rate', (t) => {
  const wave = toWave(new Uint8Array(20_000), { baudRate: 9600, parity: 'none', stopBits: 1 })
  const spoilt = addBitErrors(wave, 0.01, makeRandom(3)).levels
  const errors = spoilt.filter((level, i) => level !== wave.levels[i]).length
  t.true(errors > 1700 && errors < 2300, String(errors))
  t.deepEqual(addBitErrors(wave, 0, makeRandom(3)), wave)
})
