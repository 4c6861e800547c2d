import test from 'ava'
import fc from 'fast-check'
import { WattError } from '../errors.ts'
import { roundRational } from '../units.ts'
import type { Quantity, RegisterType } from './meter-profile.ts'
import { toExactRational } from './rational.ts'
import { registerShapes, registerWords } from './register-types.ts'
import {
  decodeEnergy,
  decodeExact,
  decodeQuantity,
  decodeScaleFactor,
  decodeSerial,
  encodeEnergy,
  encodeQuantity,
} from './registers.ts'

const energy = (more: Partial<Quantity> = {}): Quantity => ({
  measurand: 'Energy.Active.Import.Register',
  functionCode: 4,
  address: 72,
  type: 'float32',
  wordOrder: 'big',
  unit: 'kWh',
  ...more,
})

const types = Object.keys(registerShapes) as RegisterType[]
const anyType = fc.constantFrom(...types)
const anyOrder = fc.constantFrom('big' as const, 'little' as const)
const limitWh = 2n ** 53n - 1n
const wh = (numerator: bigint) => ({ numerator, denominator: 1n })

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof WattError) return error.code
    throw error
  }
  return 'none'
}

// The most Wh that a type holds exactly at 1 Wh a count.
function exactLimit(type: RegisterType): bigint {
  const { words, kind } = registerShapes[type]
  const widest =
    kind === 'float'
      ? type === 'float32'
        ? 2n ** 24n
        : limitWh
      : 2n ** BigInt(words * 16 - (kind === 'signed' ? 1 : 0)) - 1n
  return widest < limitWh ? widest : limitWh
}

test('energies that a register can hold come back to the Wh, for every type and word order', (t) => {
  const cases = fc
    .tuple(anyType, anyOrder)
    .chain(([type, wordOrder]) =>
      fc.tuple(fc.constant(energy({ type, wordOrder, unit: 'Wh' })), fc.bigInt({ min: 0n, max: exactLimit(type) })),
    )
  fc.assert(
    fc.property(
      cases,
      ([quantity, value]) => decodeEnergy(encodeEnergy(wh(value), quantity), quantity).registerWh === value,
    ),
  )
  t.pass()
})

test('words that decode to an energy come back as the same words, for every type and word order', (t) => {
  const cases = fc.tuple(anyType, anyOrder).chain(([type, wordOrder]) => {
    const length = registerShapes[type].words
    const words = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: length, maxLength: length })
    return fc.tuple(fc.constant(energy({ type, wordOrder })), words)
  })
  fc.assert(
    fc.property(cases, ([quantity, words]) => {
      if (codeOf(() => decodeEnergy(words, quantity)) !== 'none') return
      const exact = decodeExact(words, quantity)
      const back = encodeEnergy({ ...exact, numerator: exact.numerator * 1000n }, quantity)
      // Minus zero and subnormal floats, far below any Wh, are the only ones that may differ.
      if (exact.numerator !== 0n && roundRational({ ...exact, numerator: exact.numerator * 10n ** 30n }) > 0n)
        t.deepEqual(back, words)
    }),
  )
  t.pass()
})

test('a larger energy never decodes to a smaller register', (t) => {
  // An int32 that counts Wh rolls over above that.
  const anyWh = fc.bigInt({ min: 0n, max: 2n ** 31n - 1n })
  const two = fc.tuple(anyWh, anyWh)
  const quantities = fc.tuple(
    fc.constantFrom<RegisterType>('float32', 'float64', 'uint64', 'acc32', 'int32'),
    anyOrder,
    fc.constantFrom('1', '0.1', '0.001'),
  )
  fc.assert(
    fc.property(two, quantities, ([a, b], [type, wordOrder, scale]) => {
      const quantity = energy({ type, wordOrder, scale })
      const read = (value: bigint) => decodeEnergy(encodeEnergy(wh(value), quantity), quantity).registerWh
      return a <= b ? read(a) <= read(b) : read(a) >= read(b)
    }),
  )
  t.pass()
})

