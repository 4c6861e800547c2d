import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { parse } from 'yaml'
import { WattError } from '../errors.ts'
import { energyMeasurands, isEnergyTotal } from './measurands.ts'
import { decodeMeterProfile, fingerprintWords, fitsFingerprint, type MeterProfile } from './meter-profile.ts'
import { equals, parseDecimal } from './rational.ts'
import { decodeEnergy, decodeExact } from './registers.ts'
import { planEnergySnapshot } from './snapshot.ts'

const folder = new URL('../../../hardware/meters/', import.meta.url)
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'))
const load = <T = unknown>(name: string): T => parse(readFileSync(new URL(name, folder), 'utf8'))

const sound = () => structuredClone(decodeMeterProfile(load('eastron-sdm120.yaml'), 'sdm120'))

function problemsOf(input: unknown): string[] {
  try {
    decodeMeterProfile(input, 'p.yaml')
  } catch (error) {
    if (error instanceof WattError && error.code === 'profile/invalid') return error.message.split('\n')
    throw error
  }
  return []
}

for (const name of files) {
  test(`${name}: every vector decodes to its exact value`, (t) => {
    const profile = decodeMeterProfile(load(name), name)
    t.is(`${profile.id}.yaml`, name)
    for (const vector of profile.vectors) {
      const { measurand, phase, tariff } = vector
      const quantity = profile.quantities.find(
        (q) => q.measurand === measurand && q.phase === phase && q.tariff === tariff,
      )
      if (quantity === undefined) throw new Error(`${name}: no quantity for a vector`)
      const words = vector.words.map((word) => Number.parseInt(word, 16))
      t.true(equals(decodeExact(words, quantity, vector.scaleFactor), parseDecimal(vector.value)), vector.value)
      if (vector.registerWh === undefined) continue
      t.is(decodeEnergy(words, quantity, vector.scaleFactor).registerWh, BigInt(vector.registerWh))
    }
  })

  test(`${name}: one request holds the registers of each direction, or it says why no record can be made`, (t) => {
    const profile = decodeMeterProfile(load(name), name)
    const directions = profile.quantities
      .filter(isEnergyTotal)
      .map(({ measurand }) => (measurand === energyMeasurands.import ? 'import' : 'export'))
    if (directions.length === 0) {
      t.throws(() => planEnergySnapshot(profile, ['import']), { message: /no record can be made of it: .*counter/ })
    }
    for (const direction of directions) {
      t.true(planEnergySnapshot(profile, [direction]).count <= profile.maxRegisters)
    }
  })

  test(`${name}: every fact has a source that the file names`, (t) => {
    const profile = decodeMeterProfile(load(name), name)
    const named = [...profile.quantities, ...(profile.fingerprints ?? [])].map(({ source }) => source ?? 'none')
    t.deepEqual(
      // A SunSpec model's points have names, and one source.
      profile.sunspec === undefined
        ? named.flatMap((source) => source.split(' ')).filter((source) => !(source in profile.sources))
        : named.filter((point) => point === 'none' || !('sunspec' in profile.sources)),
      [],
    )
  })
}

test('unknown keys and wrong values are told all at once, with their path', (t) => {
  const broken = {
    ...sound(),
    maxRegisters: 200,
    colour: 'grey',
    quantities: [{ ...sound().quantities[0], endian: 2, address: 70_000 }],
  }
  const problems = problemsOf(broken)
  t.true(problems.some((line) => line.startsWith('p.yaml: maxRegisters: ')))
  t.true(problems.some((line) => line.startsWith('p.yaml: colour: ')))
  t.true(problems.some((line) => line.startsWith('p.yaml: quantities[0].endian: ')))
  t.true(problems.some((line) => line.startsWith('p.yaml: quantities[0].address: ')))
})

const partial = {
  measurand: 'Energy.Active.Import.Interval',
  functionCode: 4,
  address: 0x184,
  type: 'float32',
  wordOrder: 'big',
  unit: 'kWh',
}
const partialVector = {
  measurand: 'Energy.Active.Import.Interval',
  words: ['449A', '5225'],
  value: '1234.5670166015625',
  registerWh: '1234567',
}
const withPartial = (more: object) => ({
  ...sound(),
  quantities: [...sound().quantities, { ...partial, ...more }],
  vectors: [...sound().vectors, partialVector],
})

test('a counter that must never be signed cannot be the energy total', (t) => {
  const profile = sound()
  const [first, ...rest] = profile.quantities
  t.deepEqual(problemsOf({ ...profile, quantities: [{ ...first, sign: 'never', because: 'partial' }, ...rest] }), [
    "p.yaml: quantities[0]: a counter marked 'sign: never' cannot be Energy.Active.Import.Register: name it Energy.Active.Import.Interval",
  ])
})

