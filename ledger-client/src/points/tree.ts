import type { Wh } from '@wattline/protocol'
import type { Ledger } from '../ledger/ledger.ts'
import type { Database, Statement } from '../store/database.ts'
import { isEmpty, overlap, type Span } from './memberships.ts'
import { type Point, type Registry, stateOf } from './registry.ts'

// SPEC-84. A point with children books the remainder of its own meter: what it counted, less what was booked below it.
// Everything is cumulative, so it does not matter in which order the points' records arrive, nor whether readings in
// between are missing:
//   remainder(t) = net(t) − booked by the subtree below, of readings not later than t, since counting began here
//   booked(t)    = min(booked before, remainder(t))      only ever falls: a remainder burns, it never mints
//   carried(t)   = remainder(t) − booked(t)              at or above zero, visible
// so that booked by the whole tree + carried = net of the root, exactly. What a charging point has counted in an open
// session is booked below in this sense: it is that session's to burn. A point that joins or leaves belongs here for
// the stretch between two of its own records (SPEC-96), and its sums are taken over that stretch alone.

/** A parent's reading that waits for its children. */
interface Pending {
  readonly id: bigint
  readonly epoch: bigint
  readonly sequence: bigint
  readonly taken_at: bigint
  readonly terms: bigint
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
    let sum = this.#below(point, { until: at }, mark)
    for (const { taken_at, base_at } of restarts) {
      // What the children booked while this point did not count is no part of its net.
      sum -= this.#below(point, { until: taken_at }, mark)
      if (base_at !== null) sum += this.#below(point, { until: base_at }, mark)
    }
    return sum
  }

  #below(point: Point, span: Span, mark: bigint): Wh {
    let sum = 0n
    for (const { child, membership } of this.#registry.membersOf(point.id)) {
      const common = overlap(span, membership, mark)
      if (common === undefined) continue
      sum += this.#booked(child, common.until, mark) + this.#below(child, common, mark)
      if (common.from !== undefined) sum -= this.#booked(child, common.from, mark)
    }
    return sum
  }

  #booked(child: Point, at: bigint, mark: bigint): Wh {
    return this.#bookedAt.get(child.rowId, at, mark)?.booked_wh ?? 0n
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
  readonly #owner: Statement<[bigint], { owner: string }>
  readonly #pending = new Map<number, Pending | undefined>()

  constructor(db: Database, registry: Registry, ledger: Ledger) {
    this.#registry = registry
    this.#ledger = ledger
    this.#below = new BookedBelow(db, registry)
    this.#first = db.prepareWide(
      `SELECT id, epoch, sequence, taken_at, terms, outcome, net_wh FROM record
       WHERE point = ? AND booked_wh IS NULL ORDER BY epoch, sequence LIMIT 1`,
    )
    this.#settle = db.prepare('UPDATE record SET booked_wh = ?, settled = ? WHERE id = ?')
    this.#lastRecord = db.prepareWide('SELECT max(id) AS id FROM record')
    this.#owner = db.prepare(`SELECT note ->> 'owner' AS owner FROM entry WHERE id = ?`)
    db.onStale(() => this.#pending.clear())
  }

  /** Whether a point books remainders instead of its own register: from its first child on, and for ever. */
  isParent(point: Point): boolean {
    return this.#registry.isParent(point.id)
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
      const asks = waiting !== undefined && (moved || passes || this.#registry.isMoving)
      if (asks && this.#settlePending(above)) moved = true
    }
  }

  /** Settles whatever can be: after a point was frozen, revoked or enrolled, others need no longer wait for it. */
  settleAll(): void {
    const parents = this.#registry.all().filter((point) => this.isParent(point))
    for (let moved = true; moved; ) moved = parents.filter((point) => this.#settlePending(point)).length > 0
  }

  // Level by level, so that whoever stands between is settled before those above it.
  *#ancestors(point: Point): Generator<Point> {
    for (let level = this.#registry.parentsOf(point); level.length > 0; ) {
      yield* level
      level = level.flatMap((above) => this.#registry.parentsOf(above))
    }
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
    if (!this.#isSettledBelow(point, reading.taken_at)) return false
    this.#book(point, reading)
    return true
  }

  // Who joined later, or left before, is asked only for the time it was there.
  #isSettledBelow(point: Point, at: bigint): boolean {
    const members = this.#registry.membersOf(point.id).every(({ child, membership }) => {
      const { fromAt = -1n, untilAt = at } = membership
      return isEmpty(membership) || fromAt >= at || this.#isSettledAt(child, untilAt < at ? untilAt : at)
    })
    // Whoever is about to join may have joined by then.
    return members && this.#registry.joinersOf(point.id).every((child) => this.#hasPassed(child, at))
  }

  // A storage books nothing.
  #isSettledAt(child: Point, at: bigint): boolean {
    const waiting = this.#firstPending(child)
    const own =
      child.terms.role === 'storage' || (this.#hasPassed(child, at) && (waiting === undefined || waiting.taken_at > at))
    return own && this.#isSettledBelow(child, at)
  }

  // A point that never spoke, or will not speak again, is not waited for.
  #hasPassed(child: Point, at: bigint): boolean {
    const silent = stateOf(child) !== 'active' || (!child.certified && child.records === 0)
    return silent || BigInt(child.head?.takenAt ?? 0) > at
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
        owner: this.#ownerAt(point, reading),
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

  // A reading may be settled after the point has changed hands: what was recorded before is the old owner's.
  #ownerAt(point: Point, { terms }: Pending): string {
    return BigInt(point.termsEntry) === terms ? point.terms.owner : (this.#owner.get(terms)?.owner ?? '')
  }
}
