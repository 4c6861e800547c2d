import { decodeWith, integerBetween, type Wh } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

/** What a session's energy is against the meter of its feeder. `unknown`: there is nothing to compare. */
export type CheckVerdict = 'agrees' | 'differs' | 'unknown'

/** One comparison. */
export interface SessionCheck {
  readonly sessionId: number
  readonly pointNumber: number
  /** The id of the feeder's meter. */
  readonly meter: string
  readonly sessionWh?: Wh
  /** The least and the most that the meter allows for. */
  readonly lowWh?: Wh
  readonly highWh?: Wh
  readonly verdict: CheckVerdict
  readonly reason: string
  readonly checkedAt: number
}

const wh = v.nullable(integerBetween(0, Number.MAX_SAFE_INTEGER))
const shape = v.strictObject({
  session: integerBetween(0, Number.MAX_SAFE_INTEGER),
  point: integerBetween(0, Number.MAX_SAFE_INTEGER),
  meter: v.string(),
  session_wh: wh,
  low_wh: wh,
  high_wh: wh,
  verdict: v.picklist(['agrees', 'differs', 'unknown']),
  reason: v.string(),
  checked_at: integerBetween(0, Number.MAX_SAFE_INTEGER),
})

/** Keeps a comparison. */
export function insertSessionCheck(store: Store, check: SessionCheck): void {
  const { sessionId, pointNumber, meter, sessionWh, lowWh, highWh, verdict, reason, checkedAt } = check
  store
    .sql(
      `INSERT INTO session_checks (session, point, meter, session_wh, low_wh, high_wh, verdict, reason, checked_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(sessionId, pointNumber, meter, sessionWh ?? null, lowWh ?? null, highWh ?? null, verdict, reason, checkedAt)
}

/** The comparison of a session, if there was one. */
export function findSessionCheck(store: Store, sessionId: number): SessionCheck | undefined {
  const row = store.sql('SELECT * FROM session_checks WHERE session = ?').get(sessionId)
  return row === undefined ? undefined : toCheck(store, row)
}

/** The last comparison at a charging point that told something. */
export function lastSessionCheck(store: Store, pointNumber: number): SessionCheck | undefined {
  const row = store
    .sql(
      `SELECT * FROM session_checks WHERE point = ? AND verdict <> 'unknown' ORDER BY checked_at DESC, session DESC LIMIT 1`,
    )
    .get(pointNumber)
  return row === undefined ? undefined : toCheck(store, row)
}

function toCheck(store: Store, row: unknown): SessionCheck {
  const known = decodeWith(shape, row, `${store.path}: session_checks`, 'storage/corrupt')
  return {
    sessionId: known.session,
    pointNumber: known.point,
    meter: known.meter,
    ...(known.session_wh === null ? {} : { sessionWh: BigInt(known.session_wh) }),
    ...(known.low_wh === null ? {} : { lowWh: BigInt(known.low_wh) }),
    ...(known.high_wh === null ? {} : { highWh: BigInt(known.high_wh) }),
    verdict: known.verdict,
    reason: known.reason,
    checkedAt: known.checked_at,
  }
}
