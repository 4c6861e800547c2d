import type { ReadingState } from '@wattline/protocol'
import test from 'ava'
import { accounts, charger, entries } from '../test/charging-rig.ts'
import { Device, fastVerifier, openRig } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import { readBalances } from './reports.ts'
import { traceRecord } from './trace.ts'

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
  t.like(owners, [
    { owner: 'alice', wattWh: 0n, gridWh: -50n },
    { owner: 'bob', wattWh: 0n, gridWh: -100n },
  ])
  t.is(owners.length, 2)
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
