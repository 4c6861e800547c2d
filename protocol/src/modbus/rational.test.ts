import test from 'ava'
import fc from 'fast-check'
import {
  divide,
  equals,
  floatStep,
  multiply,
  parseDecimal,
  powerOfTen,
  toExactRational,
  toNearestFloat,
} from './rational.ts'

const finite = fc.double({ noDefaultInfinity: true, noNaN: true })
const normal = finite.filter((x) => x === 0 || (Math.abs(x) > 1e-290 && Math.abs(x) < 1e290))

test('a decimal is parsed exactly', (t) => {
  t.deepEqual(parseDecimal('-0.25'), { numerator: -25n, denominator: 100n })
  t.deepEqual(parseDecimal('1000'), { numerator: 1000n, denominator: 1n })
})

test('every normal float64 survives the way to a rational and back', (t) => {
  fc.assert(fc.property(normal, (x) => toNearestFloat(toExactRational(x), 53) === (x === 0 ? 0 : x)))
  t.true(equals(toExactRational(5e-324), { numerator: 1n, denominator: 1n << 1074n }))
})

test('the nearest float32 of a float64 is what the hardware rounds to', (t) => {
  const inRange = finite.filter((x) => Math.abs(x) > 1e-37 && Math.abs(x) < 3e38)
  fc.assert(fc.property(inRange, (x) => toNearestFloat(toExactRational(x), 24) === Math.fround(x)))
  t.is(toNearestFloat(parseDecimal('0.1'), 53), 0.1)
})

test('ties round to even, and whatever is beyond half rounds up', (t) => {
  t.is(toNearestFloat({ numerator: 2n ** 24n + 1n, denominator: 1n }, 24), 2 ** 24)
  t.is(toNearestFloat({ numerator: 2n ** 24n + 3n, denominator: 1n }, 24), 2 ** 24 + 4)
  t.is(toNearestFloat({ numerator: 10n * (2n ** 24n + 1n) + 1n, denominator: 10n }, 24), 2 ** 24 + 2)
})

test('dividing by what was multiplied gives the same number, whatever the sign', (t) => {
  const rational = fc
    .tuple(fc.bigInt(), fc.bigInt({ min: 1n }))
    .map(([numerator, denominator]) => ({ numerator, denominator }))
  fc.assert(fc.property(rational, rational, (a, b) => b.numerator === 0n || equals(divide(multiply(a, b), b), a)))
  t.deepEqual(divide(powerOfTen(0), { numerator: -2n, denominator: 3n }), { numerator: -3n, denominator: 2n })
})

test('powers of ten go both ways', (t) => {
  t.deepEqual(powerOfTen(3), { numerator: 1000n, denominator: 1n })
  t.deepEqual(powerOfTen(-2), { numerator: 1n, denominator: 100n })
})

test('the step of a float32 is what the next float32 differs by', (t) => {
  t.is(floatStep(16_384, 24), 2 ** -9)
  t.is(floatStep(16_383.99, 24), 2 ** -10)
  t.is(floatStep(-131_072, 24), 2 ** -6)
  t.is(floatStep(1, 53), Number.EPSILON)
  t.is(floatStep(0, 24), 0)
})
