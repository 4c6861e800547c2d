import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { holders, openBusy } from '../../test/busy-ledger.ts'
import { fastVerifier, tempDir } from '../../test/rig.ts'
import { genesisClaim, genesisPostings } from '../ledger/genesis.ts'
import { hashEntry, type Posting } from '../ledger/journal.ts'
import { databaseFile, openDatabase } from '../store/database.ts'
import { auditLedger } from './audit.ts'

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

const brought = { asset: 'EUR', owner: 'alice', amount: '5', reference: 'SEPA 9' }
const bring = (amount: bigint) => [line('money-added:EUR', -amount), line('money:EUR:alice', amount)]
const payout = (reservation: string, reference: string | undefined) => ({
  kind: 'post',
  claim: 'order:x',
  note: { reservation, amount: '100', reference },
  postings: [line('money-held:EUR:alice', -100n), line('money-removed:EUR', 100n)],
})

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
    'an order that is carried out twice',
    (db) => {
      db.exec(`ALTER TABLE entry RENAME TO unique_entry;
        CREATE TABLE entry (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, claim TEXT, point TEXT,
          note TEXT NOT NULL, previous_hash TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
        INSERT INTO entry SELECT * FROM unique_entry;
        PRAGMA foreign_keys = OFF;
        DROP TABLE unique_entry`)
      forge(db, { kind: 'payment', claim: 'order:pay', note: paid, postings: moved })
    },
    /claim 'order:pay' is booked more than once/,
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
  [
    'a deposit of another amount than was told',
    (db) => forge(db, { kind: 'deposit', claim: 'order:x', note: brought, postings: bring(6n) }),
    /postings money-added:EUR -5, money:EUR:alice 5 expected/,
  ],
  [
    'a deposit for somebody else',
    (db) => forge(db, { kind: 'deposit', claim: 'order:x', note: { ...brought, owner: 'bob' }, postings: bring(5n) }),
    /money:EUR:bob 5 expected/,
  ],
  [
    'a deposit that tells no payment',
    (db) => forge(db, { kind: 'deposit', claim: 'order:x', note: { ...brought, reference: '' }, postings: bring(5n) }),
    /reference: 1 to 140 characters/,
  ],
  [
    'a deposit of WATT',
    (db) =>
      forge(db, {
        kind: 'deposit',
        claim: 'order:x',
        note: { ...brought, asset: 'WATT' },
        postings: [line('owner:bob', -5n), line('owner:alice', 5n)],
      }),
    /'deposit' must not move/,
  ],
  [
    'a deposit above a limit',
    (db) => {
      forge(db, { kind: 'limit', claim: 'x', note: { owner: 'alice', asset: 'EUR', most: '814' }, postings: [] })
      forge(db, { kind: 'deposit', claim: 'order:x', note: brought, postings: bring(5n) })
    },
    /'alice' has or is promised 810, at most 814/,
  ],
  [
    'more money than a ledger takes',
    (db) => {
      const [note, much] = [{ ...brought, amount: `${10n ** 18n}` }, bring(10n ** 18n)]
      forge(db, { kind: 'deposit', claim: 'order:x', note, postings: much })
    },
    /1000 EUR were deposited so far/,
  ],
  [
    'money that is handed on as no payment',
    (db) =>
      forge(db, {
        kind: 'transfer',
        claim: 'order:x',
        note: { ...paid, kind: 'transfer', asset: 'EUR' },
        postings: [line('money:EUR:alice', -5n), line('money:EUR:bob', 5n)],
      }),
    /EUR cannot be moved as 'transfer'/,
  ],
  ['a withdrawal that is paid twice', (db) => forge(db, payout('w-paid', 'SEPA 2')), /reservation w-paid is not open/],
  [
    'a withdrawal that is paid as nothing',
    (db) => forge(db, payout('w-open', undefined)),
    /a reference of its payment expected/,
  ],
  [
    'a withdrawal that a wallet pays to itself',
    (db) => forge(db, { ...payout('w-open', 'SEPA 4'), claim: `order:${'a'.repeat(64)}` }),
    /which no wallet ends/,
  ],
  [
    'a payment here that is told as one outside',
    (db) =>
      forge(db, {
        ...payout('r-open', 'SEPA 4'),
        postings: [line('held:alice', -100n), line('owner:carol', 100n)],
      }),
    /nothing was paid for it outside/,
  ],
  [
    'an edited account of money',
    (db) => db.exec("UPDATE balance SET amount = amount + 1 WHERE account = 'money:EUR:alice'"),
    /EUR: what was made less what is gone differs by 1/,
  ],
  [
    'a reservation of money for somebody',
    (db) => db.exec("UPDATE reservation SET recipient = 'eve' WHERE id = 'w-open'"),
    /w-open: row \d+,EUR,,100,\d+,open expected, got \d+,EUR,eve,/,
  ],
  ['a limit of what there is not', (db) => db.exec("INSERT INTO account_limit VALUES ('bob', 'x', 5, 1)"), /no limit/],
  ['a limit that is gone', (db) => db.exec('DELETE FROM account_limit'), /1 by the journal, 0 rows/],
  [
    'a raised limit',
    (db) => db.exec('UPDATE account_limit SET most = 10000'),
    /at most 900 by entry \d+ expected, got 10000/,
  ],
  [
    'an open reservation without its row',
    (db) => db.exec("DELETE FROM reservation WHERE id = 'r-open'"),
    /by the journal/,
  ],
  [
    'a reservation that is open again',
    (db) => db.exec("UPDATE reservation SET closed = NULL WHERE id = 'r-void'"),
    /r-void: row .*,\d+ expected, got .*,open$/,
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
