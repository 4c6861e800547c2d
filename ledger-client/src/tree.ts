import type { Wh } from '@wattline/protocol'
import type { Ledger } from './ledger/ledger.ts'
import { type Point, type Registry, stateOf } from './registry.ts'
import type { Database, Statement } from './store/database.ts'

// SPEC-84. A point with children books the remainder of its own meter: what it counted, less what was booked below it.
// Everything is cumulative, so it does not matter in which order the points' records arrive, nor whether readings in
// between are missing:
//   remainder(t) = net(t) − booked by the subtree below, of readings not later than t, since counting began here
//   booked(t)    = min(booked before, remainder(t))      only ever falls: a remainder burns, it never mints
//   carried(t)   = remainder(t) − booked(t)              at or above zero, visible
// What a charging point has counted in an open session is booked below in this sense: it is that session's to burn.
// so that booked by the whole tree + carried = net of the root, exactly.

/** A parent's reading that waits for its children. */
interface Pending {
  readonly id: bigint
  readonly epoch: bigint
  readonly sequence: bigint
  readonly taken_at: bigint
  readonly outcome: string
  readonly net_wh: bigint
}

/** A moment at which a parent's counting began anew, and until when it had counted before. */
interface Restart {
  readonly taken_at: bigint
  readonly base_at: bigint | null
}

/** The part of the remainder's sum that comes from the children. */
export interface ChildrenSum {
  /** The reading's time, and the restarts of the parent up to that reading. */
  readonly at: bigint
  readonly restarts: readonly Restart[]
  /** Only records with an id up to this one were known. */
  readonly mark: bigint
}

/** What the children of a point had booked, so far as a record id was known. Shared with the audit. */
export class BookedBelow {
  readonly #registry: Registry
  readonly #bookedAt: Statement<[number, bigint, bigint], { booked_wh: bigint | null }>
  readonly #restarts: Statement<[number, bigint, bigint], Restart>

  constructor(db: Database, registry: Registry) {
    this.#registry = registry
    this.#bookedAt = db.prepareWide(
      `SELECT booked_wh FROM record WHERE point = ? AND taken_at <= ? AND id <= ?
       ORDER BY taken_at DESC, id DESC LIMIT 1`,
    )
    this.#restarts = db.prepareWide(
      `SELECT taken_at, base_at FROM record WHERE point = ? AND outcome = 'base' AND (epoch, sequence) <= (?, ?)`,
    )
  }

  /** Where a point's counting began anew, up to one of its records. */
  restarts(point: Point, epoch: bigint, sequence: bigint): readonly Restart[] {
    return this.#restarts.all(point.rowId, epoch, sequence)
  }

  /** Booked below a point over the same time that its own net stands for. */
  sum(point: Point, { at, restarts, mark }: ChildrenSum): Wh {
    let sum = this.#below(point, at, mark)
    for (const { taken_at, base_at } of restarts) {
      // What the children booked while this point did not count is no part of its net.
      sum -= this.#below(point, taken_at, mark) - (base_at === null ? 0n : this.#below(point, base_at, mark))
    }
    return sum
  }

  #below(point: Point, at: bigint, mark: bigint): Wh {
    let sum = 0n
    for (const child of this.#registry.childrenOf(point.id)) {
      sum += (this.#bookedAt.get(child.rowId, at, mark)?.booked_wh ?? 0n) + this.#below(child, at, mark)
    }
    return sum
  }
}

/** A point's new remainder (SPEC-84). Pure: the audit repeats it. */
export function settleRemainder(bookedWh: Wh, netWh: Wh, childrenWh: Wh): { bookedWh: Wh; burnWh: Wh; carriedWh: Wh } {
  const remainder = netWh - childrenWh
  const booked = remainder < bookedWh ? remainder : bookedWh
  return { bookedWh: booked, burnWh: bookedWh - booked, carriedWh: remainder - booked }
}

/** Settles the readings of points that have children, each once its children have spoken past it. */
export class Remainders {
  readonly #registry: Registry
  readonly #ledger: Ledger
  readonly #below: BookedBelow
  readonly #first: Statement<[number], Pending>
  readonly #settle: Statement<[bigint, bigint, bigint], unknown>
  readonly #lastRecord: Statement<[], { id: bigint | null }>
  readonly #pending = new Map<number, Pending | undefined>()

