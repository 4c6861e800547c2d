import { makeTimestamp, type Timestamp } from '@wattline/protocol'
import { toleranceMs } from './moments.ts'
import { findGap } from './sequence.ts'
import type { SessionReading } from './session-signer.ts'
import {
  type DoubtCode,
  type Moment,
  type NoteCode,
  type PlaceState,
  type SessionState,
  sessionWh,
} from './session-state.ts'

// What may happen to one session: each changes the session that it is given, and nothing else but its place.

export function tellBegin(session: SessionState, place: PlaceState, wh: bigint | undefined): void {
  if (wh === undefined || session.isBeginSigned) return
  session.beginWh = max(wh, place.endedWh)
  session.isBeginTold = true
  session.lastWh = max(session.lastWh, session.beginWh)
}

export function seeBegin(session: SessionState, place: PlaceState, wh: bigint | undefined): void {
  if (wh === undefined || session.isBeginTold || session.isBeginSigned) return
  const floor = max(wh, place.endedWh)
  if (session.beginWh === undefined || floor < session.beginWh) session.beginWh = floor
}

export function seeValue(session: SessionState, place: PlaceState, wh: bigint | undefined): void {
  if (wh === undefined) return
  seeBegin(session, place, wh)
  session.lastWh = max(session.lastWh, max(wh, place.endedWh))
}

export function isFinal({ end, isStarted, version, sequence }: SessionState): boolean {
  if (end === undefined || !isStarted) return false
  if (version === 'ocpp1.6' || sequence.isUseless) return true
  return sequence.first !== undefined && sequence.last !== undefined && findGap(sequence) === undefined
}

export function close(session: SessionState, how: 'next-start' | 'silence'): void {
  session.end = { how, at: session.heardAt, key: '', tokens: [] }
  note(session, how === 'silence' ? 'closed-by-silence' : 'closed-by-next-start')
}

/** From here on the session's energy stands (SPEC-116). */
export function settle(session: SessionState, place: PlaceState, readings: SessionReading[]): void {
  const { end } = session
  if (end === undefined || session.isSettled) return
  session.isSettled = true
  if (!session.isStarted) note(session, 'begin-missing')
  if (session.isStarted && end.how === 'stop') judgeEnd(session, end)
  if (session.beginWh === undefined) {
    note(session, 'no-register')
    return
  }
  const wh = session.beginWh + sessionWh(session)
  session.end = { ...end, wh }
  place.endedWh = max(place.endedWh, wh)
  if (!session.isBeginSigned) {
    session.isBeginSigned = true
    readings.push(toReading(session, 'begin', session.beginWh, session.begunAt))
  }
  readings.push(toReading(session, 'end', wh, end.at))
}

function judgeEnd(session: SessionState, { at, tokens, group }: NonNullable<SessionState['end']>): void {
  if (at.takenAt < session.begunAt.takenAt - toleranceMs) doubt(session, 'stop-before-start')
  const isSame = tokens.length === 0 || session.token === undefined || hasToken(tokens, session.token)
  if (!isSame && (group === undefined || group !== session.group)) doubt(session, 'stopped-by-another-token')
}

export function signBegin(session: SessionState, readings: SessionReading[]): void {
  // Of a session whose begin may still come, nobody knows where it began.
  if (session.isBeginSigned || !session.isStarted || session.beginWh === undefined || session.end !== undefined) return
  session.isBeginSigned = true
  readings.push(toReading(session, 'begin', session.beginWh, session.begunAt))
}

export function signInterval(session: SessionState, at: Moment | undefined, readings: SessionReading[]): void {
  const { isBeginSigned, lastWh, intervalAt = session.begunAt.claimedAt } = session
  if (!isBeginSigned || lastWh === undefined || at === undefined || at.claimedAt <= intervalAt) return
  session.intervalAt = at.claimedAt
  readings.push(toReading(session, 'interval', lastWh, at))
}

function toReading(session: SessionState, mark: SessionReading['mark'], registerWh: bigint, at: Moment) {
  const { stationId, connectorId, id, driver, doubts, begunAt } = session
  // Also where the station's clock was set back in between.
  const takenAt: Timestamp = makeTimestamp(Math.max(at.takenAt, begunAt.takenAt))
  return {
    place: { stationId, connectorId },
    sessionId: id,
    mark,
    registerWh,
    takenAt,
    clockStatus: at.clockStatus,
    ...(doubts.length === 0 ? {} : { doubt: doubts.join(', ') }),
    ...(driver === undefined ? {} : { driver }),
  }
}

export function note(session: SessionState, code: NoteCode): void {
  if (!session.notes.includes(code)) session.notes = [...session.notes, code].toSorted()
}

function doubt(session: SessionState, code: DoubtCode): void {
  if (!session.doubts.includes(code)) session.doubts = [...session.doubts, code].toSorted()
}

function max(a: bigint | undefined, b: bigint): bigint {
  return a === undefined || b > a ? b : a
}

export function hasToken(tokens: readonly string[], token: string | undefined): boolean {
  return token !== undefined && tokens.includes(token)
}
