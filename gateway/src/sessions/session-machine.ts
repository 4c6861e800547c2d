import type { Authorisation, IdTokenVerdict } from '../ocpp/transaction-sink.ts'
import type { ChargingEvent } from './charging-event.ts'
import { isNews, learnClock, toleranceMs, toMoment } from './moments.ts'
import { type Finding, takeSight, toPlaceWh } from './place-register.ts'
import { addNumber, noSequence } from './sequence.ts'
import type { Books } from './session-book.ts'
import type { ChargingPlace, SessionReading } from './session-signer.ts'
import type { Moment, NoteCode, PlaceState, SessionState } from './session-state.ts'
import {
  close,
  hasToken,
  isFinal,
  note,
  seeBegin,
  seeValue,
  settle,
  signBegin,
  signInterval,
  tellBegin,
} from './session-steps.ts'

/** What followed from a message. */
export interface Outcome {
  /** The session that it belongs to. */
  readonly session?: SessionState
  /** What is to be signed, in this order. */
  readonly readings: readonly SessionReading[]
  /** Why nothing was concluded from it. */
  readonly refused?: string
}

/** A session whose begin never came is settled this long after its end. */
const waitForBeginMs = 900_000
/** A session of which nothing was heard for this long is over. */
const silenceMs = 7 * 86_400_000

const mostPlaces = 1_000

const findingNotes: Partial<Record<Finding, NoteCode>> = {
  below: 'register-below-last',
  restarted: 'register-restarted',
  'rolled-over': 'register-rolled-over',
  unbelievable: 'register-unbelievable',
}

const follows: readonly Finding[] = ['counted', 'restarted', 'rolled-over']

type Match =
  | { readonly kind: 'session'; readonly session: SessionState; readonly isCertain: boolean; readonly note?: NoteCode }
  | { readonly kind: 'new'; readonly place: ChargingPlace }
  /** Values of a place where nobody charges. */
  | { readonly kind: 'place'; readonly place: ChargingPlace }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'waits' }

/** What one message works on. */
interface Turn {
  readonly event: ChargingEvent
  readonly place: PlaceState
  readonly at: ChargingPlace
  readonly readings: SessionReading[]
  moment(claimedAt: number): Moment
}

/**
 * From messages to sessions (SPEC-100 to SPEC-122). It has no clock and does no I/O: what it knows stands in the books,
 * and what it gives depends on them and on the message alone.
 */
export class SessionMachine {
  readonly #books: Books

  constructor(books: Books) {
    this.#books = books
  }

  /** Takes a message. `authorisation` is what its token may do, where it carries one. */
  take(event: ChargingEvent, authorisation?: Authorisation): Outcome {
    const match = this.#match(event)
    if (match.kind === 'refused') return { readings: [], refused: match.reason }
    if (match.kind === 'waits') {
      return this.#books.setAside(event) ? { readings: [] } : { readings: [], refused: 'too many wait for their begin' }
    }
    const turn = this.#beginTurn(event, match.kind === 'session' ? match.session : match.place)
    if (match.kind === 'place') {
      this.#takeValues(turn, undefined)
      this.#books.writePlace(turn.at, turn.place)
      return { readings: [] }
    }
    const session = match.kind === 'session' ? match.session : this.#open(turn)
    if (match.kind === 'session' && match.note !== undefined) note(session, match.note)
    this.#advance(turn, session, match.kind === 'new' || match.isCertain, authorisation)
    this.#books.writeSession(session)
    this.#books.writePlace(turn.at, turn.place)
    if (event.kind !== 'start' || event.transaction === undefined) return { session, readings: turn.readings }
    return this.#takeWaiting({ session, readings: turn.readings }, event.transaction)
  }

  /** A station tells that nobody charges at a place (SPEC-118). */
  tellAvailable(place: ChargingPlace, claimedAt: number): void {
    const open = this.#books.unsettled(place).findLast(({ end }) => end === undefined)
    // Stations keep such messages while they are offline, and send the old ones as well.
    if (open === undefined || open.isAvailable || claimedAt < open.begunAt.claimedAt) return
    this.#books.writeSession({ ...open, isAvailable: true })
  }

