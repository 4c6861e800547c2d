import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { WattError } from '@wattline/protocol'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { Device, fastVerifier, openRig, type Rig, tempDir } from '../../test/rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { readEntries } from '../entries.ts'
import { readBalances } from '../reports.ts'
import { databaseFile, openDatabase } from '../store/database.ts'
import { correct } from './corrections.ts'
import { entryKinds, findBreach, findImbalance } from './entry-kinds.ts'
import { genesisClaim, genesisPostings } from './genesis.ts'
import { hashEntry, type Posting } from './journal.ts'
import type { Draft } from './sqlite-journal.ts'

type Teardown = Parameters<typeof openRig>[0]
const holders = ['operator', 'community', 'storage', 'reserve', 'team']

/** A house with a roof and a heater, EEA, a payment, a reservation posted in part, one that is open, one that expired. */
function openBusy(t: Teardown): Rig {
  const rig = openRig(t, { eeaHolders: holders })
  const { engine, clock } = rig
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  const heat = new Device({ meter: 'heat', role: 'consumer', owner: 'bob' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 1000n })])
  engine.db.write(() => {
    const { transfers, bounds } = engine
    bounds.set({ owner: 'carol', asset: 'WATT', most: 900n })
    const order = { asset: 'WATT', from: 'alice', to: 'bob', amount: 100n, kind: 'payment' } as const
    transfers.transfer({ ...order, id: 'pay' })
    transfers.transfer({ ...order, id: 'gone', kind: 'burn', to: 'alice', amount: 10n })
    transfers.transfer({ ...order, id: 'eea', asset: 'EEA', kind: 'transfer', from: 'team' })
    transfers.reserve({ ...order, id: 'r-post', expiresAt: clock.ms + 10 })
    transfers.post('post', { reservation: 'r-post', amount: 60n })
    transfers.reserve({ ...order, id: 'r-void', expiresAt: clock.ms + 10 })
    transfers.void('void', { reservation: 'r-void' })
    transfers.reserve({ ...order, id: 'r-gone', expiresAt: clock.ms + 10 })
    clock.ms += 10
    transfers.expire()
    transfers.reserve({ ...order, id: 'r-open', to: 'carol', expiresAt: clock.ms + 10 })
  })
  engine.ingest([heat.certificateMessage(), heat.read({ import: 0n }), heat.read({ import: 500n })])
  return rig
}

function entryOf({ engine }: Rig, kind: string): number {
  const [first] = readEntries(engine.db, { kind })
  return first!.id
}

function amounts({ engine }: Rig): Readonly<Record<string, bigint>> {
  const rows = engine.db.prepareWide<[], Posting>('SELECT account, amount FROM balance').all()
  return Object.fromEntries(rows.map(({ account, amount }) => [account, amount]))
}

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'done'
  } catch (error) {
    if (error instanceof WattError) return error.code
    throw error
  }
}

const faultsOf = ({ engine }: Rig) => auditLedger(engine.db, fastVerifier).faults

test('SPEC-88: every kind is one of the closed list, and sums to zero per asset', (t) => {
  const rig = openBusy(t)
  const kinds = new Set([...readEntries(rig.engine.db, {})].map(({ kind }) => kind))
  for (const kind of kinds)
    t.true(
      entryKinds.some((known) => known === kind),
      kind,
    )
  t.deepEqual(faultsOf(rig), [])
  t.like(readBalances(rig.engine.db), {
    mintedWh: 1000n,
    burnedWh: 510n,
    supplyWh: 490n,
    eeaSupply: 700_000_000n,
    balanced: true,
  })
  const mixed = [
    { account: 'owner:alice', amount: -5n },
    { account: 'eea:bob', amount: 5n },
  ]
  t.deepEqual(findImbalance(mixed), { asset: 'WATT', sum: -5n })
  t.is(findBreach('transfer', mixed), undefined, 'its sides are right, the sums per asset are not')
  t.is(
    codeOf(() => rig.engine.db.write(() => rig.engine.journal.append({ kind: 'transfer', note: {}, postings: mixed }))),
    'journal/unbalanced',
  )
})

