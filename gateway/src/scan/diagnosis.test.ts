import test from 'ava'
import { diagnose } from './diagnosis.ts'
import { checks } from './fault-words.ts'
import type { LineEvidence, UnitEvidence } from './line-evidence.ts'
import type { LengthTally } from './line-tally.ts'

// Evidence as scans of the simulated line recorded it, cut down to what differs.

const tally = (garbled: number, keptLength: number, lengths: readonly LengthTally[]): UnitEvidence['tally'] => ({
  answers: lengths.reduce((sum, { asked }) => sum + asked, 0) - garbled,
  garbled,
  keptLength,
  secondAnswers: 0,
  lateMs: [],
  lengths,
})
const clean = tally(0, 0, [
  { bytes: 9, asked: 12, garbled: 0 },
  { bytes: 69, asked: 4, garbled: 0 },
])
const format = { baudRate: 9600, parity: 'none', stopBits: 1 } as const

const unit = (unitId: number, more: Partial<UnitEvidence> = {}): UnitEvidence => ({
  unitId,
  format,
  tally: clean,
  serials: [`${unitId}00`],
  latencyMs: 9,
  identity: { profile: 'eastron-sdm630', shift: 0, swapped: false },
  phases: [{ phase: 'L1', volts: 230, amps: 4, watts: 900, powerFactor: 0.98 }],
  ...more,
})

const line = (more: Partial<LineEvidence> = {}): LineEvidence => ({
  kind: 'serial',
  searchedAll: false,
  idleBytes: 0,
  noiseBytes: 0,
  levelBytes: 0,
  foreignRequests: 0,
  foreignAnswers: 0,
  units: [unit(1), unit(2)],
  missing: [],
  ...more,
})

const phase = (name: string, powerFactor: number) => ({ phase: name, volts: 230, amps: 4, powerFactor })
const spoiled = tally(14, 13, [
  { bytes: 9, asked: 20, garbled: 3 },
  { bytes: 69, asked: 16, garbled: 11 },
])
const collided = tally(16, 2, [
  { bytes: 9, asked: 20, garbled: 9 },
  { bytes: 69, asked: 16, garbled: 7 },
])

const cases: Readonly<Record<string, LineEvidence>> = {
  'a-b-swapped': line({ units: [], noiseBytes: 14, levelBytes: 14 }),
  'wrong-baud-rate': line({ expected: { ...format, baudRate: 19_200 } }),
  'wrong-parity': line({ expected: { ...format, parity: 'even' } }),
  'duplicate-address': line({ units: [unit(1), unit(5, { serials: ['11', '12'] })] }),
  'missing-termination': line({ units: [unit(1, { tally: spoiled }), unit(2, { tally: spoiled })] }),
  'second-client': line({ foreignRequests: 3, units: [unit(1, { tally: spoiled }), unit(2)] }),
  'shifted-map': line({ units: [unit(1, { identity: { profile: 'eastron-sdm630', shift: 1, swapped: false } })] }),
  'swapped-words': line({ units: [unit(1, { identity: { profile: 'eastron-sdm630', shift: 0, swapped: true } })] }),
  'reversed-feed': line({ units: [unit(1, { phases: [phase('L1', -0.98), phase('L2', -0.97)] })] }),
  'transformer-on-wrong-phase': line({ units: [unit(1, { phases: [phase('L1', -0.5), phase('L3', 0.98)] })] }),
  'slow-device': line({ units: [unit(1), unit(2, { latencyMs: 900 })] }),
  'missing-device': line({ missing: [7] }),
  'other-meter': line({ units: [unit(1, { expected: { profile: 'eastron-sdm120', role: 'consumer' } })] }),
}

for (const [fault, evidence] of Object.entries(cases)) {
  test(`${fault} is the first guess, with a sentence and what to check`, (t) => {
    const [first] = diagnose(evidence)
    t.is(String(first?.fault), fault)
    t.regex(first?.sentence ?? '', /^[A-Z0-9].*[.]$/)
    t.notRegex(first?.sentence ?? '', /undefined|NaN/)
    t.true((first?.check.length ?? 0) > 0)
  })
}

test('sound evidence has no diagnosis', (t) => {
  t.deepEqual(diagnose(line()), [])
  t.deepEqual(diagnose(line({ expected: format })), [])
})

test('the guesses come in the order of their weight', (t) => {
  const weights = diagnose(line({ units: [], noiseBytes: 3 })).map(({ weight }) => weight)
  t.true(weights.length > 2)
  t.deepEqual(
    weights,
    weights.toSorted((a, b) => b - a),
  )
})

test('answers that lie on top of each other at one id alone speak of two devices there', (t) => {
  const [first] = diagnose(line({ units: [unit(1), unit(2), unit(5, { tally: collided, serials: [] })] }))
  t.like(first, { fault: 'duplicate-address', unitId: 5 })
})

test('power that flows backwards is nothing wrong where the config says that it is a roof', (t) => {
  const phases = [{ phase: 'L1', volts: 230, amps: 4, watts: -900, powerFactor: -0.98 }]
  const as = (role: 'producer' | 'consumer') =>
    diagnose(line({ units: [unit(1, { phases, expected: { profile: 'eastron-sdm630', role } })] }))
  t.deepEqual(as('producer'), [])
  t.like(as('consumer')[0], { fault: 'reversed-feed', certainty: 'almost certain' })
})

test('one phase backwards among others is a transformer the other way round, whatever the role', (t) => {
  const [first] = diagnose(line({ units: [unit(1, { phases: [phase('L1', 0.98), phase('L2', -0.98)] })] }))
  t.is(first?.fault, 'reversed-feed')
  t.regex(first?.sentence ?? '', /L2 -0.98/)
  t.notRegex(first?.sentence ?? '', /L1/)
})

test('a full search that found nobody does not blame the settings', (t) => {
  const faults = diagnose(line({ units: [], searchedAll: true })).map(({ fault }) => fault)
  t.deepEqual(faults, ['a-b-swapped', 'nothing-there'])
})

test('every fault says what to check', (t) => {
  t.true(Object.values(checks).every((check) => check.length > 0))
})
