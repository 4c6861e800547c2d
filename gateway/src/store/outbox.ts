import { decodeWith, integerBetween, type PointId } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'
import { findPoint, type Place, type PointRow } from './points.ts'

/** One record on its way. */
export interface OutboxRecord {
  readonly point: PointId
  readonly epoch: number
  readonly sequence: number
  readonly takenAt: number
  readonly text: string
}

/** What a receipt's place is to this gateway. */
export type PlaceKnowledge =
  /** It is our record. */
  | 'ours'
  /** There is another record of ours at that place. */
  | 'foreign'
  /** It lies before everything that is still kept. */
  | 'pruned'
  /** We do not remember it. */
  | 'unknown'

/** Where a record stands, without its hash. */
type Position = Pick<Place, 'epoch' | 'sequence'>

const count = integerBetween(0, Number.MAX_SAFE_INTEGER)
const recordShape = v.object({ epoch: count, sequence: count, taken_at: count, text: v.string() })
const headShape = v.object({
  point: v.string(),
  epoch: count,
  sequence: count,
  acknowledged_epoch: count,
  acknowledged_sequence: count,
})
const hashShape = v.object({ hash: v.string(), rejected: v.nullable(v.string()) })

/**
 * The records that the ledger has not confirmed, in their order. pending → sent → acknowledged or rejected. `sent` is
 * only in memory: after a crash everything unconfirmed is pending again, which is safe, as the ledger takes a record once.
 */
export class Outbox {
  readonly #store: Store
  readonly #sent = new Map<PointId, Position[]>()
  #turn = 0

  constructor(store: Store) {
    this.#store = store
  }