test('SPEC-88: an entry that breaks its kind’s rule is not written', (t) => {
  const rig = openBusy(t)
  const line = (account: string, amount: bigint): Posting => ({ account, amount })
  const broken: readonly [Draft['kind'], readonly Posting[], string][] = [
    ['payment', [line('minted:gw-1/roof', -5n), line('owner:bob', 5n)], 'journal/broken'],
    ['payment', [line('owner:alice', -5n), line('owner:bob', 2n), line('owner:carol', 3n)], 'journal/broken'],
    ['claim', [line('owner:alice', 5n), line('grid:alice', -5n), line('owner:bob', 0n)], 'journal/broken'],
    ['claim', [line('grid:alice', 5n), line('minted:gw-1/roof', -5n)], 'journal/broken'],
    ['reserve', [line('owner:alice', 5n), line('held:alice', -5n)], 'journal/broken'],
    ['transfer', [line('owner:alice', -5n), line('owner:alice', 5n)], 'journal/broken'],
    ['transfer', [line('owner:nobody', -5n), line('owner:bob', 5n)], 'journal/broken'],
    ['transfer', [line('wallet:alice', -5n), line('owner:bob', 5n)], 'journal/broken'],
    ['issue', genesisPostings(holders).slice(0, 2), 'journal/broken'],
    ['gap', [line('owner:alice', -5n), line('owner:bob', 5n)], 'journal/broken'],
    ['claim', [line('owner:alice', 6n), line('minted:gw-1/roof', -5n)], 'journal/unbalanced'],
  ]
  const before = amounts(rig)
  for (const [kind, postings, code] of broken) {
    t.is(
      codeOf(() => rig.engine.db.write(() => rig.engine.journal.append({ kind, note: {}, postings }))),
      code,
      kind,
    )
  }
  t.deepEqual(amounts(rig), before)
})

test('SPEC-92: EEA is issued once: 700,000,000 in five shares, and never again', (t) => {
  const dataDir = tempDir(t)
  const open = (eeaHolders: readonly string[]) => openRig(t, { dataDir, eeaHolders })
  const first = open(holders)
  t.deepEqual(
    holders.map((owner) => first.engine.transfers.holdings(owner, 'EEA').available),
    [210_000_000n, 245_000_000n, 140_000_000n, 70_000_000n, 35_000_000n],
  )
  first.engine.close()
  const again = open(holders)
  t.is([...readEntries(again.engine.db, { kind: 'issue' })].length, 1)
  t.is(
    codeOf(() => open(holders.toReversed())),
    'asset/issued',
  )
  t.is(
    codeOf(() => open(['a', 'b', 'c', 'd', 'd'])),
    'asset/issued',
  )
  t.is(
    codeOf(() => openRig(t, { eeaHolders: ['a', 'b', 'c', 'd', 'd'] })),
    'config/invalid',
  )
  t.deepEqual(faultsOf(again), [])
})

test('SPEC-91: a correction takes back what was minted, from WATT while it lasts, the rest as a shortfall', (t) => {
  const rig = openBusy(t)
  const { db, journal } = rig.engine
  const claim = entryOf(rig, 'claim')
  const order = { entry: claim, amount: 990n, reason: 'the meter was another one' }
  const { entry } = db.write(() => correct(journal, order))
  t.like(amounts(rig), { 'owner:alice': 0n, 'held:alice': 100n, 'grid:alice': -260n, 'minted:gw-1/roof': -10n })
  t.deepEqual(
    db.write(() => correct(journal, order)),
    { entry },
    'twice is once',
  )
  t.is(
    codeOf(() => db.write(() => correct(journal, { ...order, amount: 1n }))),
    'transfer/conflict',
  )
  t.true(readBalances(db).balanced)
  t.deepEqual(faultsOf(rig), [])
})

test('SPEC-91: a burn comes back where it was taken, a payment from whom it went to', (t) => {
  const rig = openBusy(t)
  const { db, journal } = rig.engine
  const reason = 'as agreed'
  const burned = [...readEntries(db, { account: 'burned:gw-1/heat' })][0]!
  t.like(amounts(rig), { 'owner:bob': 0n, 'grid:bob': -340n, 'burned:gw-1/heat': 500n })
  db.write(() => correct(journal, { entry: burned.id, amount: 400n, reason }))
  t.like(amounts(rig), { 'owner:bob': 60n, 'grid:bob': 0n, 'burned:gw-1/heat': 100n })
  t.is(
    codeOf(() => db.write(() => correct(journal, { entry: entryOf(rig, 'payment'), reason }))),
    'transfer/insufficient',
  )
  db.write(() => correct(journal, { entry: entryOf(rig, 'post'), reason }))
  db.write(() => correct(journal, { entry: entryOf(rig, 'burn'), amount: 4n, reason }))
  t.like(amounts(rig), { 'owner:bob': 0n, 'owner:alice': 794n, 'retired:alice': 6n })
  t.true(readBalances(db).balanced)
  t.deepEqual(faultsOf(rig), [])
})