test('a partial counter has its own measurand, is marked, and says why', (t) => {
  t.deepEqual(problemsOf(withPartial({ sign: 'never', because: 'partial' })), [])
  t.deepEqual(problemsOf(withPartial({})), ["p.yaml: quantities[7]: Energy.Active.Import.Interval needs 'sign: never'"])
  t.deepEqual(problemsOf(withPartial({ sign: 'never' })), ["p.yaml: quantities[7]: 'sign: never' needs 'because'"])
  t.regex(problemsOf(withPartial({ because: 'partial' })).join(), /'because' goes with 'sign: never'/)
  t.regex(problemsOf(withPartial({ sign: 'never', because: 'old' })).join(), /quantities\[7\]\.because/)
})

test("the field's mistake: the EM24's partial counter given as the total is refused", (t) => {
  const em24 = decodeMeterProfile(load('cg-em24-rtu.yaml'), 'em24')
  const mistaken = em24.quantities.map((q) =>
    q.measurand === energyMeasurands.import && !q.phase ? { ...q, address: 0x42 } : q,
  )
  t.deepEqual(problemsOf({ ...em24, quantities: mistaken }), [
    'p.yaml: quantities: Energy.Active.Import.Interval at 0x0042 (partial: never to be signed) stands on Energy.Active.Import.Register at 0x0042',
  ])
  const byTheOtherCode = mistaken.map((q) => (q.sign === 'never' ? q : { ...q, functionCode: 3 }))
  t.regex(problemsOf({ ...em24, quantities: byTheOtherCode }).join(), /partial: never to be signed/)
})

for (const name of files.filter((file) => load<MeterProfile>(file).cannotSign?.startsWith('SunSpec') !== true)) {
  test(`the field's mistake: swapped words are refused by the vectors of ${name}`, (t) => {
    const profile = decodeMeterProfile(load(name), name)
    for (const swapped of profile.quantities.filter(({ measurand }) => measurand.startsWith('Energy.'))) {
      const quantities = profile.quantities.map((q) =>
        q === swapped ? { ...q, wordOrder: q.wordOrder === 'big' ? 'little' : 'big' } : q,
      )
      t.regex(problemsOf({ ...profile, quantities }).join('\n'), /word order|negative|above|infinite|no value/)
    }
  })
}

test('a meter without a total that may be signed says why, and is read for watching only', (t) => {
  const profile = withPartial({ sign: 'never', because: 'writable' })
  const isTotal = ({ measurand }: { measurand: string }) => measurand.endsWith('.Register')
  const watched = {
    ...profile,
    quantities: profile.quantities.filter((q) => !isTotal(q)),
    vectors: profile.vectors.filter((w) => !isTotal(w)),
  }
  t.deepEqual(problemsOf(watched), ['p.yaml: quantities: no energy register over all phases'])
  t.deepEqual(problemsOf({ ...watched, cannotSign: 'its counter can be written' }), [])
  t.deepEqual(problemsOf({ ...profile, cannotSign: 'x' }), [
    'p.yaml: cannotSign: there is an energy register over all phases',
  ])
})

test('a multiplier says how fine a meter counts, never what it counts', (t) => {
  const scaled = (scale: unknown, unit = 'kWh') => ({
    ...sound(),
    quantities: sound().quantities.map((q, i) => (i === 0 ? { ...q, type: 'uint32', scale, unit } : q)),
  })
  t.regex(
    problemsOf(scaled('0.001')).join(),
    /scale 0\.001 in kWh is a bare multiplier that stands for a unit: say unit: Wh/,
  )
  t.regex(problemsOf(scaled('-0.001')).join(), /say unit: Wh/)
  t.regex(problemsOf(scaled('1000', 'Wh')).join(), /say unit: kWh/)
  t.regex(problemsOf(scaled('1')).join(), /scale 1 says nothing/)
  t.regex(problemsOf(scaled('ten')).join(), /quantities\[0\]\.scale: expected a decimal/)
  for (const key of ['type', 'wordOrder', 'unit', 'functionCode', 'address']) {
    const entries = Object.entries({ ...sound().quantities[0], scale: '0.1' })
    const without = Object.fromEntries(entries.filter(([name]) => name !== key))
    t.regex(problemsOf({ ...sound(), quantities: [without] }).join('\n'), new RegExp(`quantities\\[0\\]\\.${key}`))
  }
})

