import {
  type Base,
  type Certificate,
  clockStatuses,
  fromHex,
  type GatewayId,
  type OpenSession,
  type PointId,
  type PublicKey,
  parsePointId,
  type Registers,
  type Role,
  roles,
  type Timestamp,
  type Wh,
} from '@wattline/protocol'
import type { Database, Statement } from './store/database.ts'

/** What the ledger holds true of a metering point, whatever its certificate says. */
export interface Terms {
  readonly owner: string
  readonly role: Role
  /** The point one level up. */
  readonly behind?: PointId
  /** Absent until the point's certificate tells it; nothing is accepted before. */
  readonly maxPowerW?: number
  readonly rolloverWh?: Wh
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

interface PointRow {
  id: bigint
  name: string
  gateway: string
  owner: string
  role: string
  behind: string | null
  max_power_w: bigint | null
  rollover_wh: bigint | null
  terms: bigint
  frozen: bigint | null
  certified: bigint
  records: bigint
  epoch: bigint
  sequence: bigint
  hash: string
  head_at: bigint
  base_at: bigint | null
  base_clock: string | null
  base_since: bigint | null
  base_import_wh: bigint | null
  base_export_wh: bigint | null
  net_wh: bigint
  booked_wh: bigint
  minted_wh: bigint
  burned_wh: bigint
  carried_wh: bigint
  session_epoch: bigint | null
  session_sequence: bigint | null
  session_page: bigint | null
  session_driver: string | null
  session_wh: bigint | null
  session_sound: bigint | null
}

interface KeyRow {
  id: number
  point: number
  key: string
  last_epoch: number | null
  last_sequence: number | null
}

type Progress = [
  records: number,
  epoch: number,
  sequence: number,
  hash: string,
  headAt: number,
  baseAt: number | null,
  baseClock: string | null,
  baseSince: number | null,
  baseImportWh: bigint | null,
  baseExportWh: bigint | null,
  netWh: bigint,
  bookedWh: bigint,
  mintedWh: bigint,
  burnedWh: bigint,
  carriedWh: bigint,
  sessionEpoch: number | null,
  sessionSequence: number | null,
  sessionPage: number | null,
  sessionDriver: string | null,
  sessionWh: bigint | null,
  sessionSound: number | null,
  rowId: number,
]

/** The enrolled metering points, held in memory, written back with each commit, read again when others wrote. */
export class Registry {
  readonly #readPoints: Statement<[], PointRow>
  readonly #readKeys: Statement<[], KeyRow>
  readonly #writeProgress: Statement<Progress, unknown>
  readonly #points = new Map<string, Point>()
  readonly #children = new Map<string, Point[]>()
  readonly #changed = new Set<Point>()
  #loaded = false

  constructor(db: Database) {
    this.#readPoints = db.prepareWide('SELECT * FROM point ORDER BY id')
    this.#readKeys = db.prepare('SELECT * FROM point_key ORDER BY id')
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

  /** The points one level below. */
  childrenOf(id: string): readonly Point[] {
    this.#load()
    return this.#children.get(id) ?? []
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
    this.#children.clear()
    const keys = Map.groupBy(this.#readKeys.all(), ({ point }) => point)
    for (const row of this.#readPoints.all()) {
      const point = toPoint(row, (keys.get(Number(row.id)) ?? []).map(toKey))
      this.#points.set(point.id, point)
      const { behind } = point.terms
      if (behind !== undefined) this.#children.set(behind, [...(this.#children.get(behind) ?? []), point])
    }
    this.#loaded = true
  }

  #flush(): void {
    for (const point of this.#changed) this.#writeProgress.run(...toProgress(point))
    this.#changed.clear()
  }
}

function toKey({ id, key, last_epoch, last_sequence }: KeyRow): PointKey {
  const revoked = last_epoch !== null && last_sequence !== null
  const last = revoked ? { last: { epoch: last_epoch, sequence: last_sequence } } : {}
  // Written from a checked key; checking thousands of points again at each start would take seconds.
  return { rowId: id, key: (fromHex(key) ?? new Uint8Array()).subarray(-65), ...last }
}

function toPoint(row: PointRow, keys: readonly PointKey[]): Point {
  const { gatewayId, meterId } = parsePointId(row.name)
  return {
    rowId: Number(row.id),
    id: `${gatewayId}/${meterId}` as PointId, // parsed just now
    gatewayId,
    terms: toTerms(row),
    termsEntry: Number(row.terms),
    keys,
    ...(row.frozen === null ? {} : { frozen: Number(row.frozen) }),
    certified: row.certified === 1n,
    records: Number(row.records),
    head: toHead(row),
    base: toBase(row),
    netWh: row.net_wh,
    bookedWh: row.booked_wh,
    mintedWh: row.minted_wh,
    burnedWh: row.burned_wh,
    carriedWh: row.carried_wh,
    session: toSession(row),
  }
}

function toTerms(row: PointRow): Terms {
  const role = roles.find((known) => known === row.role)
  if (role === undefined) throw new RangeError(`point ${row.name}: unknown role '${row.role}'`)
  return {
    owner: row.owner,
    role,
    ...(row.behind === null ? {} : { behind: toPointId(row.behind) }),
    ...(row.max_power_w === null ? {} : { maxPowerW: Number(row.max_power_w) }),
    ...(row.rollover_wh === null ? {} : { rolloverWh: row.rollover_wh }),
  }
}

function toHead(row: PointRow): Head | undefined {
  if (row.hash === '') return undefined
  return { epoch: Number(row.epoch), sequence: Number(row.sequence), hash: row.hash, takenAt: Number(row.head_at) }
}

function toBase(row: PointRow): Base | undefined {
  if (row.base_at === null) return undefined
  const registers: Registers = {
    ...(row.base_import_wh === null ? {} : { import: row.base_import_wh }),
    ...(row.base_export_wh === null ? {} : { export: row.base_export_wh }),
  }
  return {
    registers,
    takenAt: Number(row.base_at) as Timestamp, // was a Timestamp when it was written
    clockStatus: clockStatuses.find((known) => known === row.base_clock) ?? 'U',
    ...(row.base_since === null ? {} : { since: Number(row.base_since) as Timestamp }),
  }
}

function toSession(row: PointRow): OpenSession | undefined {
  const { session_epoch: epoch, session_sequence: sequence, session_page: page, session_wh: countedWh } = row
  if (epoch === null || sequence === null || page === null || countedWh === null) return undefined
  return {
    epoch: Number(epoch),
    sequence: Number(sequence),
    pageNumber: Number(page),
    ...(row.session_driver === null ? {} : { driver: row.session_driver }),
    countedWh,
    sound: row.session_sound === 1n,
  }
}

function toProgress({ head, base, session, ...point }: Point): Progress {
  return [
    point.records,
    head?.epoch ?? 0,
    head?.sequence ?? 0,
    head?.hash ?? '',
    head?.takenAt ?? 0,
    base?.takenAt ?? null,
    base?.clockStatus ?? null,
    base?.since ?? null,
    base?.registers.import ?? null,
    base?.registers.export ?? null,
    point.netWh,
    point.bookedWh,
    point.mintedWh,
    point.burnedWh,
    point.carriedWh,
    session?.epoch ?? null,
    session?.sequence ?? null,
    session?.pageNumber ?? null,
    session?.driver ?? null,
    session?.countedWh ?? null,
    session === undefined ? null : Number(session.sound),
    point.rowId,
  ]
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
  }
}