test('SPEC-91: only what exists is corrected, once, and never beyond it', (t) => {
  const rig = openBusy(t)
  const { db, journal } = rig.engine
  const attempt = (entry: number, amount?: bigint, reason = 'why') =>
    codeOf(() => db.write(() => correct(journal, { entry, reason, ...(amount === undefined ? {} : { amount }) })))
  t.is(attempt(9999), 'entry/unknown')
  for (const kind of ['reserve', 'void', 'expire', 'issue', 'limit', 'enrolment'])
    t.is(attempt(entryOf(rig, kind)), 'entry/final', kind)
  const claim = entryOf(rig, 'claim')
  for (const amount of [1001n, 0n, -1n]) t.is(attempt(claim, amount), 'entry/final')
  t.is(attempt(claim, 1n, ''), 'transfer/invalid')
  t.is(attempt(entryOf(rig, 'post'), 61n), 'entry/final')
  t.is(attempt(claim, 1n), 'done')
  t.is(attempt(entryOf(rig, 'correction')), 'entry/final')
  t.deepEqual(faultsOf(rig), [])
})

test('entries are listed by account and by kind, steps of an order with it', (t) => {
  const { engine } = openBusy(t)
  const kinds = (filter: Parameters<typeof readEntries>[1]) =>
    [...readEntries(engine.db, filter)].map(({ kind }) => kind)
  t.deepEqual(kinds({ kind: 'payment' }), ['payment', 'reserve', 'post', 'reserve', 'reserve', 'reserve'])
  t.deepEqual(kinds({ kind: 'burn' }), ['burn'])
  t.deepEqual(kinds({ account: 'owner:bob' }), ['payment', 'post', 'claim'])
})

/** Writes an entry as a forger with the database in hand would: chain and balances are right. */
function forge(
  db: Sqlite.Database,
  draft: { kind: string; claim: string; note: object; at?: number; postings: readonly Posting[] },
): void {
  const head = db
    .prepare<[], { id: number; hash: string }>('SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1')
    .get()!
  const { kind, claim, postings, at = 1 } = draft
  const entry = { id: head.id + 1, at, kind, claim, point: null, note: JSON.stringify(draft.note), postings }
  const { id, note } = entry
  db.prepare('INSERT INTO entry VALUES (?, ?, ?, ?, NULL, ?, ?, ?)').run(
    id,
    at,
    kind,
    claim,
    note,
    head.hash,
    hashEntry(head.hash, entry),
  )
  for (const [line, { account, amount }] of postings.entries()) {
    db.prepare('INSERT INTO posting VALUES (?, ?, ?, ?)').run(id, line, account, amount)
    db.prepare('INSERT INTO balance VALUES (?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount').run(
      account,
      amount,
    )
  }
}

const line = (account: string, amount: bigint): Posting => ({ account, amount })
const paid = { kind: 'payment', asset: 'WATT', from: 'alice', to: 'bob', amount: '5' }
const moved = [line('owner:alice', -5n), line('owner:bob', 5n)]
const back = [line('owner:bob', -5n), line('owner:alice', 5n)]

