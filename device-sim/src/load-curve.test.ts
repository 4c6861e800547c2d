import test from 'ava'
import fc from 'fast-check'
import { type CurveName, makeLoadCurve } from './load-curve.ts'
import { makeRandom } from './random.ts'

const midsummer = Date.parse('2026-06-21T00:00:00Z') / 1000
const moment = fc.integer({ min: midsummer, max: midsummer + 365 * 86_400 })
const seed = fc.integer({ min: 0, max: 1000 })
const name = fc.constantFrom<CurveName>('solar', 'household', 'battery', 'grid')

test('the generator is the published mulberry32', (t) => {
  const random = makeRandom(1)
  t.deepEqual(
    [random(), random()].map((x) => Math.floor(x * 2 ** 32)),
    [2_693_262_067, 11_749_833],
  )
})

test('a curve is a function of seed and moment, in whole mW', (t) => {
  fc.assert(
    fc.property(name, seed, fc.array(moment, { minLength: 1, maxLength: 5 }), (curve, s, moments) => {
      const [a, b] = [makeLoadCurve(curve, { seed: s }), makeLoadCurve(curve, { seed: s })]
      const ahead = moments.map(a)
      const back = moments.toReversed().map(b).reverse()
      t.deepEqual(ahead, back)
      t.true(ahead.every(Number.isSafeInteger))
    }),
  )
})

test('the sun shines by day, never at night, and only exports', (t) => {
  fc.assert(
    fc.property(seed, moment, (s, at) => {
      const power = makeLoadCurve('solar', { seed: s, peakW: 5000 })(at)
      const hour = (at % 86_400) / 3600
      return power <= 0 && power >= -5_000_000 && (hour > 3 && hour < 21 ? true : power === 0)
    }),
  )
  t.true(makeLoadCurve('solar', { seed: 7 })(midsummer + 12 * 3600) < -1_000_000)
})

test('a household always draws something', (t) => {
  fc.assert(fc.property(seed, moment, (s, at) => makeLoadCurve('household', { seed: s })(at) > 100_000))
  t.pass()
})

test('a battery gives back nine tenths of what it took, each day', (t) => {
  const curve = makeLoadCurve('battery', { seed: 3 })
  let [taken, given] = [0, 0]
  for (let at = midsummer; at < midsummer + 86_400; at += 1) {
    const power = curve(at)
    if (power > 0) taken += power
    else given -= power
  }
  t.true(Math.abs(given / taken - 0.9) < 0.001)
})

test('different seeds are different houses', (t) => {
  const day = Array.from({ length: 1440 }, (_, minute) => midsummer + minute * 60)
  t.notDeepEqual(day.map(makeLoadCurve('household', { seed: 1 })), day.map(makeLoadCurve('household', { seed: 2 })))
})

test('a constant load is constant, also negative', (t) => {
  t.is(makeLoadCurve({ constant: { powerW: -1234.5 } }, { seed: 0 })(midsummer), -1_234_500)
})
