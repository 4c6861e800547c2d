import { decodeWith, integerBetween, type OcppVersion, type Timestamp, transactionActions } from '@wattline/protocol'
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

  /** Every frame that is still kept, in the order in which they came; of one station or with one outcome. */
  *rows({ station, outcome }: { station?: string | undefined; outcome?: FrameOutcome | undefined }) {
    const statement = this.#store.sql(
      `SELECT number, station, action, arrived_at AS arrivedAt, outcome, notes, frame FROM ocpp_frames
       WHERE number > ? AND (? IS NULL OR station = ?) AND (? IS NULL OR outcome = ?) ORDER BY number LIMIT ${rowsAtOnce}`,
    )
    const where = `${this.#store.path}: ocpp_frames`
    for (let last = 0; ; ) {
      const given = [last, station ?? null, station ?? null, outcome ?? null, outcome ?? null]
      const found = this.#store.read(() => statement.all(...given))
      for (const row of decodeWith(v.array(rowShape), found, where, 'storage/corrupt')) {
        last = row.number
        yield { ...row, notes: decodeWith(v.array(v.string()), JSON.parse(row.notes), where, 'storage/corrupt') }
      }
      if (found.length < rowsAtOnce) return
    }
  }

  /** Nothing is to be concluded from a frame after all. */
  quarantine(number: number, notes: readonly string[]): void {
    this.#store
      .sql("UPDATE ocpp_frames SET outcome = 'quarantined', notes = ? WHERE number = ?")
      .run(JSON.stringify(notes), number)
  }

  /** The number under which this content came first; undefined where it never came. Not kept for MeterValues. */
  firstOf(contentHash: string): number | undefined {
    const found = this.#store
      .sql("SELECT min(number) AS number FROM ocpp_frames WHERE content_hash = ? AND action <> 'MeterValues'")
      .get(contentHash)
    const { number } = decodeWith(firstShape, found, `${this.#store.path}: ocpp_frames`, 'storage/corrupt')
    return number ?? undefined
  }

  /** Whether this content was taken under an earlier number. Not known of MeterValues. */
  wasTakenBefore(contentHash: string, number: number): boolean {
    const found = this.#store
      .sql(
        `SELECT 1 FROM ocpp_frames
         WHERE content_hash = ? AND number < ? AND action <> 'MeterValues' AND outcome <> 'quarantined'`,
      )
      .get(contentHash, number)
    return found !== undefined
  }

  /**
   * Forgets frames that tell of no energy: those that came before a time, and the oldest where they are more than
   * `most`, since whoever sends nonsense may do so without end. At most `chunk` at once; gives how many.
   */
  prune({ beforeMs, most, chunk }: PruneLimits): number {
    const marks = transactionActions.map(() => '?').join(', ')
    const others = `SELECT number, arrived_at FROM ocpp_frames WHERE action NOT IN (${marks}) ORDER BY number`
    const { count } = decodeWith(
      countShape,
      this.#store.sql(`SELECT count(*) AS count FROM (${others})`).get(...transactionActions),
      `${this.#store.path}: ocpp_frames`,
      'storage/corrupt',
    )
    const tooMany = Math.max(0, count - most)
    return this.#store
      .sql(
        `DELETE FROM ocpp_frames WHERE number IN (
           SELECT number FROM (SELECT number, arrived_at, row_number() OVER (ORDER BY number) AS place FROM (${others}))
           WHERE arrived_at < ? OR place <= ? LIMIT ?)`,
      )
      .run(...transactionActions, beforeMs, tooMany, chunk).changes
  }
}

export interface PruneLimits {
  readonly beforeMs: number
  readonly most: number
  readonly chunk: number
}

/** Rows per query: between two of them a running gateway can tidy its write-ahead log. */
const rowsAtOnce = 500
const rowShape = v.object({
  number: integerBetween(1, Number.MAX_SAFE_INTEGER),
  station: v.string(),
  action: v.string(),
  arrivedAt: integerBetween(0, Number.MAX_SAFE_INTEGER),
  outcome: v.picklist(['accepted', 'mended', 'quarantined']),
  notes: v.string(),
  frame: v.string(),
})

/** One frame as it is kept. */
export type JournalRow = Omit<v.InferOutput<typeof rowShape>, 'notes'> & { readonly notes: readonly string[] }

const countShape = v.object({ count: integerBetween(0, Number.MAX_SAFE_INTEGER) })
const firstShape = v.object({ number: v.nullable(integerBetween(1, Number.MAX_SAFE_INTEGER)) })
