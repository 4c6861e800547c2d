import { type ParsedOcmf, parseOcmfText } from '@wattline/protocol'
import type { Place, Point } from '../points/registry.ts'
import type { Database, Statement } from './database.ts'
import { Seals } from './seal.ts'

/** What became of an accepted record's energy: counted, a new base, kept without counting, or the code that refused it. */
export type CountOutcome = string

/** An accepted record, as far as position and equivocation need it. */
export interface StoredRecord extends Place {
  readonly id: number
  readonly hash: string
  readonly text: string
}

/** What is written of an accepted record. */
export interface NewRecord {
  readonly point: Point
  readonly parsed: ParsedOcmf
  /** The signed bytes, untouched. */
  readonly text: string
  /** It arrived as a full text: frames may refer to it. */
  readonly full: boolean
  readonly outcome: CountOutcome
  readonly baseAt: number | undefined
  readonly netWh: bigint
  /** Absent while a remainder is unsettled. */
  readonly bookedWh: bigint | undefined
  readonly acceptedAt: number
}

type RecordValues = [
  point: number,
  epoch: number,
  sequence: number,
  hash: string,
  tag: number,
  full: number,
  text: string,
  takenAt: number,
  acceptedAt: number,
  terms: number,
  outcome: string,
  baseAt: number | null,
  netWh: bigint,
  bookedWh: bigint | null,
]

/** A record that waits for its predecessor, or a frame that cannot be rebuilt yet. */
export interface Held {
  readonly digest: string
  readonly payload: Uint8Array
  readonly place?: Place
  readonly hash?: string
  readonly previousHash?: string
}

interface HeldRow {
  digest: string
  hash: string | null
  payload: Buffer
}

/** Records held of one point; a gateway sends them again, so the bound loses nothing. */
const heldLimit = 512

/** Accepted records, and those that wait for their turn. */
export class Records {
  readonly #at: Statement<[number, number, number], StoredRecord>
  readonly #byTag: Statement<[number, number, string], StoredRecord>
  readonly #lastCounted: Statement<[number], StoredRecord>
  readonly #bases: Statement<[number, number], { text: string }>
  readonly #insert: Statement<RecordValues, unknown>
  readonly #hold: Statement<
    [number, string, number | null, number | null, string | null, string | null, Uint8Array],
    unknown
  >
  readonly #heldCount: Statement<[number], { rows: number }>
  readonly #heldAt: Statement<[number, number, number], HeldRow>
  readonly #heldNext: Statement<[number, number, number, string, number], HeldRow>
  readonly #drop: Statement<[number, string], unknown>
  readonly #dropPassed: Statement<[number, number, number], unknown>
  readonly #seals: Seals
  readonly #heldRows = new Map<number, number>()
  readonly #baseCache = new Map<number, ParsedOcmf>()

