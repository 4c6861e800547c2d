import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { parse } from 'yaml'
import { decodeMeterProfile, type MeterProfile } from './meter-profile.ts'
import { findContradictions } from './profile-contradictions.ts'

const folder = new URL('../../../hardware/meters/', import.meta.url)
const shipped = readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => decodeMeterProfile(parse(readFileSync(new URL(name, folder), 'utf8')), name))
const find = (id: string) => shipped.find((profile) => profile.id === id)!

// As somebody would write it who knows the EM24 from other programs only: no mark, and no word of our file.
function ownEm24(change: Partial<MeterProfile>): MeterProfile {
  const { fingerprints: _, ...em24 } = find('cg-em24-rtu')
  const [total] = em24.quantities
  return {
    ...em24,
    id: 'my-em24',
    quantities: [{ ...total!, address: 0x42 }],
    vectors: em24.vectors.slice(0, 1),
    ...change,
  }
}

test('no two profiles that ship contradict each other', (t) => {
  for (const profile of shipped) t.deepEqual(findContradictions(profile, shipped), [])
})

test('a partial counter given as the total is told by the profile that knows it', (t) => {
  for (const models of [['EM24'], ['em24 via adapter'], ['Modbus EM24-DIN']]) {
    t.deepEqual(findContradictions(ownEm24({ models }), shipped), [
      'quantities: Energy.Active.Import.Register at 0x0042 is Energy.Active.Import.Interval at 0x0042 (partial: never to be signed) in cg-em24-rtu, the same meter',
    ])
  }
})

test('a meter under another name is known by what identifies it', (t) => {
  const fingerprints: MeterProfile['fingerprints'] = [{ functionCode: 3, address: 0x000b, words: ['0048'] }]
  const problems = findContradictions(ownEm24({ brand: 'OEM', models: ['X1'], fingerprints }), shipped)
  t.regex(problems.join(), /cg-em24-rtu, the same meter/)
})

test("a phase's counter given as the total is told too", (t) => {
  const problems = findContradictions(ownEm24({ models: ['EM24DINAV23XE1X'] }), shipped)
  t.regex(problems.join(), /0x0042 is Energy.Active.Import.Register L2 at 0x0042 in cg-em24-ethernet/)
})

test('the same register of another meter is no contradiction', (t) => {
  t.deepEqual(findContradictions(ownEm24({ brand: 'Other', models: ['EM24'] }), shipped), [])
  t.deepEqual(findContradictions(ownEm24({ models: ['WM20'] }), shipped), [])
  t.deepEqual(findContradictions({ ...find('sunspec-meter-203'), id: 'own' }, shipped), [])
})
