import {
  type Base,
  type Certificate,
  type GatewayId,
  type OpenSession,
  type PointId,
  type PublicKey,
  parsePointId,
  type Registers,
  type Role,
  type Wh,
} from '@wattline/protocol'
import type { Database, Statement } from '../store/database.ts'
import { type Membership, Memberships } from './memberships.ts'
import { type KeyRow, type PointRow, type Progress, toKey, toPoint, toProgress } from './point-rows.ts'

/** What the ledger holds true of a metering point, whatever its certificate says. */
export interface Terms {
  readonly owner: string
  readonly role: Role
  /** The point one level up. */
  readonly behind?: PointId
  /** Absent until the point's certificate tells it; nothing is accepted before. */
  readonly maxPowerW?: number
  readonly rolloverWh?: Wh
  /** SPKI hex of the key that speaks for the owner; absent where an operator does. */
  readonly ownerKey?: string
  /** What the registers showed when the certificate was made: the meter's first count cannot begin below. */
  readonly first?: Registers
}

/** A place in a metering point's chain. */
export interface Place {
  readonly epoch: number
  readonly sequence: number
}

/** Whether `a` comes after `b`. */
export function isAfter(a: Place, b: Place): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.sequence > b.sequence)
}

/** One key of a metering point. */
export interface PointKey {
  readonly rowId: number
  readonly key: PublicKey
  /** A revoked key is valid up to here. */
  readonly last?: Place
}

/** An order that takes effect at the first record after a place (SPEC-94). */
export interface PendingOrder {
  /** The journal entry that keeps it. */
  readonly entry: number
  readonly after: Place
  /** Where the point will stand, if that is what was ordered. */
  readonly behind?: string
}

/** A metering point that stands or stood behind another one. */
export interface Member {
  readonly child: Point
  readonly membership: Membership
}

/** The last accepted record. */
export interface Head extends Place {
  readonly hash: string
  readonly takenAt: number
}

/** One enrolled metering point, as this process knows it. The fields that change are written back at commit. */
export interface Point {
  readonly rowId: number
  readonly id: PointId
  readonly gatewayId: GatewayId
  readonly terms: Terms
  /** The journal entry that states the terms. */
  readonly termsEntry: number
  /** Oldest first. */
  readonly keys: readonly PointKey[]
  /** The journal entry that froze it. */
  readonly frozen?: number
  /** A certificate is on file: the point has spoken and will speak. */
  readonly certified: boolean
  /** When the youngest order was signed that counts here, in ms since 1970. */
  readonly orderAt: number
  readonly pending?: PendingOrder
  records: number
  head: Head | undefined
  base: Base | undefined
  /** Counted export − import, in Wh. */
  netWh: Wh
  /** Minted − burned, in Wh. */
  bookedWh: Wh
  mintedWh: Wh
  burnedWh: Wh
  /** A remainder above zero, at the last settled reading. */
  carriedWh: Wh
  /** At a charging point without children: the session that has begun and not ended. */
  session: OpenSession | undefined
}

/** How a metering point stands. */
export type PointState = 'active' | 'frozen' | 'revoked'

/** A point's state: a frozen one is not merely revoked. */
export function stateOf(point: Point): PointState {
  if (point.frozen !== undefined) return 'frozen'
  return point.keys.at(-1)?.last === undefined ? 'active' : 'revoked'
}

/** The enrolled metering points, held in memory, written back with each commit, read again when others wrote. */
export class Registry {
  readonly #readPoints: Statement<[], PointRow>
  readonly #readKeys: Statement<[], KeyRow>
  readonly #writeProgress: Statement<Progress, unknown>
  readonly #points = new Map<string, Point>()
  readonly #memberships: Memberships
  readonly #members = new Map<string, Member[]>()
  readonly #above = new Map<string, string[]>()
  readonly #changed = new Set<Point>()
  #loaded = false
  #joining = false
  #left = false

  constructor(db: Database) {
    this.#readPoints = db.prepareWide('SELECT * FROM point ORDER BY id')
    this.#readKeys = db.prepare('SELECT * FROM point_key ORDER BY id')
    this.#memberships = new Memberships(db)
    this.#writeProgress = db.prepare(
      `UPDATE point SET records = ?, epoch = ?, sequence = ?, hash = ?, head_at = ?, base_at = ?, base_clock = ?,
       base_since = ?, base_import_wh = ?, base_export_wh = ?, net_wh = ?, booked_wh = ?, minted_wh = ?, burned_wh = ?, carried_wh = ?,
       session_epoch = ?, session_sequence = ?, session_page = ?, session_driver = ?, session_wh = ?, session_sound = ?
       WHERE id = ?`,
    )
    db.onStale(() => this.forget())
    db.onCommit(() => this.#flush())
  }

