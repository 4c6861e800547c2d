import { decodeWith } from '@wattline/protocol'
import * as v from 'valibot'
import type { Database } from '../store/database.ts'
import type { Ledger } from './ledger.ts'

// Ledgers of an earlier version have records of storages that nothing was booked for, and what a journal says is never
// changed. So such a journal notes once, at its first start with this version, from which record on storages are booked
// (SPEC-88). One without this note has booked all of them.

const noteShape = v.pipe(
  v.string(),
  v.parseJson(),
  v.strictObject({ records: v.pipe(v.number(), v.safeInteger(), v.minValue(1)) }),
)

/** How many records, in the order of their acceptance, came before storages were booked, as an entry notes it. */
export function parseStorageStart({ id, note }: { readonly id: number; readonly note: string }): number {
  return decodeWith(noteShape, note, `entry ${id}`, 'journal/broken').records
}

/** How many records came before storages were booked, by the journal's first word on it; 0 where all are booked. */
export function readStorageStart(db: Database): number {
  const row = db
    .prepare<[], { note: string }>(`SELECT note FROM entry WHERE kind = 'storage-start' ORDER BY id LIMIT 1`)
    .get()
  const told = v.safeParse(noteShape, row?.note)
  return told.success ? told.output.records : 0 // a damaged note: the entry's hash tells
}

/** Whether the tables were brought up to date, and the journal has not noted it yet. */
export function isStorageStartDue(db: Database): boolean {
  return db.prepare('SELECT 1 FROM storage_start').get() !== undefined
}

/** Notes what is due. The caller holds the transaction, and nothing has been booked since the tables were changed. */
export function noteStorageStart({ db, ledger }: { readonly db: Database; readonly ledger: Ledger }): void {
  const due = db.prepare<[], { records: number }>('SELECT records FROM storage_start').get()
  if (due === undefined) return
  ledger.note('storage-start', null, { records: due.records })
  db.prepare('DELETE FROM storage_start').run()
}
