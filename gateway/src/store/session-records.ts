import { decodeWith, integerBetween, type ReadingState, readingStateNames, type Wh } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

/** A session's begin or end, and the record that it was signed as. */
export interface SessionRecord {
  readonly sessionId: number
  readonly mark: 'begin' | 'end'
  /** The row of the charging point. */
  readonly pointNumber: number
  readonly epoch: number
  readonly sequence: number
  readonly takenAt: number
  readonly state: ReadingState
  /** Absent where the register is in doubt. */
  readonly registerWh?: Wh
}

const count = integerBetween(0, Number.MAX_SAFE_INTEGER)
const shape = v.strictObject({
  session: count,
  mark: v.picklist(['begin', 'end']),
  point: count,
  epoch: count,
  sequence: count,
  taken_at: count,
  state: v.picklist(readingStateNames),
  register_wh: v.nullable(count),
})

/** Notes what a mark was signed as. */
export function insertSessionRecord(store: Store, record: SessionRecord): void {
  const { sessionId, mark, pointNumber, epoch, sequence, takenAt, state, registerWh } = record
  store
    .sql(
      `INSERT INTO session_records (session, mark, point, epoch, sequence, taken_at, state, register_wh)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(sessionId, mark, pointNumber, epoch, sequence, takenAt, state, registerWh ?? null)
}

/** What a mark of a session was signed as, if it was. */
export function findSessionRecord(store: Store, sessionId: number, mark: 'begin' | 'end'): SessionRecord | undefined {
  const row = store.sql('SELECT * FROM session_records WHERE session = ? AND mark = ?').get(sessionId, mark)
  return row === undefined ? undefined : toSessionRecord(store, row)
}

/** What a mark of a session was signed as, as `<point>@<epoch>/<sequence>`. */
export function findRecordPlace(store: Store, sessionId: number, mark: 'begin' | 'end'): string | undefined {
  const place: unknown = store
    .sql(
      `SELECT points.point || '@' || session_records.epoch || '/' || session_records.sequence
       FROM session_records JOIN points ON points.number = session_records.point WHERE session = ? AND mark = ?`,
    )
    .pluck()
    .get(sessionId, mark)
  return typeof place === 'string' ? place : undefined
}

/** A session that has ended, with what its begin and end were signed as. */
export interface EndedSession {
  readonly begin: SessionRecord | undefined
  readonly end: SessionRecord
}

/** Sessions of a charging point that have ended, and were not compared with their feeder; oldest first. */
export function listUnchecked(store: Store, pointNumber: number): readonly EndedSession[] {
  return store
    .sql(
      `SELECT * FROM session_records WHERE point = ? AND mark = 'end'
       AND NOT EXISTS (SELECT 1 FROM session_checks WHERE session_checks.session = session_records.session)
       ORDER BY epoch, sequence`,
    )
    .all(pointNumber)
    .map((row) => {
      const end = toSessionRecord(store, row)
      return { begin: findSessionRecord(store, end.sessionId, 'begin'), end }
    })
}

/** Whether the last mark at a charging point was a begin. */
export function isSessionOpen(store: Store, pointNumber: number): boolean {
  const mark: unknown = store
    .sql('SELECT mark FROM session_records WHERE point = ? ORDER BY epoch DESC, sequence DESC LIMIT 1')
    .pluck()
    .get(pointNumber)
  return mark === 'begin'
}

function toSessionRecord(store: Store, row: unknown): SessionRecord {
  const known = decodeWith(shape, row, `${store.path}: session_records`, 'storage/corrupt')
  return {
    sessionId: known.session,
    mark: known.mark,
    pointNumber: known.point,
    epoch: known.epoch,
    sequence: known.sequence,
    takenAt: known.taken_at,
    state: known.state,
    ...(known.register_wh === null ? {} : { registerWh: BigInt(known.register_wh) }),
  }
}
