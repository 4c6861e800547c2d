import type { ReadingState } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { Device, fastVerifier, type Message, openRig, startMs } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import type { LedgerEngine } from './engine.ts'
import { readBalances } from './reports.ts'
import { traceRecord } from './trace.ts'

const charger = (key?: number) =>
  new Device({ meter: 'CP1.1', role: 'charger', owner: 'alice', ...(key === undefined ? {} : { key }) })

/** What somebody has, and what somebody owes. */
function accounts(engine: LedgerEngine): Record<string, bigint> {
  const { owners, balanced } = readBalances(engine.db)
  if (!balanced) throw new Error('minted - burned is not the supply')
  return Object.fromEntries(owners.map(({ owner, wattWh, gridWh }) => [owner, wattWh + gridWh]))
}

function entries(engine: LedgerEngine): { kind: string; note: Record<string, string> }[] {
  return engine.db
    .prepare<[], { kind: string; note: string }>('SELECT kind, note FROM entry WHERE claim IS NOT NULL ORDER BY id')
    .all()
    .map(({ kind, note }) => ({ kind, note: JSON.parse(note) }))
}

const bob = { driver: 'bob' }

test('SPEC-87: a session is booked once, with its end, to the driver that both marks name', (t) => {
  const { engine } = openRig(t)
  const point = charger()
  engine.ingest([
    point.certificateMessage(),
    point.read({ import: 1_000n }, { mark: 'B', ...bob }),
    point.read({ import: 1_300n }),
    point.readFrame({ import: 1_700n }),
  ])
  t.deepEqual(accounts(engine), {}, 'nothing moves while it lasts')
  t.is(readBalances(engine.db).points[0]?.openWh, 700n)
  t.true(auditLedger(engine.db, fastVerifier).ok)
  const out = engine.ingest([point.read({ import: 2_000n }, { mark: 'E', ...bob })])
  t.is(out.quarantined, 0)
  t.deepEqual(accounts(engine), { bob: -1_000n })
  t.like(entries(engine), { 0: { kind: 'session', note: { importWh: '1000', driver: 'bob' } }, length: 1 })
  t.like(readBalances(engine.db).points[0], { burnedWh: 1_000n, openWh: 0n })
  t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
  const trace = traceRecord(engine.db, `${point.id}@${point.epoch}/4`)
  t.like(trace.from, { importWh: 1_000n, place: `${point.id}@${point.epoch}/1` })
})

test('SPEC-87: a session that names no account is the owner’s; a driver’s WATT goes before a shortfall', (t) => {
  const { engine } = openRig(t)
  const [point, roof] = [charger(), new Device({ meter: 'roof', role: 'producer', owner: 'bob' })]
  engine.ingest([
    roof.certificateMessage(),
    roof.read({ export: 0n }),
    roof.read({ export: 300n }),
    point.certificateMessage(),
    point.read({ import: 0n }, { mark: 'B' }),
    point.read({ import: 50n }, { mark: 'E' }),
    point.read({ import: 50n }, { mark: 'B', ...bob }),
    point.read({ import: 450n }, { mark: 'E', ...bob }),
  ])
  const { owners } = readBalances(engine.db)
  t.deepEqual(owners, [
    { owner: 'alice', wattWh: 0n, gridWh: -50n },
    { owner: 'bob', wattWh: 0n, gridWh: -100n },
  ])
  t.deepEqual(
    entries(engine).map(({ kind }) => kind),
    ['claim', 'session', 'session'],
  )
  t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
})

type Told = [mark: 'B' | 'E' | undefined, wh: number, options?: { driver?: string; state?: ReadingState }]

/** What becomes of some records of one charging point: who pays what, and why. */
function book(t: { teardown(fn: () => void): void }, told: readonly Told[]) {
  const { engine } = openRig(t)
  const point = charger()
  engine.ingest([
    point.certificateMessage(),
    ...told.map(([mark, wh, options = {}]) =>
      point.read({ import: BigInt(wh) }, { ...(mark === undefined ? {} : { mark }), ...options }),
    ),
  ])
  const reasons = entries(engine).flatMap(({ note }) => note['reason'] ?? [])
  return { paid: accounts(engine), reasons, faults: auditLedger(engine.db, fastVerifier).faults }
}

