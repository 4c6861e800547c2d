import test from 'ava'
import fc from 'fast-check'
import { formatKwh, parseKwh, roundRational } from './units.ts'

test('SPEC-1: watt-hours survive kilowatt-hours with three decimals, and back', (t) => {
  fc.assert(fc.property(fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n }), (wh) => t.is(parseKwh(formatKwh(wh)), wh)))
  t.is(formatKwh(0n), '0.000')
  t.is(formatKwh(7n), '0.007')
  t.is(formatKwh(-1234n), '-1.234')
})

for (const text of ['', '1', '1.2', '1.2345', '01.000', '1,000', '.500', '1e3', ' 1.000', '0x1.000']) {
  test(`SPEC-13: '${text}' is no kWh value`, (t) => {
    t.throws(() => parseKwh(text), { code: 'record/malformed', message: /three decimals/ })
  })
}

test('SPEC-2: rounding is to the nearest, ties away from zero, and never turns a rise into a fall', (t) => {
  t.is(roundRational({ numerator: 5n, denominator: 2n }), 3n)
  t.is(roundRational({ numerator: -5n, denominator: 2n }), -3n)
  t.is(roundRational({ numerator: 7n, denominator: 3n }), 2n)
  const numerator = fc.bigInt({ min: -(10n ** 15n), max: 10n ** 15n })
  fc.assert(
    fc.property(
      numerator,
      fc.bigInt({ min: 0n, max: 10n ** 9n }),
      fc.bigInt({ min: 1n, max: 10n ** 6n }),
      (a, rise, d) =>
        t.true(
          roundRational({ numerator: a + rise, denominator: d }) >= roundRational({ numerator: a, denominator: d }),
        ),
    ),
  )
})