  get(id: string): Point | undefined {
    this.#load()
    return this.#points.get(id)
  }

  all(): readonly Point[] {
    this.#load()
    return [...this.#points.values()]
  }

  /** The points that stand one level below, or stood there once. */
  membersOf(id: string): readonly Member[] {
    this.#load()
    return this.#members.get(id) ?? []
  }

  /** Whether a point books remainders instead of its own register: from its first child on, and for ever. */
  isParent(id: string): boolean {
    return this.membersOf(id).length > 0 || this.joinersOf(id).length > 0
  }

  /** Those that will stand there once their records have come to the place that an order names. */
  joinersOf(id: string): readonly Point[] {
    this.#load()
    return this.#joining ? [...this.#points.values()].filter(({ pending }) => pending?.behind === id) : []
  }

  /** Whether any point has left its place or is about to: then time alone does not tell who may be settled. */
  get isMoving(): boolean {
    this.#load()
    return this.#joining || this.#left
  }

  /** The points one level up, now, before and soon: whoever may wait for this one. */
  parentsOf(point: Point): readonly Point[] {
    return this.namesAbove(point).flatMap((name) => this.#points.get(name) ?? [])
  }

  /** Their names: they need not be enrolled. */
  namesAbove({ id, pending }: Point): readonly string[] {
    this.#load()
    const soon = pending?.behind === undefined ? [] : [pending.behind]
    return [...new Set([...(this.#above.get(id) ?? []), ...soon])]
  }

  /** Says that a point's progress is to be written at commit. */
  touch(point: Point): void {
    this.#changed.add(point)
  }

  /** Writes what is pending and reads everything again: after enrolment data changed in this transaction. */
  reload(): void {
    this.#flush()
    this.forget()
  }

  forget(): void {
    this.#loaded = false
    this.#changed.clear()
  }

  #load(): void {
    if (this.#loaded) return
    this.#points.clear()
    this.#members.clear()
    this.#above.clear()
    const keys = Map.groupBy(this.#readKeys.all(), ({ point }) => point)
    const byRow = new Map<number, Point>()
    for (const row of this.#readPoints.all()) {
      const point = toPoint(row, (keys.get(Number(row.id)) ?? []).map(toKey))
      this.#points.set(point.id, point)
      byRow.set(point.rowId, point)
    }
    for (const membership of this.#memberships.all()) {
      const child = byRow.get(membership.child)
      if (child === undefined) continue // the audit tells; the foreign key forbids it
      const { parent } = membership
      this.#members.set(parent, [...(this.#members.get(parent) ?? []), { child, membership }])
      this.#above.set(child.id, [...(this.#above.get(child.id) ?? []), parent])
    }
    this.#left = [...this.#members.values()].flat().some(({ membership }) => membership.untilAt !== undefined)
    this.#joining = [...byRow.values()].some(({ pending }) => pending?.behind !== undefined)
    this.#loaded = true
  }

  #flush(): void {
    for (const point of this.#changed) this.#writeProgress.run(...toProgress(point))
    this.#changed.clear()
  }
}

/** Checks and brands the name of a metering point. */
export function toPointId(text: string): PointId {
  const { gatewayId, meterId } = parsePointId(text)
  return `${gatewayId}/${meterId}` as PointId // parsed just now
}

/** The terms that a certificate states. */
export function termsOf(certificate: Certificate): Terms {
  return {
    owner: certificate.owner ?? parsePointId(certificate.point).gatewayId,
    role: certificate.role,
    maxPowerW: certificate.maxPowerW,
    ...(certificate.behind === undefined ? {} : { behind: certificate.behind }),
    ...(certificate.rolloverWh === undefined ? {} : { rolloverWh: certificate.rolloverWh }),
    ...(certificate.firstRegister === undefined ? {} : { first: certificate.firstRegister }),
  }
}

/** What a certificate tells where an operator had left it out; otherwise terms stay as they were enrolled. */
export function completeTerms(terms: Terms, certificate: Certificate): Terms {
  if (terms.maxPowerW !== undefined) return terms
  const { maxPowerW, rolloverWh, first } = termsOf(certificate)
  return {
    ...terms,
    ...(maxPowerW === undefined ? {} : { maxPowerW }),
    ...(rolloverWh === undefined ? {} : { rolloverWh }),
    ...(first === undefined ? {} : { first }),
  }
}
