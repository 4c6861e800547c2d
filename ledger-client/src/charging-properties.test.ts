import type { ReadingState } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { accounts, charger } from '../test/charging-rig.ts'
import { Device, fastVerifier, type Message, openRig, startMs } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import { readBalances } from './reports.ts'

interface Step {
  readonly mark: 'B' | 'E' | undefined
  readonly driver: string | undefined
  readonly wh: number
  readonly state: ReadingState
  readonly restart: boolean
}

const step: fc.Arbitrary<Step> = fc.record({
  mark: fc.constantFrom('B' as const, 'E' as const, undefined, undefined),
  driver: fc.constantFrom('bob', 'carol', undefined),
  wh: fc.integer({ min: 0, max: 400 }),
  state: fc.oneof(
    { weight: 9, arbitrary: fc.constant<ReadingState>('ok') },
    { weight: 1, arbitrary: fc.constantFrom<ReadingState>('no-answer', 'implausible-jump', 're-based') },
  ),
  restart: fc.nat({ max: 15 }).map((n) => n === 0),
})

/** SPEC-87 written down a second time, over the complete list: who pays what in the end, and what is still open. */
function model(steps: readonly Step[]): { paid: Map<string, bigint>; open: bigint; counted: bigint } {
  const paid = new Map<string, bigint>()
  const pay = (who: string, wh: bigint) => void (wh > 0n && paid.set(who, (paid.get(who) ?? 0n) - wh))
  // What each record counts: the rise since the last sound one.
  let [last, counted] = [undefined as bigint | undefined, 0n]
  let register = 1_000n
  const rises = steps.map(({ wh, state }) => {
    register += BigInt(wh)
    if (state === 'no-answer' || state === 'implausible-jump') return { wh: 0n, kind: 'none' }
    const isBase = last === undefined || state === 're-based'
    const rise = isBase ? 0n : register - (last ?? 0n)
    last = register
    counted += rise
    return { wh: rise, kind: isBase ? 'base' : 'counted' }
  })
  const sum = (from: number, to: number) => rises.slice(from, to).reduce((total, { wh }) => total + wh, 0n)
  const marked = steps.flatMap(({ mark }, at) => (mark === undefined ? [] : [at]))
  let from = 0
  for (const [index, at] of marked.entries()) {
    const before = marked[index - 1]
    const [begin, end] = [before === undefined ? undefined : steps[before], steps[at]!]
    const isPair =
      before !== undefined &&
      begin?.mark === 'B' &&
      end.mark === 'E' &&
      begin.driver === end.driver &&
      rises[before]!.kind !== 'none' &&
      rises[at]!.kind === 'counted' &&
      rises.slice(before + 1, at).every(({ kind }) => kind !== 'base')
    pay(isPair ? (end.driver ?? 'alice') : 'alice', sum(from, at + 1))
    from = at + 1
  }
  const lastMark = marked.at(-1)
  const isOpen = lastMark !== undefined && steps[lastMark]?.mark === 'B'
  if (!isOpen) pay('alice', sum(from, steps.length))
  return { paid, open: isOpen ? sum(from, steps.length) : 0n, counted }
}

function signAll(point: Device, steps: readonly Step[]): Message[] {
  let register = 1_000n
  return steps.map(({ mark, driver, wh, state, restart }, at) => {
    register += BigInt(wh)
    if (restart && at > 0) point.restore()
    const options = { state, takenAt: startMs + (at + 1) * 60_000 }
    const marks = mark === undefined ? {} : { mark, ...(driver === undefined ? {} : { driver }) }
    return point.read({ import: register }, { ...options, ...marks })
  })
}

