import { decodeWith, integerBetween, type PointId, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { formatHistory, type GuardHistory, parseHistory } from '../guard-history.ts'
import type { Store } from './database.ts'

/** A place in the chain of a metering point. */
export interface Place {
  readonly epoch: number
  readonly sequence: number
  /** Of the payload there; empty at the very beginning. */
  readonly hash: string
}

/** What the gateway remembers of one metering point. */
export interface PointRow {
  readonly number: number
  readonly point: PointId
  readonly publicKey: string
  readonly certificate: string
  /** What keys have said of their successors; empty where there was no other key. */
  readonly rotations: string
  /** The epoch to sign in. */
  readonly epoch: number
  /** Of the last record; 0 before the first. */
  readonly sequence: number
  readonly pageF: number
  readonly pageT: number
  /** Of the last payload, or of the certificate. */
  readonly headHash: string
  /** What the ledger has confirmed; sequence 0 while it has confirmed nothing. */
  readonly acknowledged: Place
  readonly mintedWh: bigint
  readonly burnedWh: bigint
  readonly receiptSession: string
  readonly receiptSerial: number
  readonly history: GuardHistory
  /** Whether the installer has accepted what will be read next. */
  readonly rebase: boolean
}

const count = integerBetween(0, Number.MAX_SAFE_INTEGER)
const wh = v.pipe(
  v.string(),
  v.regex(/^\d{1,18}$/),
  v.transform((text) => BigInt(text)),
)
const shape = v.strictObject({
  number: count,
  point: v.string(),
  public_key: v.string(),
  certificate: v.string(),
  rotations: v.string(),
  epoch: count,
  sequence: count,
  page_f: count,
  page_t: count,
  head_hash: v.string(),
  acknowledged_epoch: count,
  acknowledged_sequence: count,
  acknowledged_hash: v.string(),
  minted_wh: wh,
  burned_wh: wh,
  receipt_session: v.string(),
  receipt_serial: count,
  history: v.string(),
  rebase: v.picklist([0, 1]),
})

function toPointRow(row: unknown, store: Store): PointRow {
  const known = decodeWith(shape, row, `${store.path}: points`, 'storage/corrupt')
  return {
    number: known.number,
    point: known.point as PointId, // written from a checked one
    publicKey: known.public_key,
    certificate: known.certificate,
    rotations: known.rotations,
    epoch: known.epoch,
    sequence: known.sequence,
    pageF: known.page_f,
    pageT: known.page_t,
    headHash: known.head_hash,
    acknowledged: {
      epoch: known.acknowledged_epoch,
      sequence: known.acknowledged_sequence,
      hash: known.acknowledged_hash,
    },
    mintedWh: known.minted_wh,
    burnedWh: known.burned_wh,
    receiptSession: known.receipt_session,
    receiptSerial: known.receipt_serial,
    history: parseHistory(known.history, `${store.path}: points.history of '${known.point}'`),
    rebase: known.rebase === 1,
  }
}

/** Finds a metering point, or undefined where it has no record yet. */
export function findPoint(store: Store, point: PointId): PointRow | undefined {
  const row = store.sql('SELECT * FROM points WHERE point = ?').get(point)
  return row === undefined ? undefined : toPointRow(row, store)
}

/** As `findPoint`, for a metering point that must be there. */
export function getPoint(store: Store, point: PointId): PointRow {
  const row = findPoint(store, point)
  if (row === undefined) throw new WattError('storage/corrupt', `${store.path}: metering point '${point}' is missing`)
  return row
}

/** What a metering point begins with. */
export type NewPoint = Pick<PointRow, 'point' | 'publicKey' | 'certificate' | 'epoch' | 'headHash' | 'history'>

/** Adds a metering point. */
export function insertPoint(store: Store, point: NewPoint): PointRow {
  store
    .sql(
      `INSERT INTO points (point, public_key, certificate, epoch, sequence, page_f, page_t, head_hash, history)
       VALUES (?, ?, ?, ?, 0, 0, 0, ?, ?)`,
    )
    .run(point.point, point.publicKey, point.certificate, point.epoch, point.headHash, formatHistory(point.history))
  return getPoint(store, point.point)
}

/** Puts another key in force, with the words that lead to it. */
export function changeKey(
  store: Store,
  number: number,
  { publicKey, certificate, rotations }: Pick<PointRow, 'publicKey' | 'certificate' | 'rotations'>,
): void {
  store
    .sql('UPDATE points SET public_key = ?, certificate = ?, rotations = ? WHERE number = ?')
    .run(publicKey, certificate, rotations, number)
}

/** Where the chain of a metering point goes on. */
export type ChainHead = Pick<PointRow, 'epoch' | 'sequence' | 'pageF' | 'pageT' | 'headHash'>

/** Moves the head of a chain. */
export function updateHead(store: Store, number: number, head: ChainHead): void {
  store
    .sql('UPDATE points SET epoch = ?, sequence = ?, page_f = ?, page_t = ?, head_hash = ? WHERE number = ?')
    .run(head.epoch, head.sequence, head.pageF, head.pageT, head.headHash, number)
}

/** Keeps what the guard remembers, and whether the installer's acceptance still waits for a reading. */
export function updateHistory(store: Store, number: number, history: GuardHistory, rebase: boolean): void {
  store
    .sql('UPDATE points SET history = ?, rebase = ? WHERE number = ?')
    .run(formatHistory(history), Number(rebase), number)
}

/** Notes that the installer accepts whatever meter will be read next. Returns false where the point has no record. */
export function requestRebase(store: Store, point: PointId): boolean {
  return store.write(() => store.sql('UPDATE points SET rebase = 1 WHERE point = ?').run(point).changes === 1)
}
