import test from 'ava'
import fc from 'fast-check'
import { EnergyTree } from './energy-tree.ts'
import { makeLoadCurve } from './load-curve.ts'

const start = Date.parse('2026-06-21T00:00:00Z') / 1000
const constant = (powerW: number) => makeLoadCurve({ constant: { powerW } }, { seed: 0 })
const net = (tree: EnergyTree, id: string) => tree.flowOf(id).importMillijoules - tree.flowOf(id).exportMillijoules

test('house = load - roof + battery, to the last mJ, for every seed', (t) => {
  const seed = fc.integer({ min: 0, max: 10_000 })
  fc.assert(
    fc.property(seed, fc.integer({ min: 0, max: 86_400 }), fc.integer({ min: 1, max: 4000 }), (s, hour, seconds) => {
      const load = makeLoadCurve('household', { seed: s })
      const tree = new EnergyTree(
        [
          { id: 'house', curve: load, sees: ['roof', 'battery'] },
          { id: 'roof', curve: makeLoadCurve('solar', { seed: s + 1 }), sees: [] },
          { id: 'battery', curve: makeLoadCurve('battery', { seed: s + 2 }), sees: [] },
          { id: 'load', curve: load, sees: [] },
        ],
        start + hour,
      )
      tree.stepTo(seconds)
      t.is(net(tree, 'house'), net(tree, 'load') + net(tree, 'roof') + net(tree, 'battery'))
      const { importMillijoules, exportMillijoules } = tree.flowOf('house')
      t.true(importMillijoules >= 0n && exportMillijoules >= 0n)
    }),
    { numRuns: 30 },
  )
})

test('import and export are netted at each moment, not over the day', (t) => {
  let seconds = 0
  const swinging = () => (seconds++ % 2 === 0 ? 1000 : -1000)
  const tree = new EnergyTree([{ id: 'a', curve: swinging, sees: [] }], start)
  tree.stepTo(10)
  t.is(tree.flowOf('a').importMillijoules, 5000n)
  t.is(tree.flowOf('a').exportMillijoules, 5000n)
})

test('it does not matter in how many steps somebody looks', (t) => {
  const make = () => new EnergyTree([{ id: 'a', curve: makeLoadCurve('household', { seed: 5 }), sees: [] }], start)
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { maxLength: 20 }), (waits) => {
      const [often, once] = [make(), make()]
      const end = waits.reduce((now, wait) => {
        often.stepTo(now + wait)
        return now + wait
      }, 0)
      once.stepTo(end)
      t.deepEqual(often.flowOf('a').importMillijoules, once.flowOf('a').importMillijoules)
    }),
  )
})

test('a meter that is cut off stops the flow behind it and above it', (t) => {
  const tree = new EnergyTree(
    [
      { id: 'grid', curve: constant(0), sees: ['house'] },
      { id: 'house', curve: constant(500), sees: ['roof'] },
      { id: 'roof', curve: constant(-200), sees: [] },
    ],
    start,
  )
  tree.stepTo(10)
  tree.setCut('house', true)
  t.true(tree.isDark('roof'))
  t.false(tree.isDark('grid'))
  tree.stepTo(20)
  tree.setCut('house', false)
  tree.stepTo(30)
  t.is(net(tree, 'grid'), 20n * 300_000n)
  t.is(net(tree, 'roof'), -20n * 200_000n)
})

test('one hour of 1 kW is 1 kWh', (t) => {
  const tree = new EnergyTree([{ id: 'a', curve: constant(1000), sees: [] }], start)
  tree.stepTo(3600)
  t.is(tree.flowOf('a').importMillijoules, 1000n * 3_600_000n)
  t.throws(() => tree.flowOf('b'), { message: /no meter 'b'/ })
})
