import { WattError } from '@wattline/protocol'
import test from 'ava'
import { holders, openBusy } from '../../test/busy-ledger.ts'
import { fastVerifier, openRig, type Rig, tempDir } from '../../test/rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { readEntries } from '../entries.ts'
import { readBalances } from '../reports.ts'
import { correct } from './corrections.ts'
import { entryKinds, findBreach, findImbalance } from './entry-kinds.ts'
import { genesisPostings } from './genesis.ts'
import type { Posting } from './journal.ts'
import type { Draft } from './sqlite-journal.ts'

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
