import { decodeWith, integerBetween, type OcppVersion, type Timestamp } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

/** What became of a frame. `quarantined`: nothing is concluded from it. */
export type FrameOutcome = 'accepted' | 'mended' | 'quarantined'

/** One frame of a station, as it came. */
export interface JournalEntry {
  readonly stationId: string
  readonly version: OcppVersion
  readonly arrivedAt: Timestamp
  readonly action: string
  readonly messageId: string
  readonly contentHash: string
  readonly frame: string
  readonly outcome: FrameOutcome
  readonly notes: readonly string[]
}

/** What stations sent: written once, changed never but for an outcome that got worse. */
export class OcppJournal {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Stores a frame; gives its number. */
  append(entry: JournalEntry): number {
    const { lastInsertRowid } = this.#store
      .sql(
        `INSERT INTO ocpp_frames (station, version, arrived_at, action, message_id, content_hash, frame, outcome, notes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        entry.stationId,
        entry.version,
        entry.arrivedAt,
        entry.action,
        entry.messageId,
        entry.contentHash,
        entry.frame,
        entry.outcome,
        JSON.stringify(entry.notes),
      )
    return Number(lastInsertRowid)
  }

  /** Nothing is to be concluded from a frame after all. */
  quarantine(number: number, notes: readonly string[]): void {
    this.#store
      .sql("UPDATE ocpp_frames SET outcome = 'quarantined', notes = ? WHERE number = ?")
      .run(JSON.stringify(notes), number)
  }

  /** The number under which this content came first; undefined where it never came. */
  firstOf(contentHash: string): number | undefined {
    const found = this.#store
      .sql('SELECT min(number) AS number FROM ocpp_frames WHERE content_hash = ?')
      .get(contentHash)
    const { number } = decodeWith(firstShape, found, `${this.#store.path}: ocpp_frames`, 'storage/corrupt')
    return number ?? undefined
  }

  /** Forgets what tells of no energy and is older than this; at most `limit` frames at once. */
  prune(beforeMs: number, limit: number, keepActions: readonly string[]): number {
    const marks = keepActions.map(() => '?').join(', ')
    return this.#store
      .sql(
        `DELETE FROM ocpp_frames WHERE number IN (
           SELECT number FROM ocpp_frames WHERE arrived_at < ? AND action NOT IN (${marks}) ORDER BY number LIMIT ?)`,
      )
      .run(beforeMs, ...keepActions, limit).changes
  }
}

const firstShape = v.object({ number: v.nullable(integerBetween(1, Number.MAX_SAFE_INTEGER)) })
