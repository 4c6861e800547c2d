import type { ParsedOcmf, PublicKey } from '@wattline/protocol'
import Database from 'better-sqlite3'
import { parseStoredText } from '../record-text.ts'
import type { Place } from './points.ts'
import { loadLedgerKey } from './settings.ts'

/** What could be read of a damaged database. */
export interface Salvage {
  /** In the order in which they were signed; each is a complete record. */
  readonly records: readonly SavedRecord[]
  /** By metering point: what the ledger had confirmed. */
  readonly acknowledged: ReadonlyMap<string, Place>
  readonly ledgerKey?: PublicKey
}

export interface SavedRecord {
  readonly text: string
  readonly parsed: ParsedOcmf
}

/** Reads whatever can be read. Never throws for what is damaged. */
export function salvage(path: string): Salvage {
  let db: Database.Database
  try {
    db = new Database(path, { readonly: true })
  } catch {
    return nothing // not even a database any more
  }
  try {
    let ledgerKey: PublicKey | undefined
    attempt(() => {
      ledgerKey = loadLedgerKey({ sql: (text) => db.prepare(text) })
    })
    return {
      records: readRecords(db),
      acknowledged: readAcknowledged(db),
      ...(ledgerKey === undefined ? {} : { ledgerKey }),
    }
  } finally {
    db.close()
  }
}

const nothing: Salvage = { records: [], acknowledged: new Map() }

// A damaged page stops a walk through the table. A walk from the other end still reaches what lies behind it.
function readRecords(db: Database.Database): readonly SavedRecord[] {
  const found = new Map<number, SavedRecord>()
  const forward = walk(db, 'SELECT number, text FROM records ORDER BY number', found)
  if (!forward) walk(db, 'SELECT number, text FROM records ORDER BY number DESC', found)
  return [...found].sort(([a], [b]) => a - b).map(([, record]) => record)
}

function walk(db: Database.Database, query: string, found: Map<number, SavedRecord>): boolean {
  return attempt(() => {
    for (const row of db.prepare(query).raw().iterate()) {
      if (!Array.isArray(row)) continue
      const [number, text]: unknown[] = row
      if (typeof number !== 'number' || typeof text !== 'string') continue
      const parsed = parseStoredText(text)
      if (parsed !== undefined) found.set(number, { text, parsed })
    }
  })
}

function readAcknowledged(db: Database.Database): ReadonlyMap<string, Place> {
  const found = new Map<string, Place>()
  attempt(() => {
    const query = 'SELECT point, acknowledged_epoch, acknowledged_sequence, acknowledged_hash FROM points'
    for (const row of db.prepare(query).raw().iterate()) {
      if (!Array.isArray(row)) continue
      const [point, epoch, sequence, hash]: unknown[] = row
      if (typeof point !== 'string' || typeof hash !== 'string') continue
      if (typeof epoch !== 'number' || typeof sequence !== 'number' || sequence === 0) continue
      found.set(point, { epoch, sequence, hash })
    }
  })
  return found
}

function attempt(work: () => void): boolean {
  try {
    work()
    return true
  } catch {
    return false // the damage begins here; what came before counts
  }
}