const faulty: [string, (p: MeterProfile) => unknown, RegExp][] = [
  [
    'a unit that does not belong to the measurand',
    (p) => ({ ...p, quantities: [...p.quantities, { ...p.quantities[2], phase: 'L1', unit: 'V' }] }),
    /comes in W, kW, got V/,
  ],
  [
    'a scale of 0',
    (p) => ({ ...p, quantities: p.quantities.map((q) => ({ ...q, scale: '0.0' })) }),
    /scale 0 would make/,
  ],
  [
    'a scale as a float',
    (p) => ({ ...p, quantities: p.quantities.map((q) => ({ ...q, scale: 0.1 })) }),
    /quantities\[0\]\.scale/,
  ],
  [
    'one quantity twice',
    (p) => ({ ...p, quantities: [...p.quantities, p.quantities[0]] }),
    /Energy.Active.Import.Register twice/,
  ],
  [
    'an energy register without a vector',
    (p) => ({ ...p, vectors: p.vectors.filter(({ measurand }) => !measurand.includes('Export')) }),
    /no vector with registerWh for Energy.Active.Export/,
  ],
  [
    'vectors that read the same in both word orders',
    (p) => ({ ...p, vectors: p.vectors.map((w) => ({ ...w, words: ['0000', '0000'], value: '0', registerWh: '0' })) }),
    /none for Energy.Active.Import.Register tells the order of its words/,
  ],
  [
    'a vector whose value is not what the words say',
    (p) => ({ ...p, vectors: p.vectors.map((w, i) => (i === 0 ? { ...w, value: '1234.567' } : w)) }),
    /vectors\[0\]: Energy.Active.Import.Register as float32, word order big: 449A 5225 is not 1234.567 kWh/,
  ],
  [
    'a vector whose watt-hours are not what the words say',
    (p) => ({ ...p, vectors: p.vectors.map((w, i) => (i === 0 ? { ...w, registerWh: '1234568' } : w)) }),
    /1234568 Wh expected, got 1234567/,
  ],
  [
    'two quantities on one register',
    (p) => ({ ...p, quantities: p.quantities.map((q, i) => (i === 3 ? { ...q, address: 0x0d } : q)) }),
    /Voltage L1 at 0x000D stands on Power.Active.Import at 0x000C/,
  ],
  [
    'a vector for nothing',
    (p) => ({ ...p, vectors: [...p.vectors, { ...p.vectors[0], phase: 'L3' }] }),
    /Register L3 is not among the quantities/,
  ],
  [
    'no energy register',
    (p) => ({ ...p, quantities: p.quantities.slice(2), vectors: [] }),
    /no energy register over all phases/,
  ],
  [
    'a register outside its SunSpec model',
    (p) => ({ ...p, sunspec: { model: 203, length: 20 } }),
    /stands outside the model, which ends at offset 21/,
  ],
  [
    'two truths about the roll-over',
    (p) => ({ ...p, rolloverWh: 100, quantities: p.quantities.map((q) => ({ ...q, type: 'acc32' })) }),
    /rolloverWh: acc32/,
  ],
  [
    'a word that is not four hex digits',
    (p) => ({ ...p, vectors: [{ ...p.vectors[0], words: ['0x12'] }] }),
    /vectors\[0\]\.words\[0\]: expected one word/,
  ],
]

for (const [what, change, expected] of faulty) {
  test(`refused: ${what}`, (t) => {
    t.regex(problemsOf(change(sound())).join('\n'), expected)
  })
}

test('the roll-over may be written as a number or as a decimal string', (t) => {
  t.is(decodeMeterProfile({ ...sound(), rolloverWh: 1_000_000_000 }, 'p').rolloverWh, '1000000000')
  t.is(decodeMeterProfile({ ...sound(), rolloverWh: '1000000000' }, 'p').rolloverWh, '1000000000')
  t.regex(problemsOf({ ...sound(), rolloverWh: 0 }).join(), /rolloverWh: expected whole Wh above 0/)
})

test('a fingerprint fits word by word, or one word out of several', (t) => {
  const { fingerprints } = decodeMeterProfile(
    {
      ...sound(),
      fingerprints: [
        { functionCode: 3, address: 0x8960, words: ['4232', '3320'], model: 'B23' },
        { functionCode: 4, address: 0x000b, wordIn: ['0670', '0671'] },
      ],
    },
    'p',
  )
  const [type, code] = fingerprints!
  t.deepEqual([type!, code!].map(fingerprintWords), [2, 1])
  t.true(fitsFingerprint([0x4232, 0x3320], type!))
  t.false(fitsFingerprint([0x4232], type!))
  t.true(fitsFingerprint([0x0671], code!))
  t.false(fitsFingerprint([0x0672], code!))
  t.false(fitsFingerprint([], code!))
})

test('a fingerprint says what stands there in one way, and SunSpec needs none', (t) => {
  const place = { functionCode: 4, address: 0x000b }
  const both = { ...place, words: ['0001'], wordIn: ['0001'] }
  for (const bad of [place, both]) {
    t.regex(problemsOf({ ...sound(), fingerprints: [bad] }).join(), /fingerprints\[0\]: expected exactly one of words/)
  }
  const sunspec = load('sunspec-meter-203.yaml') as object
  t.regex(problemsOf({ ...sunspec, fingerprints: [{ ...place, words: ['0001'] }] }).join(), /told by its chain/)
})
