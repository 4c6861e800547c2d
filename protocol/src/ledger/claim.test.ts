import test from 'ava'
import fc from 'fast-check'
import { firstEpoch, roofRecord } from '../../test/arbitraries.ts'
import { type Role, roles } from '../certificate.ts'
import type { ClockStatus } from '../clock.ts'
import { makeGatewayId, makeMeterId, makePointId } from '../ids.ts'
import type { OcmfRecord } from '../ocmf.ts'
import { type ReadingState, type Registers, readingStateNames, readingStates } from '../reading.ts'
import { makeTimestamp } from '../timestamp.ts'
import { type Base, makeClaim, stepBase } from './claim.ts'

const rules = { maxPowerW: 43_000, rolloverWh: 1_000_000n }
const hour = 3_600_000

function reading(
  hours: number,
  registers: Registers,
  state: ReadingState = 'ok',
  clockStatus: ClockStatus = 'S',
): OcmfRecord {
  const takenAt = makeTimestamp(firstEpoch + hours * hour)
  return roofRecord(5, '0'.repeat(64), { registers, state, takenAt, clockStatus })
}

const base: Base = { registers: { export: 1000n }, takenAt: makeTimestamp(firstEpoch), clockStatus: 'S' }

test('SPEC-80: the first register starts the count and counts nothing', (t) => {
  const step = stepBase(undefined, reading(0, { export: 1000n }), rules)
  t.deepEqual(step, { kind: 'counted', base, energy: { import: 0n, export: 0n } })
})

test('SPEC-80: a sound register counts its difference to the last sound one', (t) => {
  t.like(stepBase(base, reading(1, { export: 6000n }), rules), {
    kind: 'counted',
    energy: { import: 0n, export: 5000n },
  })
})

test('SPEC-80: an accepted swap starts the count anew', (t) => {
  const step = stepBase(base, reading(1, { export: 7n }, 're-based'), rules)
  t.like(step, { kind: 'counted', energy: { import: 0n, export: 0n } })
})

test('SPEC-80: a roll-over adds the width where it is enrolled, and is a decrease where it is not', (t) => {
  const near: Base = { ...base, registers: { export: 999_000n } }
  const after = reading(1, { export: 500n }, 'roll-over')
  t.like(stepBase(near, after, rules), { kind: 'counted', energy: { export: 1500n, import: 0n } })
  t.like(stepBase(near, after, { maxPowerW: 43_000 }), { kind: 'refused', code: 'register/decreased' })
  t.like(stepBase({ ...near, registers: { export: 2_000_000n } }, after, rules), { kind: 'refused' })
  t.like(stepBase(near, reading(1, { export: 500n }), rules), { kind: 'refused', code: 'register/decreased' })
})

test('SPEC-81: more than the fuse allows is refused with the figures, and the base stays', (t) => {
  t.like(stepBase(base, reading(1, { export: 44_100n }), rules), { kind: 'counted' })
  const step = stepBase(base, reading(1, { export: 44_101n }), rules)
  t.like(step, { kind: 'refused', code: 'claim/over-limit' })
  t.regex(step.kind === 'refused' ? step.message : '', /43101 Wh in 3600000 ms, at most 43100 Wh at 43000 W/)
  t.like(stepBase(base, reading(0, { export: 1101n }), rules), { kind: 'refused' }, 'a clock that stood still')
  const both: Base = { ...base, registers: { import: 0n, export: 0n } }
  t.like(stepBase(both, reading(1, { import: 50_000n, export: 1n }), rules), { kind: 'refused' })
})

test('a register that is new to a point starts to count without booking what it held', (t) => {
  t.like(stepBase(base, reading(1, { import: 77_000_000n, export: 1001n }), rules), {
    kind: 'counted',
    energy: { import: 0n, export: 1n },
  })
})

for (const state of readingStateNames.filter((name) => ['absent', 'doubtful'].includes(readingStates[name].energy))) {
  test(`SPEC-21: a reading in state ${state} is kept and counts nothing`, (t) => {
    t.deepEqual(stepBase(base, reading(1, { export: 5000n }, state), rules), { kind: 'kept', base })
  })
}