  constructor(db: Database) {
    const columns = 'id, epoch, sequence, hash, text'
    this.#at = db.prepare(`SELECT ${columns} FROM record WHERE point = ? AND epoch = ? AND sequence = ?`)
    this.#byTag = db.prepare(`SELECT ${columns} FROM record WHERE point = ? AND tag = ? AND hash = ?`)
    this.#lastCounted = db.prepare(
      `SELECT ${columns} FROM record WHERE point = ? AND outcome IN ('counted', 'base')
       ORDER BY epoch DESC, sequence DESC LIMIT 1`,
    )
    this.#bases = db.prepare(
      // Left to itself SQLite would walk the whole epoch backwards, to save the sorting of one or two rows.
      `SELECT text FROM record INDEXED BY record_tag WHERE point = ? AND tag = ? AND full = 1
       ORDER BY epoch DESC, sequence DESC LIMIT 4`,
    )
    this.#insert = db.prepare(
      `INSERT INTO record (point, epoch, sequence, hash, tag, full, text, taken_at, accepted_at, terms, outcome, base_at,
       net_wh, booked_wh) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#hold = db.prepare(
      `INSERT INTO held (point, digest, epoch, sequence, hash, previous_hash, payload) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
    )
    this.#heldCount = db.prepare('SELECT count(*) AS rows FROM held WHERE point = ?')
    this.#heldAt = db.prepare('SELECT digest, hash, payload FROM held WHERE point = ? AND epoch = ? AND sequence = ?')
    // What may follow the head: the next place, a record that names it, and frames that lacked a base until now.
    this.#heldNext = db.prepare(
      `SELECT digest, hash, payload FROM held
       WHERE point = ? AND ((epoch = ? AND sequence = ?) OR previous_hash = ? OR (epoch IS NULL AND ?))
       ORDER BY epoch IS NULL, epoch, sequence`,
    )
    this.#drop = db.prepare('DELETE FROM held WHERE point = ? AND digest = ?')
    this.#dropPassed = db.prepare('DELETE FROM held WHERE point = ? AND (epoch, sequence) <= (?, ?)')
    this.#seals = new Seals(db)
    db.onStale(() => {
      this.#heldRows.clear()
      this.#baseCache.clear()
    })
  }

  /** The accepted record at a place. */
  at(point: Point, { epoch, sequence }: Place): StoredRecord | undefined {
    return this.#at.get(point.rowId, epoch, sequence)
  }

  /** The accepted record with a payload hash. */
  named(point: Point, hash: string): StoredRecord | undefined {
    return this.#byTag.get(point.rowId, tagOf(hash), hash)
  }

  /** The last record whose registers counted. */
  lastCounted(point: Point): StoredRecord | undefined {
    return this.#lastCounted.get(point.rowId)
  }

  /** The full texts that a frame's tag may mean, newest first (SPEC-40). */
  bases(point: Point, baseTag: string): readonly ParsedOcmf[] {
    const cached = this.#baseCache.get(point.rowId)
    if (cached?.hash.startsWith(baseTag)) return [cached]
    const bases = this.#bases.all(point.rowId, tagOf(baseTag)).map(({ text }) => parseOcmfText(text))
    const [newest] = bases
    if (newest !== undefined && bases.length === 1) this.#baseCache.set(point.rowId, newest)
    return bases
  }

  insert(record: NewRecord): void {
    const { point, parsed, full } = record
    const { epoch, sequence, takenAt } = parsed.record
    const tag = tagOf(parsed.hash)
    const { lastInsertRowid } = this.#insert.run(
      point.rowId,
      epoch,
      sequence,
      parsed.hash,
      tag,
      full ? 1 : 0,
      record.text,
      takenAt,
      record.acceptedAt,
      point.termsEntry,
      record.outcome,
      record.baseAt ?? null,
      record.netWh,
      record.bookedWh ?? null,
    )
    this.#seals.add(Number(lastInsertRowid), record.text)
    // A new base with the tag of the cached one makes the tag ambiguous: look again.
    if (full) this.#baseCache.delete(point.rowId)
  }

  /** Keeps a record for later. Gives false where too many wait already. */
  hold(point: Point, { digest, place, hash, previousHash, payload }: Held): boolean {
    const rows = this.heldCount(point)
    if (rows >= heldLimit) return false
    const { changes } = this.#hold.run(
      point.rowId,
      digest,
      place?.epoch ?? null,
      place?.sequence ?? null,
      hash ?? null,
      previousHash ?? null,
      payload,
    )
    this.#heldRows.set(point.rowId, rows + changes)
    return true
  }

  heldCount(point: Point): number {
    const known = this.#heldRows.get(point.rowId)
    if (known !== undefined) return known
    const rows = this.#heldCount.get(point.rowId)?.rows ?? 0
    this.#heldRows.set(point.rowId, rows)
    return rows
  }

  /** The held texts at a place whose payload is not the one with this hash. */
  heldRivals(point: Point, { epoch, sequence }: Place, hash: string): readonly Uint8Array[] {
    if (this.heldCount(point) === 0) return []
    const rows = this.#heldAt.all(point.rowId, epoch, sequence)
    return rows.flatMap((row) => (row.hash !== null && row.hash !== hash ? [row.payload] : []))
  }

  /** Takes out what may be accepted now that the head has moved, or that a certificate with a hash is on file. */
  takeHeld(
    point: Point,
    news: { readonly fullText?: boolean; readonly certificateHash?: string },
  ): readonly Uint8Array[] {
    if (this.heldCount(point) === 0) return []
    const { epoch, sequence, hash } = point.head ?? { epoch: 0, sequence: 0, hash: '' }
    this.#dropPassed.run(point.rowId, epoch, sequence)
    const named = news.certificateHash ?? hash
    const rows = this.#heldNext.all(point.rowId, epoch, sequence + 1, named, news.fullText === true ? 1 : 0)
    for (const { digest } of rows) this.#drop.run(point.rowId, digest)
    this.#heldRows.delete(point.rowId)
    return rows.map(({ payload }) => payload)
  }
}

/** The first two bytes of a hash as a number. */
export function tagOf(hash: string): number {
  return Number.parseInt(hash.slice(0, 4), 16)
}
