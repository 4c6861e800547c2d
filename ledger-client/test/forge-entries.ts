import type Sqlite from 'better-sqlite3'
import { type Entry, hashEntry, type Posting } from '../src/ledger/journal.ts'

// What a forger writes who has the database, and knows how the journal is chained.

/** A fault that is planted, and what `verify` must say of it. */
export interface PlantedFault {
  readonly name: string
  readonly code: string
  readonly place: RegExp
  plant(db: Sqlite.Database): void
}

type EntryRow = Omit<Entry, 'postings'> & { previous_hash: string; hash: string }

/** Hashes entries again from one on, as a forger would who knows how. */
export function rehashFrom(db: Sqlite.Database, from: number): void {
  const rows = db.prepare<[number], EntryRow>('SELECT * FROM entry WHERE id >= ? ORDER BY id').all(from)
  let previous = rows[0]!.previous_hash
  for (const { previous_hash: _previous, hash: _old, ...entry } of rows) {
    const postings = db
      .prepare<[number], Posting>('SELECT account, amount FROM posting WHERE entry = ? ORDER BY line')
      .all(entry.id)
    const digest = hashEntry(previous, { ...entry, postings })
    db.prepare('UPDATE entry SET previous_hash = ?, hash = ? WHERE id = ?').run(previous, digest, entry.id)
    previous = digest
  }
}

/** Appends an entry as a forger would who knows how the journal is chained. */
export function appendEntry(
  db: Sqlite.Database,
  entry: Partial<EntryRow>,
  postings: readonly [string, number][],
): void {
  const last = db.prepare<[], EntryRow>('SELECT * FROM entry ORDER BY id DESC LIMIT 1').get()!
  const row = { ...last, claim: null, ...entry, id: last.id + 1, previous_hash: last.hash }
  db.prepare('INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)').run(
    ...[row.id, row.at, row.kind, row.claim, row.point, row.note, row.previous_hash, row.hash],
  )
  for (const [line, [account, amount]] of postings.entries()) {
    db.prepare('INSERT INTO posting VALUES (?, ?, ?, ?)').run(row.id, line, account, amount)
    db.prepare('UPDATE balance SET amount = amount + ? WHERE account = ?').run(amount, account)
  }
  rehashFrom(db, row.id)
}