  /** Ends what nobody will end (SPEC-119), by our clock. */
  settle(nowMs: number): readonly SessionReading[] {
    return this.#books.unsettled({}).flatMap((session) => {
      const silentMs = nowMs - session.heardAt.arrivedAt
      if (silentMs < (session.end === undefined ? silenceMs : waitForBeginMs)) return []
      const place = this.#books.readPlace(session) ?? { endedWh: 0n }
      const readings: SessionReading[] = []
      if (session.end === undefined) close(session, 'silence')
      settle(session, place, readings)
      this.#books.writeSession(session)
      this.#books.writePlace(session, place)
      return readings
    })
  }

  #takeWaiting({ session, readings }: Outcome & { session: SessionState }, transaction: string): Outcome {
    const waiting = this.#books.takeOut(session.stationId, transaction)
    const outcomes = waiting.map((event) => this.take(event))
    const all = [...readings, ...outcomes.flatMap((outcome) => outcome.readings)]
    return { session: outcomes.at(-1)?.session ?? session, readings: all }
  }

  #match(event: ChargingEvent): Match {
    const { stationId, startKey, transaction, connectorId, version, kind } = event
    const known =
      startKey === undefined
        ? transaction !== undefined && this.#books.findTransaction(stationId, transaction)
        : this.#books.findStart(stationId, startKey)
    if (known) return { kind: 'session', session: known, isCertain: true }
    const place = isPlace(connectorId) ? { stationId, connectorId } : undefined
    if (kind === 'end' && version === 'ocpp1.6') return this.#matchStop(event)
    if (place === undefined) {
      const hasId = transaction !== undefined && version !== 'ocpp1.6'
      return hasId ? { kind: 'waits' } : { kind: 'refused', reason: 'it names no place where a session can be' }
    }
    if (kind === 'start' || (transaction !== undefined && version !== 'ocpp1.6')) return { kind: 'new', place }
    const open = this.#books.unsettled(place).findLast(({ end }) => end === undefined)
    if (open !== undefined) return { kind: 'session', session: open, isCertain: false }
    return transaction === undefined ? { kind: 'place', place } : { kind: 'new', place }
  }

  // OCPP 1.6 StopTransaction names no connector. Without a usable id it fits where only one session can be meant.
  #matchStop({ stationId, tokens, claimedAt, isRepeat }: ChargingEvent): Match {
    const fitting = this.#books
      .unsettled({ stationId })
      .filter(
        ({ end, token, begunAt }) =>
          end === undefined && claimedAt >= begunAt.claimedAt && (tokens.length === 0 || hasToken(tokens, token)),
      )
    const [session] = fitting
    if (session === undefined || fitting.length > 1 || isRepeat) {
      return { kind: 'refused', reason: 'it ends a transaction that nobody knows' }
    }
    return { kind: 'session', session, isCertain: true, note: 'matched-without-id' }
  }

  #beginTurn(event: ChargingEvent, { stationId, connectorId }: ChargingPlace): Turn {
    const { arrivedAt, clockStatus, claimedAt, values } = event
    const known = this.#books.readClock(stationId)
    const clock = learnClock(known, [claimedAt, ...values.map((value) => value.claimedAt)], arrivedAt)
    if (known === undefined || isNews(known, clock)) this.#books.writeClock(stationId, clock)
    const at = { stationId, connectorId }
    return {
      event,
      at,
      place: this.#books.readPlace(at) ?? { endedWh: 0n },
      readings: [],
      moment: (claimed) => toMoment(claimed, { arrivedAt, clockStatus, aheadMs: clock.aheadMs }),
    }
  }

  #open(turn: Turn): SessionState {
    const { event, at, place, readings, moment } = turn
    const begunAt = moment(event.claimedAt)
    const session: SessionState = {
      id: event.frame,
      ...at,
      version: event.version,
      // OCPP 1.6: the number of the frame is what we answer.
      transaction: event.startKey === undefined ? event.transaction : String(event.frame),
      startKey: event.startKey,
      isStarted: false,
      begunAt,
      heardAt: begunAt,
      isBeginTold: false,
      isSettled: false,
      isBeginSigned: false,
      isAvailable: false,
      sequence: noSequence,
      doubts: [],
      notes: [],
    }
    const others = this.#books.unsettled(at)
    if (others.some((other) => isBefore(turn, begunAt, other))) {
      session.end = { how: 'next-start', at: begunAt, key: '', tokens: [] }
      session.isSettled = true
      note(session, 'outlived-by-the-next')
      return session
    }
    for (const other of others) {
      if (other.end === undefined) close(other, 'next-start')
      settle(other, place, readings)
      this.#books.writeSession(other)
    }
    return session
  }

  #advance(turn: Turn, session: SessionState, isCertain: boolean, authorisation: Authorisation | undefined): void {
    const { event, moment } = turn
    const { connectorId, seqNo, kind, isRepeat } = event
    const isElsewhere = isPlace(connectorId) && connectorId !== session.connectorId
    if (isElsewhere) note(session, 'place-contradicted')
    if (event.hasFaults) note(session, 'value-unreadable')
    if (event.claimedAt - event.arrivedAt > toleranceMs) note(session, 'clock-ahead')
    if (seqNo !== undefined && !isRepeat) session.sequence = addNumber(session.sequence, seqNo, kind)
    if (session.sequence.isUseless) note(session, 'sequence-useless')
    if (authorisation !== undefined) takeToken(session, event, authorisation)
    const heard = moment(event.claimedAt)
    if (heard.takenAt >= session.heardAt.takenAt) session.heardAt = heard
    const mayTake = !session.isSettled && (isCertain || !session.isAvailable)
    if (mayTake) session.isAvailable = false
    // Another place has another register.
    const countedAt = isElsewhere ? undefined : this.#takeValues(turn, mayTake ? session : undefined)
    if (kind === 'start') takeStart(turn, session)
    if (kind === 'end') takeEnd(turn, session, authorisation?.groupIdToken)
    if (session.isSettled) return
    const counted = countedAt === undefined ? undefined : moment(countedAt)
    signBegin(session, turn.readings)
    if (isFinal(session)) settle(session, turn.place, turn.readings)
    else if (kind === 'update' && session.end === undefined) signInterval(session, counted, turn.readings)
  }

  // Gives the claimed time of the last value that the register of the place has followed.
  #takeValues({ event, place, moment }: Turn, session: SessionState | undefined): number | undefined {
    const { kind, values } = event
    let countedAt: number | undefined
    values.forEach(({ wh, claimedAt, mark }, position) => {
      // The register as it was at the begin, told again later, says nothing of now.
      if (mark === 'begin' && kind !== 'start') {
        if (session !== undefined) seeBegin(session, place, toPlaceWh(place.register, wh))
        return
      }
      const told = moment(claimedAt)
      const isBegin = kind === 'start' && position === 0 && session?.isStarted === false
      const taken = takeSight(place.register, {
        wh,
        at: told.takenAt,
        claimedAt: told.claimedAt,
        arrivedAt: told.arrivedAt,
        mark: isBegin ? 'begin' : mark === 'end' ? 'end' : 'now',
      })
      place.register = taken.state
      if (follows.includes(taken.finding)) countedAt = claimedAt
      if (session === undefined || (session.end !== undefined && claimedAt > session.end.at.claimedAt)) return
      const code = findingNotes[taken.finding]
      // A register that begins anew with each session is a station's way, and no news.
      if (code !== undefined && !(isBegin && code === 'register-restarted')) note(session, code)
      // What cannot be believed stands for "now": the last that is known.
      const placeWh = taken.wh ?? (isBegin ? place.register?.placeWh : undefined)
      if (isBegin) tellBegin(session, place, placeWh)
      else seeValue(session, place, placeWh)
      if (mark === 'end' && taken.wh === undefined) note(session, 'end-register-missing')
    })
    return countedAt
  }
}

