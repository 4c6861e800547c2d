// How many entries a second the journal takes, in batches of 500 with synchronous=FULL: each checked by its kind's rule,
// hashed onto the chain, its postings and balances kept. Compared with the plain insert of the very same rows into the
// same tables, made ready beforehand.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeGatewayId, makeMeterId, makePointId } from '@wattline/protocol'
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { Bounds } from '../src/ledger/bounds.ts'
import { SqliteJournal } from '../src/ledger/sqlite-journal.ts'
import { SqliteLedger } from '../src/ledger/sqlite-ledger.ts'
import { Transfers } from '../src/ledger/transfers.ts'
import { type Database, openDatabase } from '../src/store/database.ts'
import { TestClock } from '../test/rig.ts'

const rounds = 5
const count = 20_000
const batch = 500
const owners = 50
const point = makePointId(makeGatewayId('gw-1'), makeMeterId('roof'))

/** Entries per second, a new database each time; `look` sees it once it is written. */
function measure(
  write: (db: Database) => (at: number) => void,
  look: (db: Database) => void = () => undefined,
): number {
  const dataDir = mkdtempSync(join(tmpdir(), 'wattline-bench-'))
  const db = openDatabase(dataDir)
  try {
    const one = write(db)
    const startMs = performance.now()
    for (let at = 0; at < count; at += batch) {
      db.write(() => {
        for (let each = at; each < at + batch; each++) one(each)
      })
    }
    const seconds = (performance.now() - startMs) / 1000
    look(db)
    return count / seconds
  } finally {
    db.close()
    rmSync(dataDir, { recursive: true })
  }
}

const mint = (ledger: SqliteLedger, at: number, mintWh = 10n) =>
  ledger.book({
    claim: `${point}#1/${at}`,
    kind: 'claim',
    point,
    owner: `owner-${at % owners}`,
    mintWh,
    burnWh: 0n,
    note: { importWh: '0', exportWh: `${mintWh}` },
  })

function claims(db: Database): (at: number) => void {
  const ledger = new SqliteLedger(new SqliteJournal(db, new TestClock()))
  return (at) => mint(ledger, at)
}

function transfers(db: Database): (at: number) => void {
  const journal = new SqliteJournal(db, new TestClock())
  const ledger = new SqliteLedger(journal)
  const desk = new Transfers(db, journal, new Bounds(db, journal))
  db.write(() => {
    for (let at = 0; at < owners; at++) mint(ledger, at, 1_000_000n)
  })
  return (at) => {
    const [from, to] = [`owner-${at % owners}`, `owner-${(at + 1) % owners}`]
    desk.transfer({ id: `pay-${at}`, asset: 'WATT', from, to, amount: 7n, kind: 'payment' })
  }
}

type EntryColumns = [number, number, string, string | null, string | null, string, string, string]
type PostingColumns = [number, number, string, bigint]

interface Rows {
  readonly entries: readonly EntryColumns[]
  readonly postings: ReadonlyMap<number, readonly PostingColumns[]>
}

function readRows(db: Database): Rows {
  const entries = db
    .prepare<[number], Record<string, never>>('SELECT * FROM entry ORDER BY id DESC LIMIT ?')
    .all(count)
    .toReversed()
    .map((row) => Object.values(row) as unknown as EntryColumns)
  const postings = db
    .prepareWide<[], { entry: bigint; line: bigint; account: string; amount: bigint }>('SELECT * FROM posting')
    .all()
    .map(({ entry, line, account, amount }): PostingColumns => [Number(entry), Number(line), account, amount])
  return { entries, postings: Map.groupBy(postings, ([entry]) => entry) }
}

function plain({ entries, postings }: Rows): (db: Database) => (at: number) => void {
  return (db) => {
    const insertEntry = db.prepare<EntryColumns, unknown>('INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
    const insertPosting = db.prepare<PostingColumns, unknown>('INSERT INTO posting VALUES (?, ?, ?, ?)')
    return (at) => {
      const entry = entries[at] as EntryColumns
      insertEntry.run(...entry)
      for (const posting of postings.get(entry[0]) ?? []) insertPosting.run(...posting)
    }
  }
}

function compare(name: string, write: (db: Database) => (at: number) => void): void {
  let rows: Rows = { entries: [], postings: new Map() }
  measure(write, (db) => {
    rows = readRows(db)
  })
  const rates = Array.from({ length: rounds }, () => [measure(write), measure(plain(rows))] as const)
  printFigure({
    name,
    value: percentile(
      rates.map(([ours]) => ours),
      0.5,
    ),
    unit: 'entries/s',
    comparedWith: 'a plain SQLite insert of the same rows',
    reference: percentile(
      rates.map(([, bare]) => bare),
      0.5,
    ),
  })
}

compare('journal-claims', claims)
compare('journal-transfers', transfers)
