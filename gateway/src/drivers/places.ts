import { createHash, randomInt } from 'node:crypto'
import {
  type Clock,
  findOneTimeCode,
  makeOneTimeCode,
  normaliseToken,
  type OneTimeCodeKey,
  sameText,
  WattError,
} from '@wattline/protocol'
import type { Authorisation, Authorizer, PresentedToken } from '../ocpp/transaction-sink.ts'
import type { ChargingPlace } from '../sessions/session-signer.ts'
import type { Store } from '../store/database.ts'
import { type CodeWay, type NewPermit, type PassedOn, type Permit, PermitStore } from '../store/permits.ts'
import { CodeTries } from './code-tries.ts'
import type { ListAnswer } from './list-keeper.ts'
import { tellPlace } from './tell-place.ts'

/** Says whether a token may charge at all, reservations aside. */
export type KnownDrivers = (idToken: string, type?: string) => ListAnswer

export interface PlacesParts {
  readonly store: Store
  readonly clock: Clock
  /** Milliseconds that only run forward. */
  readonly elapsedMs: () => number
  readonly known: KnownDrivers
  /** The connectors or EVSEs of a station, as far as it has told them. */
  readonly placesOf: (stationId: string) => readonly number[]
  /** Its holder has begun. Called before that is on the disk. */
  readonly onUsed: (reservation: Permit) => void
  /** A start was judged. */
  readonly onStart: (presented: PresentedToken, status: Authorisation['status']) => void
}

/** Whom a place is kept for: a driver's account, a group of the list, the holder of codes; or several of these. */
export interface HolderTerms {
  readonly driver?: string
  readonly group?: string
  readonly code?: OneTimeCodeKey
}

/** A reservation that an operator upstream asks a station for, and the token and the group that he names. */
export interface PassedTerms extends PassedOn {
  readonly idToken: string
  readonly groupToken: string
  readonly expiresAtMs: number
}

/** What became of a code that was told to us. */
export type TakenCode =
  | { readonly ok: true; readonly permit: Permit }
  | { readonly ok: false; readonly why: 'not-reserved' | 'wrong' | 'spent' | 'too-many' }

/** Whoever has shown a code still has to plug in. Once for each code. */
const graceMs = 300_000
/** How long a station may take to begin what it was asked to begin. */
const remoteStartMs = 600_000
/** OCPP 1.6 has no case; and a tag of 20 characters is more than some stations can take. */
const tokenLetters = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const tokenLength = 15

/**
 * Who may begin a session where. A place that is reserved is for its holder alone; everything that decides this is in
 * the database, and written before anybody is answered.
 */
export class Places implements Authorizer {
  readonly #parts: PlacesParts
  readonly #permits: PermitStore
  readonly #tries: CodeTries

  constructor(parts: PlacesParts) {
    this.#parts = parts
    this.#permits = new PermitStore(parts.store)
    this.#tries = new CodeTries(parts.elapsedMs)
  }

