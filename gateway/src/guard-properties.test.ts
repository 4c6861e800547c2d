import { stepBase } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { observe, rules, run, type Step } from '../test/guard-rig.ts'
import { judge, type Observation } from './guard.ts'
import { formatHistory, noHistory, parseHistory } from './guard-history.ts'

/** Registers as meters and disturbances make them: mostly rising, sometimes anything. */
const walks = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('rise' as const), by: fc.integer({ min: 0, max: 900 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('any' as const), by: fc.integer({ min: 0, max: 999_999 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('gone' as const), by: fc.constant(0) }) },
  ),
  { minLength: 1, maxLength: 60 },
)

test('promise 1: what is sound adds up to last minus first, whatever came in between', (t) => {
  fc.assert(
    fc.property(walks, (walk) => {
      let history = noHistory
      let register = 100_000
      let base: Parameters<typeof stepBase>[0]
      let counted = 0n
      let first: bigint | undefined
      for (const [at, { kind, by }] of walk.entries()) {
        if (kind === 'rise') register += by
        const step: Step = kind === 'gone' ? { at, code: 'bus/timeout' } : { at, wh: kind === 'any' ? by : register }
        const seen = observe(step)
        const { state, registers, history: next } = judge(history, seen, { maxPowerW: 54_338 }, { accepted: false })
        history = next
        // The ledger's own rule, with nothing but what the record says.
        const claim = stepBase(base, { ...recordOf(seen), state, registers }, { maxPowerW: 54_338 })
        t.not(claim.kind, 'refused', 'what the guard lets pass, the ledger books')
        base = claim.base
        if (claim.kind !== 'counted') continue
        first ??= registers.import
        counted += claim.energy.import
      }
      t.is(counted, (base?.registers.import ?? 0n) - (first ?? 0n))
      t.true(counted >= 0n)
    }),
    { numRuns: 500 },
  )
})

function recordOf({ moment }: Observation): Parameters<typeof stepBase>[1] {
  return {
    template: {
      gatewayModel: 'g',
      gatewaySerial: 's',
      gatewayVersion: '1',
      meterVendor: 'v',
      meterModel: 'm',
      meterSerial: '',
      pointType: 'CBIDC',
      pointText: 'gw-1 roof',
    },
    context: 'F',
    pageNumber: 1,
    user: { assigned: false, level: 'NONE', flags: [], type: 'NONE', id: '' },
    epoch: 1,
    sequence: 1,
    previousHash: '0'.repeat(64),
    takenAt: moment.takenAt,
    clockStatus: moment.clockStatus,
    state: 'ok',
    registers: {},
  }
}

test('a jump stays a jump at whatever time it is looked at again', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2_000, max: 900_000 }),
      fc.array(fc.nat(10 * 365 * 24 * 60), { maxLength: 20 }),
      (jump, times) => {
        const later = times.toSorted((a, b) => a - b).map((at) => ({ at: at + 2, wh: 5_000 + jump }))
        const states = run([{ at: 0, wh: 5_000 }, { at: 1, wh: 5_000 + jump }, ...later])
        t.true(states.slice(1).every((state) => state === 'implausible-jump'))
      },
    ),
    { numRuns: 100 },
  )
})

test('a meter that only rises within its fuse is always sound', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 905 }), { maxLength: 50 }), (rises) => {
      const registers = rises.map((_, at) => rises.slice(0, at + 1).reduce((sum, rise) => sum + rise, 0))
      const states = run(
        registers.map((wh, at) => ({ at, wh })),
        { maxPowerW: 54_338 },
      )
      t.true(states.every((state) => state === 'ok'))
    }),
  )
})

test('promise 1: however the clock is set, the ledger comes to last minus first once it has run on for a while', (t) => {
  const sets = fc.record({ minutes: fc.integer({ min: 1, max: 40 }), by: fc.integer({ min: -9_000, max: 9_000 }) })
  fc.assert(
    fc.property(fc.array(sets, { maxLength: 10 }), (walk) => {
      let history = noHistory
      let base: Parameters<typeof stepBase>[0]
      let [counted, at, clockOffBy] = [0n, 0, 0]
      const poll = () => {
        at++
        const seen = observe({ at, wh: 1_000 + 500 * at, clockOffBy })
        const { state, registers, history: next } = judge(history, seen, rules, { accepted: false })
        t.is(state, 'ok', 'uptime knows better')
        history = parseHistory(formatHistory(next), 'test')
        const claim = stepBase(base, { ...recordOf(seen), state, registers }, rules)
        base = claim.base
        if (claim.kind === 'counted') counted += claim.energy.import
      }
      for (const { minutes, by } of walk) {
        for (let n = 0; n < minutes; n++) poll()
        clockOffBy += by
      }
      for (let n = 0; n < 60; n++) poll()
      t.is(base?.registers.import, BigInt(1_000 + 500 * at), 'it does not stick')
      t.is(counted, BigInt(500 * (at - 1)))
    }),
  )
})
