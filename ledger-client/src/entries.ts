import { assetOf } from './ledger/accounts.ts'
import type { Posting } from './ledger/journal.ts'
import { formatAmount } from './orders/amounts.ts'
import type { Database } from './store/database.ts'
import type { TracedEntry } from './trace.ts'

/** Which entries are asked for. */
export interface EntryFilter {
  /** Those that move it. */
  readonly account?: string
  /** Those of a kind; of `payment` and the like those steps of two-phase transfers too that were ordered as one. */
  readonly kind?: string
}

interface Row extends Omit<TracedEntry, 'note' | 'postings'> {
  readonly note: string
}

/** Entries of the journal in their order, one at a time, with everything that their hashes cover. */
export function* readEntries(db: Database, { account, kind }: EntryFilter): Generator<TracedEntry> {
  const rows = db.prepare<[{ account: string | null; kind: string | null }], Row>(
    `SELECT id, at, kind, claim, point, note, previous_hash AS previousHash, hash FROM entry
     WHERE (:account IS NULL OR id IN (SELECT entry FROM posting WHERE account = :account))
     AND (:kind IS NULL OR kind = :kind
       OR (kind = 'reserve' AND json_extract(note, '$.kind') = :kind)
       OR (kind = 'post' AND (SELECT json_extract(reserved.note, '$.kind') FROM entry AS reserved
         WHERE reserved.claim = 'order:' || json_extract(entry.note, '$.reservation')) = :kind))
     ORDER BY id`,
  )
  const postings = db.prepareWide<[number], Posting>(
    'SELECT account, amount FROM posting WHERE entry = ? ORDER BY line',
  )
  for (const { note, ...row } of rows.iterate({ account: account ?? null, kind: kind ?? null })) {
    yield { ...row, note: JSON.parse(note), postings: postings.all(row.id) }
  }
}

/** One entry as a line of text. */
export function formatEntry({ id, at, kind, claim, point, postings, note }: TracedEntry): string {
  const moved = postings.map(({ account, amount }) => `${account} ${formatAmount(amount, assetOf(account))}`)
  const name = claim ?? point ?? ''
  const time = new Date(at).toISOString()
  return [id, time, kind, name, moved.length > 0 ? moved.join(', ') : JSON.stringify(note)].join('  ')
}
