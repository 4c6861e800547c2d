import { type OcmfRecord, parseOcmfText, WattError } from '@wattline/protocol'
import type { Posting } from './ledger/journal.ts'
import { Registry, toPointId } from './points/registry.ts'
import { formatPlace } from './reports.ts'
import type { Database } from './store/database.ts'

/** A record as it takes part in a booking. */
export interface TracedRecord {
  readonly place: string
  readonly hash: string
  readonly takenAt: number
  readonly outcome: string
  readonly importWh: bigint | null
  readonly exportWh: bigint | null
  /** The signed text: with the point's key anyone can check it. */
  readonly text: string
}

/** A journal entry with everything that its hash covers. */
export interface TracedEntry {
  readonly id: number
  readonly at: number
  readonly kind: string
  readonly claim: string | null
  readonly point: string | null
  readonly note: unknown
  readonly postings: readonly Posting[]
  readonly previousHash: string
  readonly hash: string
}

/** The way from a record to its booking and back. */
export interface Trace {
  /** The record in question. */
  readonly record: TracedRecord | null
  /** The record whose register counting went on from; for a session its begin. */
  readonly from: TracedRecord | null
  /** The booking; absent where the record moved nothing. */
  readonly entry: TracedEntry | null
  /** For the remainder of a point with children: the records below that it was worked out with. */
  readonly below: readonly { readonly point: string; readonly place: string; readonly bookedWh: bigint | null }[]
}

interface RecordRow {
  id: bigint
  point: bigint
  epoch: bigint
  sequence: bigint
  hash: string
  taken_at: bigint
  outcome: string
  text: string
  settled: bigint | null
}

/** Follows a record, named `<point>@<epoch>/<sequence>`, to its booking. */
export function traceRecord(db: Database, place: string): Trace {
  const match = /^([^@]+)@(\d{1,15})\/(\d{1,15})$/.exec(place)
  if (match === null) throw new WattError('point/unknown', `'${place}': <gateway>/<meter>@<epoch>/<sequence> expected`)
  const [, point = '', epoch = '', sequence = ''] = match
  return db.read(() => follow(db, toPointId(point), BigInt(epoch), BigInt(sequence)))
}

/** Follows a journal entry back to its records. */
export function traceEntry(db: Database, id: number): Trace {
  return db.read(() => {
    const entry = readEntry(db, 'id', id)
    if (entry === null) throw new WattError('point/unknown', `journal entry ${id}: there is none`)
    const match = /^(.+)#(\d+)\/(\d+)$/.exec(entry.claim ?? '')
    if (match === null) return { record: null, from: null, entry, below: [] }
    const [, point = '', epoch = '', sequence = ''] = match
    return follow(db, point, BigInt(epoch), BigInt(sequence))
  })
}

const columns = 'id, point, epoch, sequence, hash, taken_at, outcome, text, settled'

function follow(db: Database, point: string, epoch: bigint, sequence: bigint): Trace {
  const entry = readEntry(db, 'claim', `${point}#${epoch}/${sequence}`)
  const row = db
    .prepareWide<[string, bigint, bigint], RecordRow>(
      `SELECT ${columns} FROM record
       WHERE point = (SELECT id FROM point WHERE name = ?) AND epoch = ? AND sequence = ?`,
    )
    .get(point, epoch, sequence)
  if (row === undefined && entry === null) {
    throw new WattError('point/unknown', `record ${point}@${epoch}/${sequence}: there is none`)
  }
  if (row === undefined) return { record: null, from: null, entry, below: [] }
  const from = readBegin(db, row, entry) ?? readBase(db, row)
  return {
    record: toTraced(point, row),
    from: from === undefined ? null : toTraced(point, from),
    entry,
    below: row.settled === null || row.settled === 0n ? [] : readBelow(db, point, row.taken_at, row.settled),
  }
}

// The claim of a session is the difference to its begin, whatever was counted in between.
function readBegin(db: Database, row: RecordRow, entry: TracedEntry | null): RecordRow | undefined {
  const begin: unknown =
    entry?.kind === 'session' && typeof entry.note === 'object' && entry.note !== null
      ? Reflect.get(entry.note, 'begin')
      : undefined
  const match = /^(\d+)\/(\d+)$/.exec(typeof begin === 'string' ? begin : '')
  if (match === null) return undefined
  return db
    .prepareWide<[bigint, bigint, bigint], RecordRow>(
      `SELECT ${columns} FROM record WHERE point = ? AND epoch = ? AND sequence = ?`,
    )
    .get(row.point, BigInt(match[1] ?? 0), BigInt(match[2] ?? 0))
}

function readBase(db: Database, { point, epoch, sequence }: RecordRow): RecordRow | undefined {
  return db
    .prepareWide<[bigint, bigint, bigint], RecordRow>(
      `SELECT ${columns} FROM record WHERE point = ? AND (epoch, sequence) < (?, ?)
       AND outcome IN ('counted', 'base') ORDER BY epoch DESC, sequence DESC LIMIT 1`,
    )
    .get(point, epoch, sequence)
}

function readBelow(db: Database, point: string, at: bigint, mark: bigint): Trace['below'] {
  const last = db.prepareWide<[number, bigint, bigint], RecordRow & { booked_wh: bigint | null }>(
    `SELECT ${columns}, booked_wh FROM record WHERE point = ? AND taken_at <= ? AND id <= ?
     ORDER BY taken_at DESC, id DESC LIMIT 1`,
  )
  const registry = new Registry(db)
  const collect = (above: string): Trace['below'] =>
    registry.membersOf(above).flatMap(({ child }) => {
      const row = last.get(child.rowId, at, mark)
      const own = row === undefined ? [] : [{ point: child.id, place: placeOf(child.id, row), bookedWh: row.booked_wh }]
      return [...own, ...collect(child.id)]
    })
  return collect(point)
}

function placeOf(point: string, { epoch, sequence }: RecordRow): string {
  return formatPlace(point, { epoch: Number(epoch), sequence: Number(sequence) })
}

function toTraced(point: string, row: RecordRow): TracedRecord {
  const { registers }: OcmfRecord = parseOcmfText(row.text).record
  return {
    place: placeOf(point, row),
    hash: row.hash,
    takenAt: Number(row.taken_at),
    outcome: row.outcome,
    importWh: registers.import ?? null,
    exportWh: registers.export ?? null,
    text: row.text,
  }
}

interface EntryRow {
  id: number
  at: number
  kind: string
  claim: string | null
  point: string | null
  note: string
  previous_hash: string
  hash: string
}

function readEntry(db: Database, by: 'id' | 'claim', value: number | string): TracedEntry | null {
  const row = db.prepare<[number | string], EntryRow>(`SELECT * FROM entry WHERE ${by} = ?`).get(value)
  if (row === undefined) return null
  const postings = db
    .prepareWide<[number], Posting>('SELECT account, amount FROM posting WHERE entry = ? ORDER BY line')
    .all(row.id)
  const { note, previous_hash, ...rest } = row
  return { ...rest, note: JSON.parse(note), postings, previousHash: previous_hash }
}