test('a float32 energy is rounded once, and tells the step that it counts by', (t) => {
  t.deepEqual(decodeEnergy([0x4680, 0x0001], energy()), { registerWh: 16_384_002n, resolutionWh: 1.953125 })
  t.deepEqual(decodeEnergy([0x4800, 0x0020], energy()), { registerWh: 131_072_500n, resolutionWh: 15.625 })
  t.deepEqual(decodeEnergy([0, 0], energy()), { registerWh: 0n, resolutionWh: 1 })
  t.deepEqual(decodeEnergy([0x8000, 0], energy()), { registerWh: 0n, resolutionWh: 1 })
})

test('the resolution is the coarsest of register unit, float step and the meter itself', (t) => {
  t.is(decodeEnergy([0, 5], energy({ type: 'int32', scale: '0.1' })).resolutionWh, 100)
  t.is(decodeEnergy([0, 5], energy({ type: 'uint32', unit: 'MWh', scale: '0.001' })).resolutionWh, 1000)
  t.is(decodeEnergy([0x449a, 0x5225], energy({ resolution: '0.01' })).resolutionWh, 10)
  t.is(decodeEnergy([0x40fe, 0x848e, 0, 0], energy({ type: 'float64' })).resolutionWh, 1)
})

test('an acc32 tells where it starts again, scaled like its counts and never rounded up', (t) => {
  const acc32 = energy({ type: 'acc32', unit: 'Wh' })
  t.is(decodeEnergy([0, 1], acc32).rolloverWh, 2n ** 32n)
  t.is(decodeEnergy([0, 1], acc32, 2).rolloverWh, 100n * 2n ** 32n)
  t.is(decodeEnergy([0, 1], acc32, -2).rolloverWh, 42_949_672n)
  t.is(decodeEnergy([0, 0, 0, 1], energy({ type: 'acc64', unit: 'Wh' })).rolloverWh, 2n ** 64n)
})

test('an integer counter starts again at 0 beyond its width', (t) => {
  t.deepEqual(encodeEnergy(wh(2n ** 32n + 7n), energy({ type: 'acc32', unit: 'Wh' })), [0, 7])
  t.deepEqual(encodeEnergy(wh(2n ** 31n + 7n), energy({ type: 'int32', unit: 'Wh' })), [0, 7])
})

test('what is no energy is refused, with a code for each reason', (t) => {
  const none = energy({ type: 'int32', notImplemented: ['0x7FFFFFFF'] })
  const cases: [string, number[], Quantity][] = [
    ['reading/short', [0x4680], energy()],
    ['reading/not-implemented', [0x7fc0, 0], energy()],
    ['reading/not-implemented', [0x7ff8, 0, 0, 1], energy({ type: 'float64' })],
    ['reading/not-implemented', [0xffff, 0x7fff], { ...none, wordOrder: 'little' }],
    ['reading/out-of-range', [0x7f80, 0], energy()],
    ['reading/out-of-range', [0xbf80, 0], energy()],
    ['reading/out-of-range', [0xffff, 0xffff], none],
    ['reading/out-of-range', [0xffff, 0xffff, 0xffff, 0xffff], energy({ type: 'uint64' })],
  ]
  for (const [code, words, quantity] of cases)
    t.is(
      codeOf(() => decodeEnergy(words, quantity)),
      code,
      words.join(),
    )
})

test('a refusal says what, where and with which value', (t) => {
  t.throws(() => decodeEnergy([0xbf80, 0], energy({ phase: 'L1' })), {
    message: 'Energy.Active.Import.Register L1 at 72: bf80 0000 (float32) is negative',
  })
  t.throws(() => decodeEnergy([1], energy()), {
    message: 'Energy.Active.Import.Register at 72: 2 words expected, got 1',
  })
})

test('other quantities come in their base unit', (t) => {
  const power = energy({ measurand: 'Power.Active.Import', type: 'int16', unit: 'W' })
  t.is(decodeQuantity([0xff38], power, 1), -2000)
  t.is(decodeQuantity([15], { ...power, unit: 'kW', scale: '0.1' }), 1500)
  t.is(decodeQuantity([2500], { ...power, measurand: 'Current.Import', unit: 'mA' }), 2.5)
})

