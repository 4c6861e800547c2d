import type { Currency } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { formatAmount, formatUnits, parseAmount, parseAsset, parseCurrency } from './amounts.ts'

const [eur, yen, dinar, clf] = ['EUR', 'JPY', 'KWD', 'CLF'] as readonly string[] as [
  Currency,
  Currency,
  Currency,
  Currency,
]

test('amounts are read as people write them, and nothing is rounded', (t) => {
  for (const [text, amount] of [
    ['1', 1000n],
    ['0.5', 500n],
    ['12.345', 12_345n],
    ['007.01', 7010n],
  ] as const) {
    t.is(parseAmount(text, 'WATT'), amount)
  }
  t.is(parseAmount('700000000', 'EEA'), 700_000_000n)
  for (const bad of ['', '1.2345', '-1', '1e3', '1,5', '.5', '1.'])
    t.throws(() => parseAmount(bad, 'WATT'), { code: 'transfer/invalid' })
  t.throws(() => parseAmount('1.5', 'EEA'), { code: 'transfer/invalid' })
})

test('SPEC-88: money is counted in the minor units of ISO 4217, whatever this machine believes of its digits', (t) => {
  const read = [
    ['12.5', eur, 1250n, '12.50 EUR'],
    ['0.01', eur, 1n, '0.01 EUR'],
    ['12', yen, 12n, '12 JPY'],
    ['1.001', dinar, 1001n, '1.001 KWD'],
    ['1.0001', clf, 10_001n, '1.0001 CLF'],
    ['3', 'HUF' as Currency, 300n, '3.00 HUF'],
  ] as const
  for (const [text, asset, units, shown] of read) {
    t.is(parseAmount(text, asset), units)
    t.is(formatAmount(units, asset), shown)
  }
  t.is(formatUnits(-5n, eur), '-0.05')
  for (const [bad, asset] of [
    ['0.001', eur],
    ['1.0', yen],
    ['1.00001', clf],
    ['123456789012345', clf],
  ] as const)
    t.throws(() => parseAmount(bad, asset), { code: 'transfer/invalid' })
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10n ** 15n - 1n }), fc.constantFrom(eur, yen, dinar), (units, asset) => {
      t.is(parseAmount(formatUnits(units, asset), asset), units)
    }),
    { numRuns: 50 },
  )
})

test('SPEC-88: a currency that is not in use is taken for mistyped where it is ordered', (t) => {
  t.deepEqual(['WATT', 'EEA', 'EUR'].map(parseAsset), ['WATT', 'EEA', 'EUR'])
  for (const bad of ['EURO', 'eur', 'EEA', 'ZZZ', '']) t.throws(() => parseCurrency(bad), { code: 'transfer/invalid' })
})