  constructor(db: Database, registry: Registry, ledger: Ledger) {
    this.#registry = registry
    this.#ledger = ledger
    this.#below = new BookedBelow(db, registry)
    this.#first = db.prepareWide(
      `SELECT id, epoch, sequence, taken_at, outcome, net_wh FROM record
       WHERE point = ? AND booked_wh IS NULL ORDER BY epoch, sequence LIMIT 1`,
    )
    this.#settle = db.prepare('UPDATE record SET booked_wh = ?, settled = ? WHERE id = ?')
    this.#lastRecord = db.prepareWide('SELECT max(id) AS id FROM record')
    db.onStale(() => this.#pending.clear())
  }

  /** Whether a point books remainders instead of its own register. */
  isParent(point: Point): boolean {
    return this.#registry.childrenOf(point.id).length > 0
  }

  /** Settles what a point's new record makes possible: its own reading, and those of the points above it. */
  advance(point: Point, previousAt: number): void {
    let moved = false
    if (this.isParent(point)) {
      if (this.#pending.get(point.rowId) === undefined) this.#pending.delete(point.rowId)
      moved = this.#settlePending(point)
    }
    for (const above of this.#ancestors(point)) {
      const waiting = this.#firstPending(above)?.taken_at
      // Only the record that passes the waiting reading can settle it; without this, each record of each child would
      // ask for all its siblings.
      const passes =
        waiting !== undefined && BigInt(previousAt) <= waiting && BigInt(point.head?.takenAt ?? 0) > waiting
      moved = moved || passes ? this.#settlePending(above) : false
    }
  }

  /** Settles whatever can be: after a point was frozen, revoked or enrolled, others need no longer wait for it. */
  settleAll(): void {
    for (const point of this.#registry.all()) {
      if (!this.isParent(point)) continue
      for (const each of [point, ...this.#ancestors(point)]) this.#settlePending(each)
    }
  }

  *#ancestors(point: Point): Generator<Point> {
    for (let above = this.#above(point); above !== undefined; above = this.#above(above)) yield above
  }

  #above(point: Point): Point | undefined {
    return point.terms.behind === undefined ? undefined : this.#registry.get(point.terms.behind)
  }

  #firstPending(point: Point): Pending | undefined {
    if (!this.#pending.has(point.rowId)) this.#pending.set(point.rowId, this.#first.get(point.rowId))
    return this.#pending.get(point.rowId)
  }

  #settlePending(point: Point): boolean {
    let moved = false
    for (;;) {
      const reading = this.#firstPending(point)
      if (reading === undefined || !this.#settleOne(point, reading)) return moved
      this.#pending.delete(point.rowId)
      moved = true
    }
  }

  #settleOne(point: Point, reading: Pending): boolean {
    const counts = reading.outcome === 'counted' || reading.outcome === 'base'
    // A clock that ran ahead and was put right must not hold everything up: a later reading stands for this one too.
    const overtaken = BigInt(point.head?.takenAt ?? 0) < reading.taken_at
    if (!counts || overtaken || point.terms.role === 'storage') {
      this.#settle.run(point.bookedWh, 0n, reading.id)
      return true
    }
    const children = this.#registry.childrenOf(point.id)
    if (!children.every((child) => this.#isSettledAt(child, reading.taken_at))) return false
    this.#book(point, reading)
    return true
  }

  // A point that never spoke, or will not speak again, is not waited for; a storage books nothing.
  #isSettledAt(child: Point, at: bigint): boolean {
    const silent = stateOf(child) !== 'active' || (!child.certified && child.records === 0)
    const waiting = this.#firstPending(child)
    const own =
      child.terms.role === 'storage' ||
      ((silent || BigInt(child.head?.takenAt ?? 0) > at) && (waiting === undefined || waiting.taken_at > at))
    return own && this.#registry.childrenOf(child.id).every((below) => this.#isSettledAt(below, at))
  }

  #book(point: Point, reading: Pending): void {
    const mark = this.#lastRecord.get()?.id ?? 0n
    const restarts = this.#below.restarts(point, reading.epoch, reading.sequence)
    const childrenWh = this.#below.sum(point, { at: reading.taken_at, restarts, mark })
    const { bookedWh, burnWh, carriedWh } = settleRemainder(point.bookedWh, reading.net_wh, childrenWh)
    if (burnWh > 0n) {
      this.#ledger.book({
        claim: `${point.id}#${reading.epoch}/${reading.sequence}`,
        kind: 'remainder',
        point: point.id,
        owner: point.terms.owner,
        mintWh: 0n,
        burnWh,
        note: { netWh: reading.net_wh.toString(), childrenWh: childrenWh.toString(), carriedWh: carriedWh.toString() },
      })
    }
    point.burnedWh += burnWh
    point.bookedWh = bookedWh
    point.carriedWh = carriedWh
    this.#registry.touch(point)
    this.#settle.run(bookedWh, mark, reading.id)
  }
}