test('a quantity comes back from its words, and stays at the end of its range beyond', (t) => {
  const power = energy({ measurand: 'Power.Active.Import', type: 'int16', unit: 'W' })
  fc.assert(
    fc.property(fc.integer({ min: -0x8000, max: 0x7fff }), anyOrder, (value, wordOrder) => {
      const quantity = { ...power, wordOrder }
      return decodeQuantity(encodeQuantity(value * 10, quantity, 1), quantity, 1) === value * 10
    }),
  )
  t.is(decodeQuantity(encodeQuantity(1e9, power), power), 0x7fff)
  t.is(decodeQuantity(encodeQuantity(-1e9, power), power), -0x8000)
  const volts = energy({ measurand: 'Voltage', unit: 'V' })
  t.is(decodeQuantity(encodeQuantity(230.1, volts), volts), Math.fround(230.1))
})

test('a register takes as many words as its bits', (t) => {
  for (const type of types) t.is(registerWords(type) * 16, Number(type.replace(/\D/g, '')))
})

test('a scale factor is a power of ten between -10 and 10', (t) => {
  t.is(decodeScaleFactor(0xfffe, energy()), -2)
  t.is(decodeScaleFactor(3, energy()), 3)
  t.is(
    codeOf(() => decodeScaleFactor(0x8000, energy())),
    'reading/not-implemented',
  )
  t.is(
    codeOf(() => decodeScaleFactor(11, energy())),
    'reading/out-of-range',
  )
  t.is(
    codeOf(() => decodeScaleFactor(undefined, energy())),
    'reading/short',
  )
})

test('a serial number is read as a number or as padded text', (t) => {
  const number = { type: 'uint32', functionCode: 3, address: 0xfc00, wordOrder: 'big' } as const
  t.is(decodeSerial([0x0001, 0x0002], number), '65538')
  t.is(decodeSerial([0x0002, 0x0001], { ...number, wordOrder: 'little' }), '65538')
  const text = { type: 'string', functionCode: 3, address: 50, words: 3 } as const
  t.is(decodeSerial([0x5a31, 0x3200, 0x4141], text), 'Z12')
  t.is(decodeSerial([0x5a31, 0x3220, 0x2020], text), 'Z12')
  t.is(
    codeOf(() => decodeSerial([0, 0, 0], text)),
    'reading/not-implemented',
  )
  t.is(
    codeOf(() => decodeSerial([0xffff, 0xffff], number)),
    'reading/not-implemented',
  )
  t.is(
    codeOf(() => decodeSerial([1], number)),
    'reading/short',
  )
})

test('an exact float value keeps what rounding to Wh would lose', (t) => {
  t.deepEqual(decodeExact([0x3a83, 0x126f], energy()), toExactRational(Math.fround(0.001)))
})

test('a counter that some models of the profile count below 0 is its distance from 0', (t) => {
  const quantity = energy({ type: 'int32', wordOrder: 'little', scale: '0.1', absolute: true })
  t.is(decodeEnergy([0x9811, 0x0002], quantity).registerWh, 17_000_100n)
  t.is(decodeEnergy([0x67ef, 0xfffd], quantity).registerWh, 17_000_100n)
  const { absolute: _, ...signed } = quantity
  t.throws(() => decodeEnergy([0x67ef, 0xfffd], signed), { message: /is negative/ })
})

test('a serial number with zeros anywhere goes on behind them, and a single character is asked for again', (t) => {
  const register = { type: 'string', functionCode: 4, address: 0x5000, words: 7 } as const
  const skipping = { ...register, skipZeros: true } as const
  const spread = [0x42, 0x56, 0x31, 0, 0, 0, 0]
  t.is(decodeSerial(spread, skipping), 'BV1')
  t.throws(() => decodeSerial(spread, register), { message: /is empty/ })
  t.is(decodeSerial([0x4256, 0x3100, 0, 0, 0, 0, 0], skipping), 'BV1')
  const error = t.throws(() => decodeSerial([0x42, 0, 0, 0, 0, 0, 0], skipping), { instanceOf: WattError })
  t.deepEqual([error?.code, error?.retryable], ['reading/short', true])
  t.throws(() => decodeSerial([0, 0, 0, 0, 0, 0, 0], skipping), { message: /is empty/ })
})
