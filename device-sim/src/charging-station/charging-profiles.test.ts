import test from 'ava'
import fc from 'fast-check'
import { type ChargingProfile, compositeOf, type LimitQuery, offerAt } from './charging-profiles.ts'

const startMs = Date.parse('2026-11-21T09:00:00Z')
const base: ChargingProfile = {
  id: 1,
  evseId: 1,
  stackLevel: 0,
  purpose: 'TxDefaultProfile',
  kind: 'Absolute',
  startMs,
  unit: 'A',
  periods: [{ startSeconds: 0, limit: 16 }],
}
const query: LimitQuery = { evseId: 1, atMs: startMs, hardware: { currentA: 32, phases: 3 } }
const at = (seconds: number): LimitQuery => ({ ...query, atMs: startMs + seconds * 1000 })
const limit = (profiles: readonly ChargingProfile[], seconds = 0) => offerAt(profiles, at(seconds)).currentA

test('without profiles the hardware is the limit, and no profile raises it', (t) => {
  t.is(limit([]), 32)
  t.is(limit([{ ...base, periods: [{ startSeconds: 0, limit: 63 }] }]), 32)
})

test('the higher stack level leads while it says something', (t) => {
  const high: ChargingProfile = {
    ...base,
    id: 2,
    stackLevel: 3,
    durationSeconds: 60,
    periods: [{ startSeconds: 10, limit: 8 }],
  }
  t.is(limit([base, high], 0), 16)
  t.is(limit([base, high], 10), 8)
  t.is(limit([base, high], 60), 16)
})

test('a profile of the transaction replaces the default, also upwards; the station’s limit holds anyway', (t) => {
  const transaction = { id: 'T', startedAtMs: startMs }
  const own: ChargingProfile = {
    ...base,
    id: 2,
    purpose: 'TxProfile',
    transactionId: 'T',
    periods: [{ startSeconds: 0, limit: 25 }],
  }
  const max: ChargingProfile = {
    ...base,
    id: 3,
    evseId: 0,
    purpose: 'ChargingStationMaxProfile',
    periods: [{ startSeconds: 0, limit: 20 }],
  }
  t.is(offerAt([base, own], { ...query, transaction }).currentA, 25)
  t.is(offerAt([base, own, max], { ...query, transaction }).currentA, 20)
  t.is(offerAt([base, own], { ...query, transaction: { ...transaction, id: 'U' } }).currentA, 16)
})

test('a default of the EVSE goes before that of the station', (t) => {
  const station: ChargingProfile = {
    ...base,
    id: 2,
    evseId: 0,
    stackLevel: 9,
    periods: [{ startSeconds: 0, limit: 6 }],
  }
  t.is(limit([station]), 6)
  t.is(limit([station, base]), 16)
})

test('watts become amperes over the phases, and phases may be fewer', (t) => {
  const watts: ChargingProfile = { ...base, unit: 'W', periods: [{ startSeconds: 0, limit: 6900 }] }
  t.is(limit([watts]), 10)
  t.deepEqual(offerAt([{ ...watts, periods: [{ startSeconds: 0, limit: 2300, phases: 1 }] }], query), {
    currentA: 10,
    phases: 1,
  })
})

test('relative schedules begin with the transaction, recurring ones each day', (t) => {
  const periods = [
    { startSeconds: 0, limit: 6 },
    { startSeconds: 100, limit: 12 },
  ]
  const relative: ChargingProfile = { ...base, kind: 'Relative', startMs: undefined, periods }
  const transaction = { id: 'T', startedAtMs: startMs - 150_000 }
  t.is(offerAt([relative], { ...query, transaction }).currentA, 12)
  const daily: ChargingProfile = { ...base, kind: 'Recurring', recurrency: 'Daily', durationSeconds: 3600, periods }
  t.is(limit([daily], 3 * 86_400 + 150), 12)
  t.is(limit([daily], 3 * 86_400 + 3600), 32)
  const weekly: ChargingProfile = { ...daily, recurrency: 'Weekly' }
  t.is(limit([weekly], 86_400), 32)
  t.is(limit([weekly], 7 * 86_400), 6)
})

test('outside of its validity a profile says nothing', (t) => {
  const valid: ChargingProfile = { ...base, validFromMs: startMs + 10_000, validToMs: startMs + 20_000 }
  t.deepEqual([limit([valid], 9), limit([valid], 10), limit([valid], 19), limit([valid], 20)], [32, 16, 16, 32])
})

const anyProfile = fc.record({
  id: fc.integer({ min: 1, max: 99 }),
  evseId: fc.constantFrom(0, 1),
  stackLevel: fc.integer({ min: 0, max: 3 }),
  purpose: fc.constantFrom('ChargingStationMaxProfile', 'TxDefaultProfile'),
  kind: fc.constantFrom('Absolute', 'Recurring', 'Relative'),
  startMs: fc.integer({ min: -900, max: 900 }).map((s) => startMs + s * 1000),
  durationSeconds: fc.option(fc.integer({ min: 1, max: 900 }), { nil: undefined }),
  unit: fc.constantFrom('A', 'W'),
  periods: fc
    .array(fc.record({ startSeconds: fc.integer({ min: 1, max: 600 }), limit: fc.integer({ min: 0, max: 40 }) }), {
      maxLength: 4,
    })
    .map((more) => [{ startSeconds: 0, limit: 9 }, ...more.sort((a, b) => a.startSeconds - b.startSeconds)]),
}) satisfies fc.Arbitrary<ChargingProfile>

test('a composite schedule says for each second what will be offered', (t) => {
  fc.assert(
    fc.property(fc.array(anyProfile, { maxLength: 5 }), (profiles) => {
      const transaction = { id: 'T', startedAtMs: startMs }
      const periods = compositeOf(profiles, { ...query, transaction }, { durationSeconds: 600, unit: 'A' })
      for (let s = 0; s < 600; s += 7) {
        const told = periods.findLast(({ startSeconds }) => startSeconds <= s)
        const { currentA } = offerAt(profiles, { ...at(s), transaction })
        t.true(
          Math.abs((told?.limit ?? -1) - currentA) <= 0.051,
          `second ${s}: ${told?.limit} told, ${currentA} offered`,
        )
      }
    }),
    { numRuns: 50 },
  )
})
