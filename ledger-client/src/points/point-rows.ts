import {
  type Base,
  clockStatuses,
  fromHex,
  type OpenSession,
  type PointId,
  parsePointId,
  type Registers,
  roles,
  type Timestamp,
} from '@wattline/protocol'
import type { Head, Point, PointKey, Terms } from './registry.ts'

// How a metering point lies in its table. The columns are STRICT and were written from checked values.

export interface PointRow {
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
  owner_key: string | null
  first_import_wh: bigint | null
  first_export_wh: bigint | null
  order_at: bigint
  pending: bigint | null
  pending_epoch: bigint | null
  pending_sequence: bigint | null
  pending_behind: string | null
}

export interface KeyRow {
  id: number
  point: number
  key: string
  last_epoch: number | null
  last_sequence: number | null
}

export type Progress = [
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

export function toKey({ id, key, last_epoch, last_sequence }: KeyRow): PointKey {
  const revoked = last_epoch !== null && last_sequence !== null
  const last = revoked ? { last: { epoch: last_epoch, sequence: last_sequence } } : {}
  // Written from a checked key; checking thousands of points again at each start would take seconds.
  return { rowId: id, key: (fromHex(key) ?? new Uint8Array()).subarray(-65), ...last }
}

export function toPoint(row: PointRow, keys: readonly PointKey[]): Point {
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
    orderAt: Number(row.order_at),
    ...toPending(row),
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
    ...(row.behind === null ? {} : { behind: row.behind as PointId }),
    ...(row.max_power_w === null ? {} : { maxPowerW: Number(row.max_power_w) }),
    ...(row.rollover_wh === null ? {} : { rolloverWh: row.rollover_wh }),
    ...(row.owner_key === null ? {} : { ownerKey: row.owner_key }),
    ...toFirst(row),
  }
}

function toFirst({ first_import_wh, first_export_wh }: PointRow): Pick<Terms, 'first'> {
  if (first_import_wh === null && first_export_wh === null) return {}
  return {
    first: {
      ...(first_import_wh === null ? {} : { import: first_import_wh }),
      ...(first_export_wh === null ? {} : { export: first_export_wh }),
    },
  }
}

function toPending(row: PointRow): Pick<Point, 'pending'> {
  const { pending, pending_epoch: epoch, pending_sequence: sequence, pending_behind: behind } = row
  if (pending === null || epoch === null || sequence === null) return {}
  const after = { epoch: Number(epoch), sequence: Number(sequence) }
  return { pending: { entry: Number(pending), after, ...(behind === null ? {} : { behind }) } }
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

export function toProgress({ head, base, session, ...point }: Point): Progress {
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