test('SPEC-87: whatever is lost, doubled, reordered and restarted, each watt-hour is booked once, to whom it belongs', (t) => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 2, maxLength: 25 }),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 5 })), { minLength: 5, maxLength: 40 }),
      fc.integer({ min: 1, max: 8 }),
      (steps, swaps, batch) => {
        const point = charger(4712)
        const messages = [point.certificateMessage(), ...signAll(point, steps)]
        const sent = [...messages]
        for (const [from, by] of swaps) {
          const [a, b] = [from % sent.length, (from + by) % sent.length]
          ;[sent[a], sent[b]] = [sent[b]!, sent[a]!]
          if (by === 0) sent.push(sent[a]!)
          if (by === 1 && sent.length > 1) sent.splice(a, 1)
        }
        const teardowns: (() => void)[] = []
        try {
          const { engine } = openRig({ teardown: (fn) => teardowns.push(fn) })
          for (let i = 0; i < sent.length; i += batch) engine.ingest(sent.slice(i, i + batch))
          engine.ingest(messages) // a gateway sends again what no receipt answered
          const { paid, open, counted } = model(steps)
          t.deepEqual(accounts(engine), Object.fromEntries([...paid].toSorted()))
          const { burnedWh, openWh } = readBalances(engine.db).points[0]!
          t.is(openWh, open)
          t.is(burnedWh + openWh, counted)
          t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
        } finally {
          for (const fn of teardowns.toReversed()) fn()
        }
      },
    ),
    { numRuns: 30 },
  )
})

test('SPEC-84: a house above charging points never books their sessions, in whatever order all of it arrives', (t) => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 2, maxLength: 15 }),
      fc.array(fc.nat({ max: 3 }), { minLength: 17, maxLength: 17 }),
      (all, picks) => {
        // In each minute the house reads after the charger: what the charger counts, the house counts as well.
        const steps = all.map(
          (each) => ({ ...each, restart: false, state: each.state === 're-based' ? 'ok' : each.state }) as Step,
        )
        const house = new Device({ meter: 'house', role: 'bidirectional', owner: 'alice', key: 4713 })
        const point = new Device({ meter: 'CP1.1', role: 'charger', owner: 'alice', behind: 'gw-1/house', key: 4714 })
        let register = 1_000n
        const first = point.read({ import: register }, { takenAt: startMs })
        const own = signAll(point, steps)
        const readings = [0, ...steps.keys()].map((at, index) => {
          if (index > 0) register += BigInt(steps[at]?.wh ?? 0)
          const offset = index === 0 ? 1 : (at + 1) * 60_000 + 1
          // Three watt-hours of its own each time.
          return house.read({ import: register + 3n * BigInt(index), export: 0n }, { takenAt: startMs + offset })
        })
        // One reading more of each, which is sound: by then everything has counted.
        const last = [3_600_000, 3_700_000].map((ms) => point.read({ import: register }, { takenAt: startMs + ms }))
        const ownWh = 3n * BigInt(steps.length + 1)
        readings.push(house.read({ import: register + ownWh, export: 0n }, { takenAt: startMs + 3_600_001 }))
        const queues = [[first, ...own, ...last], readings]
        const teardowns: (() => void)[] = []
        try {
          const { engine } = openRig({ teardown: (fn) => teardowns.push(fn) })
          engine.ingest([house.certificateMessage(), point.certificateMessage()])
          for (const pick of picks) engine.ingest(queues[pick % 2]!.splice(0, 1 + (pick >> 1)))
          for (const queue of queues) engine.ingest(queue)
          const { points } = readBalances(engine.db)
          const [above, below] = ['gw-1/house', 'gw-1/CP1.1'].map(
            (id) => points.find(({ point: name }) => name === id)!,
          )
          t.is(above?.unsettled, 0)
          // A reading in doubt is the house's at first; what is carried says that it is the charger's after all.
          t.is(above!.burnedWh - above!.carriedWh, ownWh)
          t.is(below!.burnedWh + below!.openWh, register - 1_000n)
          if (steps.every(({ state }) => state === 'ok')) t.is(above?.carriedWh, 0n)
          t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
        } finally {
          for (const fn of teardowns.toReversed()) fn()
        }
      },
    ),
    { numRuns: 20 },
  )
})