const forgeries: readonly (readonly [name: string, plant: (db: Sqlite.Database) => void, message: RegExp])[] = [
  [
    'a kind that there is not',
    (db) => forge(db, { kind: 'gift', claim: 'order:x', note: paid, postings: moved }),
    /no kind 'gift'/,
  ],
  [
    'WATT from nowhere',
    (db) =>
      forge(db, {
        kind: 'payment',
        claim: 'order:x',
        note: paid,
        postings: [line('minted:gw-1/roof', -5n), line('owner:bob', 5n)],
      }),
    /must not move/,
  ],
  [
    'another amount than was ordered',
    (db) => forge(db, { kind: 'payment', claim: 'order:x', note: { ...paid, amount: '4' }, postings: moved }),
    /postings owner:alice -4/,
  ],
  ['an order without an id', (db) => forge(db, { kind: 'payment', claim: 'x', note: paid, postings: moved }), /id/],
  [
    'another kind than was ordered',
    (db) => forge(db, { kind: 'payment', claim: 'order:x', note: { ...paid, kind: 'transfer' }, postings: moved }),
    /'transfer'/,
  ],
  [
    'a fee for nothing',
    (db) =>
      forge(db, { kind: 'fee', claim: 'order:x', note: { ...paid, kind: 'fee', note: { for: 'y' } }, postings: moved }),
    /fee for 'y'/,
  ],
  [
    'more than an owner has',
    (db) =>
      forge(db, {
        kind: 'payment',
        claim: 'order:x',
        note: { ...paid, amount: '5000' },
        postings: [line('owner:alice', -5000n), line('owner:bob', 5000n)],
      }),
    /'owner:alice' holds -/,
  ],
  [
    'a transfer above a limit',
    (db) =>
      forge(db, {
        kind: 'payment',
        claim: 'order:x',
        note: { ...paid, to: 'carol', amount: '801' },
        postings: [line('owner:alice', -801n), line('owner:carol', 801n)],
      }),
    /at most 900/,
  ],
  [
    'a reservation posted twice',
    (db) =>
      forge(db, {
        kind: 'post',
        claim: 'order:x',
        note: { reservation: 'r-post', amount: '100' },
        postings: [line('held:alice', -100n), line('owner:bob', 100n)],
      }),
    /not open/,
  ],
  [
    'an expiry before its time',
    (db) =>
      forge(db, {
        kind: 'expire',
        claim: 'expiry:r-open',
        note: { reservation: 'r-open' },
        postings: [line('held:alice', -100n), line('owner:alice', 100n)],
      }),
    /expires at/,
  ],
  [
    'a second genesis',
    (db) =>
      forge(db, { kind: 'issue', claim: `${genesisClaim}2`, note: { holders }, postings: genesisPostings(holders) }),
    /not the genesis/,
  ],
  [
    'a correction beyond what was booked',
    (db) =>
      forge(db, { kind: 'correction', claim: 'correction:1', note: { corrects: 1, reason: 'x' }, postings: back }),
    /cannot be corrected/,
  ],
  [
    'a correction of what is not there yet',
    (db) =>
      forge(db, { kind: 'correction', claim: 'correction:99', note: { corrects: 99, reason: 'x' }, postings: back }),
    /not before it/,
  ],
  ['a limit that is gone', (db) => db.exec('DELETE FROM account_limit'), /1 by the journal, 0 rows/],
  ['a raised limit', (db) => db.exec('UPDATE account_limit SET most = 10000'), /at most 900 expected/],
  [
    'an open reservation without its row',
    (db) => db.exec("DELETE FROM reservation WHERE id = 'r-open'"),
    /by the journal/,
  ],
  [
    'a reservation that is open again',
    (db) => db.exec("UPDATE reservation SET closed = NULL WHERE id = 'r-void'"),
    /closed by undefined/,
  ],
  [
    'an edited recipient of a reservation',
    (db) => db.exec("UPDATE reservation SET recipient = 'eve' WHERE id = 'r-open'"),
    /eve/,
  ],
  [
    'an edited amount that was ordered',
    (db) => db.exec(`UPDATE entry SET note = replace(note, '"100"', '"900"') WHERE claim = 'order:pay'`),
    /hashes to/,
  ],
]

test('verify finds whatever was forged beside the meters, and names the place', (t) => {
  const { engine, dataDir } = openBusy(t)
  engine.close()
  for (const [name, plant, message] of forgeries) {
    const copy = tempDir(t)
    copyFileSync(join(dataDir, databaseFile), join(copy, databaseFile))
    const forged = new Sqlite(join(copy, databaseFile))
    plant(forged)
    forged.close()
    const db = openDatabase(copy, { readonly: true })
    const { faults } = auditLedger(db, fastVerifier)
    db.close()
    t.true(
      faults.some((fault) => message.test(fault.message)),
      `${name}: ${JSON.stringify(faults)}`,
    )
    t.regex(faults[0]?.place ?? '', /^(entry \d+|account .+|limits|reservations)$/, name)
  }
})
