import { type Clock, WattError } from '@wattline/protocol'
import { errorFields, type Log } from '../log.ts'
import type { Scheduler } from '../modbus/scheduler.ts'
import type { ChargingPlace } from '../sessions/session-signer.ts'
import type { Store } from '../store/database.ts'
import { numberAtStation, type Permit, PermitStore } from '../store/permits.ts'
import type { HolderTerms, Places } from './places.ts'
import { connectedVersion, type StationLink, statusOf } from './station-link.ts'
import { tellPlace } from './tell-place.ts'

export interface ReservationDeskParts {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly scheduler: Scheduler
  readonly places: Places
  readonly link: StationLink
}

/** A reservation, and who keeps the place: always we, and the station where it can. */
export interface Reserved {
  readonly permit: Permit
  readonly station: 'keeps-it' | 'cannot' | 'not-told-yet'
}

/** After a boot a station has its own to do first; and a status may follow that says what it has lost. */
const settleMs = 2_000
const retryMs = 30_000

/** Makes and ends reservations, and sees to it that stations know of them whenever they are there. */
export class ReservationDesk {
  readonly #parts: ReservationDeskParts
  readonly #permits: PermitStore
  readonly #waiting = new Map<string, () => void>()
  #stopped = false

  constructor(parts: ReservationDeskParts) {
    this.#parts = parts
    this.#permits = new PermitStore(parts.store)
  }

  /** Keeps a place for somebody; from here on everybody else is refused there. Throws where it cannot be kept. */
  async reserve(place: ChargingPlace, holder: HolderTerms, expiresAtMs: number): Promise<Reserved> {
    const { places, log } = this.#parts
    const permit = places.reserve(place, holder, expiresAtMs)
    log.info('reservation.made', { number: permit.number, station: place.stationId, connector: place.connectorId })
    const status = await this.#tell(permit).catch((error: unknown) => this.#readFailure(permit, error))
    if (status === 'Accepted') return { permit, station: 'keeps-it' }
    if (status === undefined) return { permit, station: 'not-told-yet' }
    if (status === 'Occupied' || status === 'Faulted' || status === 'Unavailable') {
      this.#end(permit)
      throw new WattError('place/reserved', `${tellPlace(place)} cannot be reserved: the station says ${status}`)
    }
    // Many stations know no reservations. Then we refuse everybody else, and their display does not say so.
    log.info('reservation.unsupported', { number: permit.number, station: place.stationId, status })
    this.#permits.setAtStation(permit.number, false)
    return { permit, station: 'cannot' }
  }

  /** Ends a reservation; the station is told now, or when it is back. */
  async cancel(number: number): Promise<Permit> {
    const permit = this.#permits.find(number)
    if (permit === undefined || permit.kind !== 'reservation' || permit.state !== 'open') {
      throw new WattError('message/invalid', `no reservation ${number} is open`)
    }
    this.#parts.places.cancel(number)
    this.#parts.log.info('reservation.cancelled', { number, station: permit.stationId })
    if (permit.atStation) await this.#withdraw(permit).catch(() => {}) // told again when the station is back
    return permit
  }

  /** A station has connected or booted: what it should know is told again, and what is over is taken back. */
  stationIsBack(stationId: string): void {
    this.#waiting.get(stationId)?.()
    this.#waiting.set(
      stationId,
      this.#parts.scheduler.after(settleMs, () => void this.#renew(stationId)),
    )
  }

  stop(): void {
    this.#stopped = true
    for (const forget of this.#waiting.values()) forget()
    this.#waiting.clear()
  }

  async #renew(stationId: string): Promise<void> {
    const { clock, log, link, scheduler } = this.#parts
    this.#waiting.delete(stationId)
    if (this.#stopped) return
    const now = clock.now()
    const open = this.#permits.open(now, stationId).filter(({ kind }) => kind === 'reservation')
    const over = this.#permits.atStation(stationId).filter(({ number }) => open.every((one) => one.number !== number))
    try {
      for (const permit of over) await this.#withdraw(permit)
      for (const permit of open) {
        const status = await this.#tell(permit)
        log.info('reservation.told', { number: permit.number, station: stationId, status })
      }
    } catch (error) {
      if (this.#stopped) return
      log.info('reservation.not-told', { station: stationId, ...errorFields(error) })
      const isThere = connectedVersion(link, stationId) !== undefined
      // Without a connection the next one begins anew.
      if (isThere && error instanceof WattError && error.retryable && !this.#waiting.has(stationId)) {
        this.#waiting.set(
          stationId,
          scheduler.after(retryMs, () => void this.#renew(stationId)),
        )
      }
    }
  }

  /** Gives the station's status; undefined where it is not connected. */
  async #tell(permit: Permit): Promise<string | undefined> {
    const { link } = this.#parts
    const version = connectedVersion(link, permit.stationId)
    if (version === undefined) return undefined
    // Noted before it is sent: an answer that is lost must not leave it there for good.
    this.#permits.setAtStation(permit.number, true)
    const expires = new Date(permit.expiresAtMs).toISOString()
    try {
      const request = permit.passedOn?.request ?? toReserveNow(permit, version, expires)
      return statusOf(await link.call(permit.stationId, 'ReserveNow', request))
    } catch (error) {
      if (error instanceof WattError && error.code === 'station/refused') return 'Rejected'
      throw error
    }
  }

  // CancelReservation of one that it knows no more is answered with Rejected, which is as good.
  async #withdraw(permit: Permit): Promise<void> {
    const { link, clock } = this.#parts
    if (permit.expiresAtMs > clock.now()) {
      await link
        .call(permit.stationId, 'CancelReservation', { reservationId: numberAtStation(permit) })
        .catch((error) => {
          if (!(error instanceof WattError && error.code === 'station/refused')) throw error
        })
    }
    this.#permits.setAtStation(permit.number, false)
  }

  #end(permit: Permit): void {
    this.#parts.places.cancel(permit.number)
    this.#permits.setAtStation(permit.number, false)
  }

  #readFailure(permit: Permit, error: unknown): undefined {
    if (error instanceof WattError && error.retryable) return undefined
    this.#end(permit)
    throw error
  }
}

function toReserveNow({ number, connectorId, idToken, groupToken }: Permit, version: string, expires: string): object {
  if (version === 'ocpp1.6') {
    return { connectorId, expiryDate: expires, idTag: idToken, parentIdTag: groupToken, reservationId: number }
  }
  return {
    id: number,
    expiryDateTime: expires,
    idToken: { idToken, type: 'Central' },
    groupIdToken: { idToken: groupToken, type: 'Central' },
    ...(connectorId === 0 ? {} : { evseId: connectorId }),
  }
}