const table: Readonly<Record<string, { told: Told[]; paid: Record<string, bigint>; reasons: string[] }>> = {
  'a begin without an end': {
    told: [
      ['B', 0, bob],
      [undefined, 300],
      ['B', 500, { driver: 'carol' }],
      ['E', 900, { driver: 'carol' }],
    ],
    paid: { alice: -500n, carol: -400n },
    reasons: ['it has no end'],
  },
  'an end without a begin': {
    told: [
      [undefined, 0],
      ['E', 400, bob],
      ['E', 500, bob],
    ],
    paid: { alice: -500n },
    reasons: ['it has no begin', 'it has no begin'],
  },
  'what flowed between two sessions is the owner’s': {
    told: [
      ['B', 0, bob],
      ['E', 100, bob],
      ['B', 130, bob],
      ['E', 200, bob],
    ],
    paid: { alice: -30n, bob: -170n },
    reasons: [],
  },
  'marks that name different drivers': {
    told: [
      ['B', 0, bob],
      ['E', 400, { driver: 'carol' }],
    ],
    paid: { alice: -400n },
    reasons: ['begin and end name different drivers'],
  },
  'an end in doubt: what was counted is the owner’s, the rest counts with the next register': {
    told: [
      ['B', 0, bob],
      [undefined, 300],
      ['E', 400, { ...bob, state: 'read-error' }],
      ['B', 450, bob],
      ['E', 500, bob],
    ],
    paid: { alice: -450n, bob: -50n },
    reasons: ['its end is in doubt'],
  },
  'a begin in doubt': {
    told: [
      [undefined, 0],
      ['B', 100, { ...bob, state: 'implausible-jump' }],
      ['E', 400, bob],
    ],
    paid: { alice: -400n },
    reasons: ['its begin is in doubt, or counting started anew'],
  },
  'an interval in doubt changes nothing': {
    told: [
      ['B', 0, bob],
      [undefined, 999_999, { state: 'implausible-jump' }],
      [undefined, 0, { state: 'no-answer' }],
      ['E', 400, bob],
    ],
    paid: { bob: -400n },
    reasons: [],
  },
  'a register that started anew in a session: only what was counted, and not to the driver': {
    told: [
      ['B', 1_000, bob],
      [undefined, 1_300],
      [undefined, 5, { state: 're-based' }],
      ['E', 105, bob],
    ],
    paid: { alice: -400n },
    reasons: ['its begin is in doubt, or counting started anew'],
  },
  'an end whose register stands below its begin': {
    told: [
      ['B', 1_000, bob],
      ['E', 10, bob],
      ['B', 1_000, bob],
      ['E', 1_100, bob],
    ],
    paid: { bob: -100n },
    reasons: [],
  },
  'a session without energy': {
    told: [
      ['B', 1_000, bob],
      ['E', 1_000, bob],
    ],
    paid: {},
    reasons: [],
  },
}

for (const [what, { told, paid, reasons }] of Object.entries(table)) {
  test(`SPEC-87: ${what}`, (t) => {
    t.deepEqual(book(t, told), { paid, reasons, faults: [] })
  })
}

test('SPEC-87: a begin whose end was lost with an epoch is no pair with the end of a later session', (t) => {
  const { engine } = openRig(t)
  const point = charger()
  engine.ingest([point.certificateMessage(), point.read({ import: 0n }, { mark: 'B', ...bob })])
  for (const mark of ['E', 'B'] as const) point.read({ import: 500n }, { mark, ...bob }) // never arrive
  point.epoch += 1000
  const [, begin] = point.texts
  t.truthy(begin)
  // The gateway goes on in a new epoch that names what the ledger has; the sequence tells that something is missing.
  point.previousHash = engine.registry.get(point.id)!.head!.hash
  engine.ingest([point.read({ import: 800n }, { mark: 'E', ...bob })])
  t.deepEqual(accounts(engine), { alice: -800n })
  t.deepEqual(
    entries(engine).map(({ note }) => note['reason']),
    ['something is missing between begin and end'],
  )
  t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
})

test('verify finds a session that was booked to somebody else, or as none', (t) => {
  const { engine } = openRig(t)
  const point = charger()
  engine.ingest([
    point.certificateMessage(),
    point.read({ import: 0n }, { mark: 'B', ...bob }),
    point.read({ import: 500n }, { mark: 'E', ...bob }),
  ])
  const { db } = engine
  const codes = () => auditLedger(db, fastVerifier).faults.map(({ message }) => message)
  t.deepEqual(codes(), [])
  db.write(() => db.prepare("UPDATE entry SET kind = 'claim' WHERE kind = 'session'").run())
  t.true(
    codes().some((message) => /as 'session', entry \d+ of kind 'claim'/.test(message)),
    codes().join(),
  )
  db.write(() => db.prepare("UPDATE entry SET kind = 'session' WHERE kind = 'claim'").run())
  db.write(() => db.prepare("UPDATE posting SET account = 'grid:carol' WHERE account = 'grid:bob'").run())
  t.true(
    codes().some((message) => /postings grid:bob -500/.test(message)),
    codes().join(),
  )
  db.write(() => db.prepare("UPDATE posting SET account = 'grid:bob' WHERE account = 'grid:carol'").run())
  db.write(() =>
    db.prepare('UPDATE point SET session_epoch = 1, session_sequence = 1, session_page = 1, session_wh = 0').run(),
  )
  t.true(
    codes().some((message) => /open session none expected/.test(message)),
    codes().join(),
  )
})

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
