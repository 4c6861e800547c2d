import type { Place, Point, PointKey } from '../points/registry.ts'
import type { Database, Statement } from './database.ts'

/** A place with the hash of the record that stands there. */
export interface FinalPlace extends Place {
  readonly hash: string
}

/**
 * Up to where receipts went, where a chain counts (SPEC-170). A place is stored before anything is told of it, so
 * neither a restart nor a node that is away takes a receipt back.
 */
export class FinalPlaces {
  readonly #db: Database
  readonly #read: Statement<[number], FinalPlace>
  readonly #write: Statement<[number, number, number, string], unknown>
  readonly #counted: Statement<[number, number, number, number], { text: string }>
  readonly #before: Statement<[number, number, number], FinalPlace>

  constructor(db: Database) {
    this.#db = db
    this.#read = db.prepare('SELECT epoch, sequence, hash FROM final_place WHERE point = ?')
    this.#write = db.prepare(
      `INSERT INTO final_place (point, epoch, sequence, hash) VALUES (?, ?, ?, ?)
       ON CONFLICT (point) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence, hash = excluded.hash`,
    )
    this.#counted = db.prepare(
      `SELECT record.text FROM epoch
       JOIN record ON record.point = epoch.point AND record.epoch = epoch.epoch
       WHERE epoch.key = ? AND (record.epoch, record.sequence) > (?, ?) AND record.outcome IN ('counted', 'base')
       ORDER BY record.epoch, record.sequence LIMIT ?`,
    )
    this.#before = db.prepare(
      `SELECT epoch, sequence, hash FROM record WHERE point = ? AND (epoch, sequence) < (?, ?)
       ORDER BY epoch DESC, sequence DESC LIMIT 1`,
    )
  }

  /** Goes on from what receipts have told: a ledger that ran without a chain so far has told its heads. */
  begin(): void {
    this.#db.write(() => {
      if (this.#read.get(chainCounts) !== undefined) return
      this.#write.run(chainCounts, 0, 0, '')
      this.#db.prepare("INSERT INTO final_place SELECT id, epoch, sequence, hash FROM point WHERE hash <> ''").run()
    })
  }

  of(point: Point): FinalPlace | undefined {
    return this.#read.get(point.rowId)
  }

  /** Moves points on; durable when this returns. */
  store(places: readonly { readonly point: Point; readonly place: FinalPlace }[]): void {
    this.#db.write(() => {
      for (const { point, place } of places) this.#write.run(point.rowId, place.epoch, place.sequence, place.hash)
    })
  }

  /** The records of a key after a place that the ledger has counted. */
  countedAfter({ rowId }: PointKey, { epoch, sequence }: Place, limit: number): readonly string[] {
    return this.#counted.all(rowId, epoch, sequence, limit).map(({ text }) => text)
  }

  /** The last accepted record before a place. */
  before(point: Point, { epoch, sequence }: Place): FinalPlace | undefined {
    return this.#before.get(point.rowId, epoch, sequence)
  }
}

/** The row that says that a chain counts; no point has this number. */
const chainCounts = 0

/** Without a chain receipts go up to the ledger's heads; a chain that is used later begins there. */
export function forgetFinalPlaces(db: Database): void {
  if (db.prepare('SELECT 1 FROM final_place LIMIT 1').get() === undefined) return
  db.write(() => db.prepare('DELETE FROM final_place').run())
}