test('SPEC-80: whatever happens between, what is counted is the last sound register less the first', (t) => {
  const step = fc.record({
    wh: fc.bigInt({ min: 0n, max: 40_000n }),
    state: fc.constantFrom<ReadingState>('ok', 'ok', 'no-answer', 'read-error', 'frozen', 'meter-swapped'),
    // What a doubtful register shows is nobody's business.
    noise: fc.bigInt({ min: 0n, max: 10n ** 12n }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let current: Base | undefined = base
      let counted = 0n
      let register = 1000n
      steps.forEach(({ wh, state, noise }, i) => {
        register += wh
        const sound = readingStates[state].energy === 'sound'
        const result = stepBase(current, reading(i + 1, { export: sound ? register : noise }, state), rules)
        current = result.base
        if (result.kind !== 'counted') return
        counted += result.energy.export
      })
      t.is(counted, (current?.registers.export ?? 0n) - 1000n)
    }),
  )
})

test('SPEC-81: a base in a future that never was costs one interval, not the time until then', (t) => {
  const ahead: Base = { ...base, takenAt: makeTimestamp(firstEpoch + 9_000 * hour) }
  const first = stepBase(ahead, reading(1, { export: 11_000n }), rules)
  t.like(first, { kind: 'refused', code: 'claim/over-limit', base: { registers: base.registers } })
  const silent = stepBase(first.base, reading(1.5, {}, 'no-answer'), rules)
  t.like(silent, { kind: 'kept' })
  const step = stepBase(silent.base, reading(2, { export: 21_000n }), rules)
  t.like(step, { kind: 'counted', energy: { export: 20_000n, import: 0n } })
  t.is(step.base?.since, undefined, 'a new base has its own time')
})

test('SPEC-81: a clock that is not synchronised does not prove wrong one that was', (t) => {
  const woken = stepBase(base, reading(-490_000, { export: 6_000n }, 'ok', 'U'), rules)
  t.like(woken, { kind: 'refused', base: { takenAt: base.takenAt } })
  t.is(woken.base?.since, undefined)
  t.like(stepBase(woken.base, reading(1, { export: 900_000n }), rules), { kind: 'refused' }, 'a jump is a jump')
  const unsure: Base = { ...base, clockStatus: 'U' }
  t.is(stepBase(unsure, reading(-1, {}, 'no-answer', 'U'), rules).base?.since, makeTimestamp(firstEpoch - hour))
})

test('SPEC-81: however a clock is set, what is counted is last less first once it has run on for a while', (t) => {
  const set = fc.record({ minutes: fc.integer({ min: 1, max: 50 }), by: fc.integer({ min: -10_000, max: 10_000 }) })
  fc.assert(
    fc.property(fc.array(set, { maxLength: 12 }), (sets) => {
      let current: Base | undefined
      let [counted, register, minute, offset] = [0n, 1000n, 0, 0]
      const run = (minutes: number) => {
        for (const end = minute + minutes; minute < end; minute++) {
          register += 500n // 30 kW
          const step = stepBase(current, reading((minute + offset) / 60, { export: register }), rules)
          current = step.base
          if (step.kind === 'counted') counted += step.energy.export
        }
      }
      for (const { minutes, by } of sets) {
        run(minutes)
        offset += by
      }
      run(60)
      t.is(current?.registers.export, register, 'it does not stick')
      t.is(counted, register - 1500n)
    }),
  )
})

test('SPEC-83: export mints and import burns, by role; a storage does neither', (t) => {
  const point = makePointId(makeGatewayId('gw-1'), makeMeterId('roof'))
  const claimed = (role: Role) => {
    const { mintWh, burnWh } = makeClaim(point, role, reading(1, {}), { import: 3n, export: 5n })
    return [mintWh, burnWh]
  }
  for (const role of roles) t.deepEqual(claimed(role), role === 'storage' ? [0n, 0n] : [5n, 3n], role)
  t.is(makeClaim(point, 'producer', reading(1, {}), { import: 0n, export: 1n }).id, `gw-1/roof#${firstEpoch}/5`)
})
