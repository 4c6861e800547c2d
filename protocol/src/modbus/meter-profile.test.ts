import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { parse } from 'yaml'
import { WattError } from '../errors.ts'
import { decodeMeterProfile, fingerprintWords, fitsFingerprint, type MeterProfile } from './meter-profile.ts'
import { equals, parseDecimal } from './rational.ts'
import { decodeEnergy, decodeExact } from './registers.ts'
import { planEnergySnapshot } from './snapshot.ts'

const folder = new URL('../../../hardware/meters/', import.meta.url)
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'))
const load = (name: string): unknown => parse(readFileSync(new URL(name, folder), 'utf8'))

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
      const quantity = profile.quantities.find((q) => q.measurand === vector.measurand && q.phase === vector.phase)
      if (quantity === undefined) throw new Error(`${name}: no quantity for a vector`)
      const words = vector.words.map((word) => Number.parseInt(word, 16))
      t.true(equals(decodeExact(words, quantity, vector.scaleFactor), parseDecimal(vector.value)), vector.value)
      if (vector.registerWh === undefined) continue
      t.is(decodeEnergy(words, quantity, vector.scaleFactor).registerWh, BigInt(vector.registerWh))
    }
  })

  test(`${name}: one request holds the energy registers of a reading`, (t) => {
    const profile = decodeMeterProfile(load(name), name)
    t.true(planEnergySnapshot(profile, ['import', 'export']).count <= profile.maxRegisters)
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

test('a counter that must never be signed cannot be the energy total', (t) => {
  const profile = sound()
  const [first, ...rest] = profile.quantities
  t.deepEqual(problemsOf({ ...profile, quantities: [{ ...first, sign: 'never' }, ...rest] }), [
    "p.yaml: quantities[0]: a counter marked 'sign: never' cannot be Energy.Active.Import.Register: name it Energy.Active.Import.Interval",
  ])
})

test('a partial counter has its own measurand, and is marked', (t) => {
  const profile = sound()
  const partial = {
    measurand: 'Energy.Active.Import.Interval',
    functionCode: 4,
    address: 0x184,
    type: 'float32',
    wordOrder: 'big',
    unit: 'kWh',
  }
  t.deepEqual(problemsOf({ ...profile, quantities: [...profile.quantities, { ...partial, sign: 'never' }] }), [])
  t.deepEqual(problemsOf({ ...profile, quantities: [...profile.quantities, partial] }), [
    "p.yaml: quantities[7]: Energy.Active.Import.Interval needs 'sign: never'",
  ])
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
    (p) => ({ ...p, vectors: p.vectors.slice(1, 2) }),
    /no vector with registerWh for Energy.Active.Export/,
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