  /** Judges a token; where it begins a session at a reserved place, the reservation is used up by it. */
  authorize(presented: PresentedToken): Authorisation {
    const { stationId, connectorId } = presented
    const open = this.#permits.open(this.#nowMs, stationId)
    const verdict = this.#parts.store.write(() =>
      connectorId === undefined ? this.#judgeAsked(presented, open) : this.#judgeStart(presented, connectorId, open),
    )
    if (connectorId !== undefined) this.#parts.onStart(presented, verdict.status)
    return verdict
  }

  /** Whether a place, or the whole of a station (0), is kept for somebody. */
  isReserved(place: ChargingPlace): boolean {
    return this.reservationAt(place) !== undefined
  }

  /** Whether the place is kept for whoever presents this token. Uses nothing up. */
  isReservedFor(place: ChargingPlace, idToken: string, type?: string): boolean {
    const kept = this.reservationAt(place)
    if (kept === undefined) return false
    if (isOurToken(kept, idToken)) return true
    const answer = this.#parts.known(idToken, type)
    return answer.status === 'Accepted' && isHolder(kept, answer, idToken)
  }

  /** Whether somebody is whom a reservation is kept for. One that upstream asked for goes by the card alone. */
  isHolder(kept: Permit, who: Pick<ListAnswer, 'driver' | 'group'>): boolean {
    return kept.passedOn === undefined && isHolder(kept, who, '')
  }

  /** The reservation that keeps others away from a place; for a whole station any of it. */
  reservationAt({ stationId, connectorId }: ChargingPlace): Permit | undefined {
    return findReservation(this.#permits.open(this.#nowMs, stationId), connectorId)
  }

  /** Every reservation that is in force. */
  reservations(): readonly Permit[] {
    return this.#permits.open(this.#nowMs).filter(({ kind }) => kind === 'reservation')
  }

  /** Keeps a place for somebody from now on. */
  reserve(place: ChargingPlace, holder: HolderTerms, expiresAtMs: number): Permit {
    const { stationId, connectorId } = place
    if (expiresAtMs <= this.#nowMs) throw new WattError('message/invalid', 'the reservation would be over already')
    if ([holder.driver, holder.group, holder.code].every((one) => one === undefined)) {
      throw new WattError('message/invalid', 'a reservation needs a driver, a group or a code')
    }
    // Checks its secret before anything rests on it.
    if (holder.code !== undefined) makeOneTimeCode(holder.code, 0)
    return this.#parts.store.write(() => {
      const before = this.reservationAt(place)
      if (before !== undefined) throw new WattError('place/reserved', `${tellPlace(place)} is reserved already`)
      return this.#add({ kind: 'reservation', stationId, connectorId, expiresAtMs, ...holder })
    })
  }

  /**
   * Keeps a place as an operator upstream asks for, and gives what it replaces: one that he gave the same number. The
   * station is about to be told.
   */
  keepFor(place: ChargingPlace, { number, request, ...terms }: PassedTerms): { permit: Permit; replaced?: Permit } {
    return this.#parts.store.write(() => {
      const replaced = this.#permits.findPassedOn(place.stationId, number)
      if (replaced !== undefined) {
        this.#permits.end(replaced.number, 'cancelled')
        this.#permits.setAtStation(replaced.number, false)
      }
      const before = this.reservationAt(place)
      if (before !== undefined) throw new WattError('place/reserved', `${tellPlace(place)} is reserved already`)
      const permit = this.#add({ kind: 'reservation', ...place, ...terms, passedOn: { number, request } })
      this.#permits.setAtStation(permit.number, true)
      return { permit, ...(replaced === undefined ? {} : { replaced }) }
    })
  }

  /** Leave for one session that is begun by remote, in a driver's name. */
  permitStart(place: ChargingPlace, holder: Pick<HolderTerms, 'driver' | 'group'>): Permit {
    const { stationId, connectorId } = place
    const expiresAtMs = this.#nowMs + remoteStartMs
    return this.#parts.store.write(() => this.#add({ kind: 'start', stationId, connectorId, expiresAtMs, ...holder }))
  }

  cancel(permit: number): void {
    this.#parts.store.write(() => this.#permits.end(permit, 'cancelled'))
  }

  /** Takes a code that opens the reservation at a place. It is spent when this returns, whatever comes of it. */
  takeCode(place: ChargingPlace, code: string): TakenCode {
    const permit = this.reservationAt(place)
    if (permit?.code === undefined) return { ok: false, why: 'not-reserved' }
    const outcome = this.#parts.store.write(() => this.#tryCode(permit, code, 'remote'))
    return outcome === 'opens' ? { ok: true, permit } : { ok: false, why: outcome }
  }

  get #nowMs(): number {
    return this.#parts.clock.now()
  }

  #add(permit: Omit<NewPermit, 'idToken' | 'groupToken'> & Partial<Pick<NewPermit, 'idToken' | 'groupToken'>>): Permit {
    const complete = { ...permit, idToken: permit.idToken ?? makeToken(), groupToken: permit.groupToken ?? makeToken() }
    return { ...complete, number: this.#permits.add(complete), state: 'open', atStation: false }
  }

  // Nothing begins yet, and the place is not told: whoever could begin somewhere at the station is let through.
  #judgeAsked({ stationId, idToken, type }: PresentedToken, open: readonly Permit[]): Authorisation {
    const named = open.find((permit) => isOurToken(permit, idToken))
    if (named !== undefined) return toAccepted(named)
    const reservations = open.filter(({ kind }) => kind === 'reservation')
    const opened = reservations.find((one) => this.#tryCode(one, idToken, 'station') === 'opens')
    if (opened !== undefined) return toAccepted(opened)
    const answer = this.#parts.known(idToken, type)
    if (answer.status !== 'Accepted') return toAuthorisation(answer)
    const own = reservations.find((one) => isHolder(one, answer, idToken))
    if (own !== undefined) return toHolder(own, answer)
    const places = this.#parts.placesOf(stationId).filter((id) => id > 0)
    const isFree = (id: number) => findReservation(reservations, id) === undefined
    return reservations.length === 0 || places.some(isFree) ? toAuthorisation(answer) : { status: 'Blocked' }
  }

  #judgeStart(presented: PresentedToken, connectorId: number, open: readonly Permit[]): Authorisation {
    const { idToken, type, attempt } = presented
    const start = attempt === undefined ? '' : hashStart(presented)
    const before = start === '' ? undefined : this.#permits.usedBy(start)
    if (before !== undefined && before.passedOn === undefined) return toAccepted(before)
    const kept = findReservation(open, connectorId)
    const named = open.find((one) => isAt(one, connectorId) && isOurToken(one, idToken))
    if (named !== undefined && (kept === undefined || kept === named || this.isHolder(kept, named))) {
      return this.#use([named, ...(kept === undefined || kept === named ? [] : [kept])], start)
    }
    if (kept !== undefined && this.#tryCode(kept, idToken, 'station') === 'opens') return this.#use([kept], start)
    const answer = this.#parts.known(idToken, type)
    // The start that used one up, told again.
    if (before !== undefined) return toHolder(before, answer)
    if (kept === undefined || answer.status !== 'Accepted') return toAuthorisation(answer)
    if (!isHolder(kept, answer, idToken)) return { status: 'Blocked' }
    this.#use([kept], start)
    return toHolder(kept, answer)
  }

  #use(permits: readonly [Permit, ...Permit[]], start: string): Authorisation {
    for (const permit of permits) {
      this.#permits.end(permit.number, 'used', start)
      if (permit.kind === 'reservation') this.#parts.onUsed(permit)
    }
    return toAccepted(permits[0])
  }

  #tryCode(permit: Permit, code: string, way: CodeWay): 'opens' | 'wrong' | 'spent' | 'too-many' {
    const key = permit.code
    if (key === undefined || code.length !== key.length) return 'wrong'
    const spent = this.#permits.spent(permit.number)
    // Shown at the station before, and nothing has begun with it yet.
    const shown = [...spent].some(([slot, how]) => how === 'station' && sameText(makeOneTimeCode(key, slot), code))
    if (shown) return way === 'station' ? 'opens' : 'spent'
    if (!this.#tries.mayTry(permit.number, way)) return 'too-many'
    const slot = findOneTimeCode(key, code, this.#parts.clock.now())
    if (slot === undefined) {
      this.#tries.failed(permit.number, way)
      return 'wrong'
    }
    if (!this.#permits.spend(permit.number, slot, way)) return 'spent'
    this.#permits.prolong(permit.number, this.#nowMs + graceMs)
    return 'opens'
  }
}

function makeToken(): string {
  const letters = Array.from({ length: tokenLength }, () => tokenLetters[randomInt(tokenLetters.length)])
  return `W${letters.join('')}`
}

function sameToken(a: string, b: string): boolean {
  return sameText(normaliseToken(a), normaliseToken(b))
}

function isAt(permit: Permit, connectorId: number): boolean {
  return permit.connectorId === connectorId || permit.connectorId === 0
}

function findReservation(open: readonly Permit[], connectorId: number): Permit | undefined {
  return open.find((one) => one.kind === 'reservation' && (connectorId === 0 || isAt(one, connectorId)))
}

// Made here and not to be guessed: whoever presents it is let in. A token that upstream names is a card like others.
function isOurToken(permit: Permit, idToken: string): boolean {
  return permit.passedOn === undefined && sameToken(permit.idToken, idToken)
}

function isHolder(kept: Permit, { driver, group }: Pick<ListAnswer, 'driver' | 'group'>, idToken: string): boolean {
  if (kept.passedOn !== undefined) {
    const isOfGroup = kept.groupToken !== '' && kept.groupToken.toLowerCase() === group?.toLowerCase()
    return isOfGroup || sameToken(kept.idToken, idToken)
  }
  if (kept.driver !== undefined && kept.driver === driver) return true
  return kept.group !== undefined && kept.group.toLowerCase() === group?.toLowerCase()
}

// Whoever it is kept for: not the holder of a code alone, whom nobody knows.
function toAccepted({ kind, group, groupToken, driver, expiresAtMs }: Permit): Authorisation {
  return {
    status: 'Accepted',
    // A group's cards may end what was begun for one of it. A reservation goes by what the station was told.
    groupIdToken: kind === 'start' && group !== undefined ? group : groupToken,
    expiryDate: new Date(expiresAtMs).toISOString(),
    ...(driver === undefined ? {} : { driver }),
  }
}

// The station compares groups where the card is not the one that it was told.
function toHolder({ passedOn, groupToken }: Permit, answer: ListAnswer): Authorisation {
  return { ...toAuthorisation(answer), ...(passedOn === undefined ? { groupIdToken: groupToken } : {}) }
}

function toAuthorisation({ group: _, ...rest }: ListAnswer): Authorisation {
  return rest
}

function hashStart({ attempt, stationId, connectorId, idToken }: PresentedToken): string {
  const content = [stationId, connectorId, attempt, idToken].join('\n')
  return createHash('sha256').update(content).digest('hex')
}