/** Connector or EVSE 0 is the whole station; and whoever makes up places must not fill the disk. */
export function isPlace(connectorId: number | undefined): connectorId is number {
  return connectorId !== undefined && connectorId >= 1 && connectorId <= mostPlaces
}

/** Whether a message tells of a session that came before one that is there already (SPEC-117). */
function isBefore({ event, place }: Turn, begunAt: Moment, other: SessionState): boolean {
  if (begunAt.takenAt >= other.begunAt.takenAt) return false
  const first = event.values[0]
  if (first === undefined || other.beginWh === undefined) return event.kind !== 'start'
  const wh = toPlaceWh(place.register, first.wh)
  return wh !== undefined && wh < other.beginWh
}

function takeStart({ event, moment }: Turn, session: SessionState): void {
  if (session.isStarted) return
  session.isStarted = true
  if (!session.isBeginSigned) session.begunAt = moment(event.claimedAt)
}

function takeEnd({ event, moment }: Turn, session: SessionState, group: string | undefined): void {
  const key = `${event.claimedAt} ${event.values.map(({ wh }) => wh).join()}`
  if (session.end !== undefined) {
    if (session.end.how !== 'stop') note(session, 'after-end')
    else if (session.end.key !== key) note(session, 'stopped-twice')
    return
  }
  // A master pass ends whatever it likes.
  const tokens = event.isMasterPass ? [] : event.tokens
  session.end = { how: 'stop', at: moment(event.claimedAt), key, reason: event.reason, tokens, group }
}

function takeToken(session: SessionState, event: ChargingEvent, { driver, ...verdict }: Authorisation): void {
  const { status, groupIdToken } = verdict
  if (event.kind === 'end') return
  session.answered = { contentHash: event.contentHash, verdict: toVerdict(verdict) }
  if (session.driver !== undefined || (session.token !== undefined && status !== 'Accepted')) return
  session.token = event.tokens[0]
  session.group = groupIdToken
  if (status === 'Accepted') session.driver = driver
  else note(session, 'not-authorised')
}

function toVerdict({ status, expiryDate, groupIdToken }: IdTokenVerdict): IdTokenVerdict {
  return {
    status,
    ...(expiryDate === undefined ? {} : { expiryDate }),
    ...(groupIdToken === undefined ? {} : { groupIdToken }),
  }
}