  /** Records that are sent and not confirmed. */
  inFlight(point?: PointId): number {
    if (point !== undefined) return this.#sent.get(point)?.length ?? 0
    return [...this.#sent.values()].reduce((sum, places) => sum + places.length, 0)
  }

  /** Records of a point that the ledger has not confirmed, sent or not. */
  waiting(point: PointId): number {
    const row = findPoint(this.#store, point)
    return row === undefined ? 0 : Math.max(0, row.sequence - row.acknowledged.sequence)
  }

  /**
   * Takes up to `limit` records in order and counts them as sent; `room` tells how many more of a point may be under
   * way. The points share the limit and take turns, beginning with another one each time. Whoever wants all that there
   * is room for comes again until nothing is given.
   */
  take(limit: number, points: readonly PointId[], room: (point: PointId) => number): readonly OutboxRecord[] {
    const first = this.#turn++ % Math.max(1, points.length)
    const share = Math.ceil(limit / Math.max(1, points.length))
    const unsent = this.#listUnsent()
    const queues = [...points.slice(first), ...points.slice(0, first)]
      .filter((point) => unsent.has(point))
      .map((point) => this.#pending(point, Math.min(share, room(point))))
    const taken = Array.from({ length: share }, (_, at) => queues.flatMap((queue) => queue[at] ?? []))
      .flat()
      .slice(0, limit)
    for (const { point, epoch, sequence } of taken) {
      const places = this.#sent.get(point) ?? []
      places.push({ epoch, sequence })
      this.#sent.set(point, places)
    }
    return taken
  }

  // One look at all heads: with hundreds of points, few have something new when one receipt or reading comes.
  #listUnsent(): ReadonlySet<string> {
    const unsent = new Set<string>()
    const heads = this.#store
      .sql('SELECT point, epoch, sequence, acknowledged_epoch, acknowledged_sequence FROM points')
      .all()
    for (const head of heads) {
      const known = decodeWith(headShape, head, `${this.#store.path}: points`, 'storage/corrupt')
      const acknowledged = { epoch: known.acknowledged_epoch, sequence: known.acknowledged_sequence }
      if (isAfter(known, this.#sent.get(known.point as PointId)?.at(-1) ?? acknowledged)) unsent.add(known.point)
    }
    return unsent
  }

  #pending(point: PointId, limit: number): readonly OutboxRecord[] {
    const row = limit > 0 ? findPoint(this.#store, point) : undefined
    if (row === undefined) return []
    const after = this.#sent.get(point)?.at(-1) ?? row.acknowledged
    return this.#store
      .sql(
        `SELECT epoch, sequence, taken_at, text FROM records
         WHERE point = ? AND (epoch, sequence) > (?, ?) AND rejected IS NULL
         ORDER BY epoch, sequence LIMIT ?`,
      )
      .all(row.number, after.epoch, after.sequence, limit)
      .map((found) => {
        const known = decodeWith(recordShape, found, `${this.#store.path}: records of '${point}'`, 'storage/corrupt')
        return { point, epoch: known.epoch, sequence: known.sequence, takenAt: known.taken_at, text: known.text }
      })
  }

  /** Forgets what was sent of a point, or of all: it is pending again from the last confirmed record on. */
  rewind(point?: PointId): void {
    if (point === undefined) this.#sent.clear()
    else this.#sent.delete(point)
  }

  /** Goes on after what was sent of a point, without waiting for it; what is not confirmed stays pending (SPEC-76). */
  passOver(point: PointId): void {
    const last = this.#sent.get(point)?.at(-1)
    if (last !== undefined) this.#sent.set(point, [last])
  }

  /** What the gateway knows of a place that a receipt names. */
  lookUp(row: PointRow, { epoch, sequence, hash }: Place): PlaceKnowledge {
    const found = this.#store
      .sql('SELECT hash, rejected FROM records WHERE point = ? AND epoch = ? AND sequence = ?')
      .get(row.number, epoch, sequence)
    if (found !== undefined) {
      const known = decodeWith(hashShape, found, `${this.#store.path}: records of '${row.point}'`, 'storage/corrupt')
      return known.hash === hash ? 'ours' : 'foreign'
    }
    return this.#isBeforeOldest(row, epoch, sequence) ? 'pruned' : 'unknown'
  }

  #isBeforeOldest(row: PointRow, epoch: number, sequence: number): boolean {
    const before = this.#store
      .sql(`SELECT (?, ?) < (epoch, sequence) FROM records WHERE point = ? ORDER BY epoch, sequence LIMIT 1`)
      .pluck()
      .get(epoch, sequence, row.number)
    return before === 1
  }

  /** Whether a place holds a record that is still to be confirmed. */
  isUnconfirmed(row: PointRow, epoch: number, sequence: number): boolean {
    const found = this.#store
      .sql(
        `SELECT 1 FROM records WHERE point = ? AND epoch = ? AND sequence = ? AND rejected IS NULL
         AND (epoch, sequence) > (?, ?)`,
      )
      .get(row.number, epoch, sequence, row.acknowledged.epoch, row.acknowledged.sequence)
    return found !== undefined
  }

  /** The text of the first record that is still to be confirmed. */
  firstUnconfirmed(row: PointRow): string | undefined {
    const text: unknown = this.#store
      .sql(
        `SELECT text FROM records WHERE point = ? AND (epoch, sequence) > (?, ?) AND rejected IS NULL
         ORDER BY epoch, sequence LIMIT 1`,
      )
      .pluck()
      .get(row.number, row.acknowledged.epoch, row.acknowledged.sequence)
    return typeof text === 'string' ? text : undefined
  }

  /** Sets how far the ledger has confirmed; to be called in a transaction, for a place that `lookUp` does not refuse. */
  acknowledge(row: PointRow, place: Place): void {
    this.#store
      .sql(
        `UPDATE points SET acknowledged_epoch = ?, acknowledged_sequence = ?, acknowledged_hash = ? WHERE number = ?`,
      )
      .run(place.epoch, place.sequence, place.hash, row.number)
    // Records that were given up before the ledger's word on them was final are accepted after all.
    this.#store
      .sql(
        'UPDATE records SET rejected = NULL WHERE point = ? AND epoch = ? AND sequence <= ? AND rejected IS NOT NULL',
      )
      .run(row.number, place.epoch, place.sequence)
  }

  /** Lets go of the places in flight that are confirmed. To be called once the transaction is done. */
  release(point: PointId, place: Place): void {
    const left = (this.#sent.get(point) ?? []).filter((sent) => isAfter(sent, place))
    if (left.length === 0) this.#sent.delete(point)
    else this.#sent.set(point, left)
  }
}

/** Whether a place comes after another in the chain of a point. */
export function isAfter(a: Position, b: Position): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.sequence > b.sequence)
}
