import { readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { parse } from 'yaml'
import { decodeMeterProfile, type MeterProfile } from './meter-profile.ts'
import { decodeEnergy, encodeEnergy } from './registers.ts'
import { decodeEnergySnapshot, planEnergySnapshot } from './snapshot.ts'

const load = (id: string): MeterProfile =>
  decodeMeterProfile(parse(readFileSync(new URL(`../../../hardware/meters/${id}.yaml`, import.meta.url), 'utf8')), id)
const sdm630 = load('eastron-sdm630')
const sunspec = load('sunspec-meter-203')

const withExport = (change: Partial<MeterProfile['quantities'][number]>): MeterProfile => ({
  ...sdm630,
  quantities: sdm630.quantities.map((q, i) => (i === 1 ? { ...q, ...change } : q)),
})

test('both directions come from one request', (t) => {
  const plan = planEnergySnapshot(sdm630, ['import', 'export'])
  t.like(plan, { functionCode: 4, address: 0x48, count: 4 })
  t.deepEqual(decodeEnergySnapshot(plan, [0x4680, 0x0001, 0x449a, 0x5225]), {
    import: { registerWh: 16_384_002n, resolutionWh: 1.953125 },
    export: { registerWh: 1_234_567n, resolutionWh: 1 },
  })
})

test('one direction asks for its register only', (t) => {
  const plan = planEnergySnapshot(sdm630, ['export'])
  t.like(plan, { address: 0x4a, count: 2 })
  t.deepEqual(Object.keys(decodeEnergySnapshot(plan, [0, 0])), ['export'])
})

test('a SunSpec snapshot holds its scale factor, wherever the model stands', (t) => {
  const plan = planEnergySnapshot(sunspec, ['import', 'export'], 40_070)
  t.like(plan, { functionCode: 3, address: 40_108, count: 17 })
  const words = Array.from({ length: 17 }, () => 0)
  words.splice(0, 2, 0, 100)
  words.splice(8, 2, 1, 0)
  words[16] = 0xffff
  t.deepEqual(decodeEnergySnapshot(plan, words), {
    import: { registerWh: 6554n, resolutionWh: 1, rolloverWh: 429_496_729n },
    export: { registerWh: 10n, resolutionWh: 1, rolloverWh: 429_496_729n },
  })
})

test('a mandatory SunSpec total at 0 is a register at 0: a meter that never exported still has readings', (t) => {
  const plan = planEnergySnapshot(sunspec, ['import'])
  const words = Array.from({ length: 9 }, () => 0)
  t.is(decodeEnergySnapshot(plan, words).import?.registerWh, 0n)
})

test('an optional SunSpec counter at 0 is not accumulated, and no reading', (t) => {
  const perPhase = sunspec.quantities.find(({ phase, type }) => phase === 'L1' && type === 'acc32')
  if (perPhase === undefined) throw new Error('the profile has counters per phase')
  t.throws(() => decodeEnergy([0, 0], perPhase), { message: /no value, the meter sent 0000 0000/ })
})

test('words beyond the plan change nothing, fewer are refused', (t) => {
  const plan = planEnergySnapshot(sdm630, ['import', 'export'])
  const [wordsImport, wordsExport] = plan.parts.map((part) => part.quantity)
  if (wordsImport === undefined || wordsExport === undefined) throw new Error('two parts expected')
  const kWh = (n: number) => ({ numerator: BigInt(n) * 1000n, denominator: 1n })
  const words = [...encodeEnergy(kWh(5), wordsImport), ...encodeEnergy(kWh(3), wordsExport)]
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }), (more) => {
      t.deepEqual(decodeEnergySnapshot(plan, [...words, ...more]), decodeEnergySnapshot(plan, words))
    }),
  )
  t.throws(() => decodeEnergySnapshot(plan, words.slice(1)), { message: '4 words expected at 72, got 3' })
})

test('the roll-over of a profile comes with each direction', (t) => {
  const plan = planEnergySnapshot({ ...sdm630, rolloverWh: '100000000' }, ['import'])
  t.is(decodeEnergySnapshot(plan, [0, 0]).import?.rolloverWh, 100_000_000n)
})

test('registers that one request cannot hold are refused', (t) => {
  t.throws(() => planEnergySnapshot(withExport({ address: 0x148 }), ['import', 'export']), {
    message: 'profile eastron-sdm630: its energy registers span 258 registers, one request holds 80',
  })
  t.throws(() => planEnergySnapshot(withExport({ functionCode: 3 }), ['import', 'export']), {
    message: /two function codes/,
  })
  t.throws(() => planEnergySnapshot(withExport({ phase: 'N' }), ['export']), {
    message: /has no Energy.Active.Export.Register/,
  })
  t.throws(() => planEnergySnapshot(sdm630, []), { message: /no direction/ })
})
