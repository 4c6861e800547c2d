import { type Clock, WattError } from '@wattline/protocol'
import { errorFields, type Log } from '../log.ts'
import { fieldsOf } from '../ocpp/json-place.ts'
import type { StationAnswer } from '../ocpp/station-connection.ts'
import type { OcppPayload } from '../ocpp/transaction-sink.ts'
import type { ChargingPlace } from '../sessions/session-signer.ts'
import type { Store } from '../store/database.ts'
import { type Permit, PermitStore } from '../store/permits.ts'
import type { PassedTerms, Places } from './places.ts'
import { placesTold, type StationLink, statusOf } from './station-link.ts'

export interface PassedReservationsParts {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly places: Places
  readonly link: StationLink
}

/**
 * Reservations that an operator upstream asks stations for (SPEC-143). They are kept here as well, before the station is
 * asked: stations forget, and not all keep others out.
 */
export class PassedReservations {
  readonly #parts: PassedReservationsParts
  readonly #permits: PermitStore

  constructor(parts: PassedReservationsParts) {
    this.#parts = parts
    this.#permits = new PermitStore(parts.store)
  }

  /** Sends a request of upstream; gives the answer to it. */
  async passOn(stationId: string, action: string, payload: OcppPayload): Promise<StationAnswer> {
    if (action === 'ReserveNow') return await this.#reserve(stationId, payload)
    if (action === 'CancelReservation') return await this.#cancel(stationId, payload)
    return await this.#parts.link.call(stationId, action, payload)
  }

  /** The station says that a reservation is over: upstream hears the same. */
  ended(stationId: string, numberThere: number): void {
    const { store, places, log } = this.#parts
    const permit = this.#permits.findPassedOn(stationId, numberThere)
    if (permit === undefined) return
    store.write(() => {
      places.cancel(permit.number)
      this.#permits.setAtStation(permit.number, false)
    })
    log.info('reservation.ended', { number: permit.number, station: stationId })
  }

  async #reserve(stationId: string, request: OcppPayload): Promise<StationAnswer> {
    const { places, link, log, clock } = this.#parts
    const terms = readTerms(request)
    const place = this.#placeOf(stationId, request)
    // The station alone knows which of its places it keeps; and what is over already it refuses.
    if (place === undefined || !(terms.expiresAtMs > clock.now())) {
      return await link.call(stationId, 'ReserveNow', request)
    }
    const kept = places.keepFor(place, terms)
    log.info('reservation.passed-on', { number: kept.permit.number, station: stationId, connector: place.connectorId })
    try {
      const answer = await link.call(stationId, 'ReserveNow', request)
      if (statusOf(answer) !== 'Accepted') this.#undo(kept, 'refused')
      return answer
    } catch (error) {
      // Without an answer the station may have it, or not: upstream is told that it failed.
      this.#undo(kept, error instanceof WattError && error.retryable ? 'unknown' : 'refused')
      throw error
    }
  }

  // What it replaced is in force again; what the station may hold for nobody is taken back when it is there.
  #undo({ permit, replaced }: { readonly permit: Permit; readonly replaced?: Permit }, outcome: 'refused' | 'unknown') {
    const { store, places } = this.#parts
    store.write(() => {
      places.cancel(permit.number)
      this.#permits.setAtStation(permit.number, outcome === 'unknown')
      if (replaced === undefined) return
      this.#permits.reopen(replaced.number)
      this.#permits.setAtStation(replaced.number, true)
    })
  }

  async #cancel(stationId: string, request: OcppPayload): Promise<StationAnswer> {
    const { places, link, log } = this.#parts
    const permit = this.#permits.findPassedOn(stationId, Number(request['reservationId']))
    if (permit === undefined) return await link.call(stationId, 'CancelReservation', request)
    places.cancel(permit.number)
    log.info('reservation.cancelled', { number: permit.number, station: stationId })
    try {
      await link.call(stationId, 'CancelReservation', request)
      this.#permits.setAtStation(permit.number, false)
    } catch (error) {
      if (!(error instanceof WattError && error.code.startsWith('station/'))) throw error
      // It is told again when it is back. Until then it may turn the others away; nobody here does.
      log.info('reservation.not-told', { station: stationId, ...errorFields(error) })
    }
    return { payload: { status: 'Accepted' }, faults: [] }
  }

  // Connector 0 of OCPP 1.6, and no EVSE in 2.x, is any place of the station: of one that has a single place, this one.
  #placeOf(stationId: string, { connectorId, evseId }: OcppPayload): ChargingPlace | undefined {
    const named = Number(connectorId ?? evseId ?? 0)
    if (named > 0) return { stationId, connectorId: named }
    const [only, another] = placesTold(this.#parts.link, stationId)
    return only === undefined || another !== undefined ? undefined : { stationId, connectorId: only }
  }
}

function readTerms(request: OcppPayload): PassedTerms {
  const { reservationId, id, expiryDate, expiryDateTime, idTag, idToken, parentIdTag, groupIdToken } = request
  return {
    number: Number(reservationId ?? id),
    request,
    expiresAtMs: Date.parse(String(expiryDate ?? expiryDateTime)),
    idToken: String(idTag ?? fieldsOf(idToken)?.['idToken']),
    groupToken: String(parentIdTag ?? fieldsOf(groupIdToken)?.['idToken'] ?? ''),
  }
}
