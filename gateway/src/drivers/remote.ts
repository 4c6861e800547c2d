import { randomInt } from 'node:crypto'
import { WattError } from '@wattline/protocol'
import type { ChargingPlace } from '../sessions/session-signer.ts'
import type { ListAnswer } from './list-keeper.ts'
import type { KnownDrivers, Places, TakenCode } from './places.ts'
import type { RunningSession, RunningSessions } from './running-sessions.ts'
import { requireVersion, type StationLink, statusOf } from './station-link.ts'
import { tellPlace } from './tell-place.ts'

export interface RemoteParts {
  readonly places: Places
  readonly link: StationLink
  readonly running: RunningSessions
  readonly known: KnownDrivers
  /** Whether an account may charge now, and with which group. */
  readonly knownDriver: (driver: string) => ListAnswer
}

/** In whose name a session is begun. */
export type StartedBy =
  | { readonly token: string; readonly type?: string }
  | { readonly driver: string }
  | { readonly code: string }

interface StationToken {
  readonly idToken: string
  readonly type: string
  /** Goes again where the station refuses. */
  readonly permit?: number
}

const largestInteger = 2 ** 31 - 1

/** Begins and ends sessions from afar; what came of it is told in words, or thrown. */
export class Remote {
  readonly #parts: RemoteParts

  constructor(parts: RemoteParts) {
    this.#parts = parts
  }

  async start(place: ChargingPlace, by: StartedBy): Promise<string> {
    const { link, places } = this.#parts
    const { stationId, connectorId } = place
    if (connectorId < 1) throw new WattError('message/invalid', 'a connector of 1 or above expected')
    const version = requireVersion(link, stationId)
    const token = this.#tokenFor(place, by)
    const { idToken, type, permit } = token
    const [action, payload] =
      version === 'ocpp1.6'
        ? (['RemoteStartTransaction', { connectorId, idTag: idToken }] as const)
        : ([
            'RequestStartTransaction',
            { evseId: connectorId, remoteStartId: randomInt(1, largestInteger), idToken: { idToken, type } },
          ] as const)
    const status = statusOf(await link.call(stationId, action, payload))
    if (status === 'Accepted') {
      return `${tellPlace(place)}: accepted; charging begins as soon as a vehicle is plugged in`
    }
    if (permit !== undefined) places.cancel(permit)
    throw new WattError(
      'station/refused',
      `${tellPlace(place)}: the station refuses to start (${status})${this.#why(place)}`,
    )
  }

  async stop(what: ChargingPlace | string): Promise<string> {
    const { link, running } = this.#parts
    const session = typeof what === 'string' ? running.named(what) : running.at(what)
    if (session === undefined) {
      const where = typeof what === 'string' ? `with id ${what}` : `at ${tellPlace(what)}`
      throw new WattError('session/unknown', `no session ${where} is running`)
    }
    const { place } = session
    requireVersion(link, place.stationId)
    const status = statusOf(await link.call(place.stationId, ...toStopRequest(session)))
    if (status === 'Accepted') return `${tellPlace(place)}: accepted; session ${session.transactionId} ends`
    throw new WattError('station/refused', `${tellPlace(place)}: the station refuses to stop (${status})`)
  }

  // The station is sent what it will present again when it begins.
  #tokenFor(place: ChargingPlace, by: StartedBy): StationToken {
    const { places, known, knownDriver } = this.#parts
    if ('code' in by) {
      const taken = places.takeCode(place, by.code)
      if (!taken.ok) throw new WattError('driver/refused', `${tellPlace(place)}: ${codeProblems[taken.why]}`)
      return { idToken: taken.permit.idToken, type: 'Central' }
    }
    const kept = places.reservationAt(place)
    if ('driver' in by) {
      const { driver } = by
      const answer = knownDriver(driver)
      if (answer.status === 'Invalid') throw new WattError('driver/refused', `no driver '${driver}' may charge now`)
      if (answer.status !== 'Accepted') {
        throw new WattError('driver/refused', `'${driver}' may not charge: ${tokenProblems[answer.status]}`)
      }
      if (kept !== undefined && !places.isHolder(kept, answer)) throw reserved(place)
      if (kept !== undefined) return { idToken: kept.idToken, type: 'Central' }
      const group = answer.group === undefined ? {} : { group: answer.group }
      const { idToken, number } = places.permitStart(place, { driver, ...group })
      return { idToken, type: 'Central', permit: number }
    }
    const { status } = known(by.token, by.type)
    if (status !== 'Accepted')
      throw new WattError('driver/refused', `this token may not charge: ${tokenProblems[status]}`)
    if (kept !== undefined && !places.isReservedFor(place, by.token, by.type)) throw reserved(place)
    // One that upstream asked for goes by the card itself.
    if (kept === undefined || kept.passedOn !== undefined) {
      return { idToken: by.token, type: by.type ?? 'ISO14443' }
    }
    return { idToken: kept.idToken, type: 'Central' }
  }

  #why({ stationId, connectorId }: ChargingPlace): string {
    const view = this.#parts.link.stations().find(({ id }) => id === stationId)
    const told = Object.entries(view?.connectors ?? {}).find(([where]) => Number(where.split('/')[0]) === connectorId)
    return told === undefined ? '' : `; its status there is ${told[1]}`
  }
}

function reserved(place: ChargingPlace): WattError {
  return new WattError('place/reserved', `${tellPlace(place)} is reserved for somebody else`)
}

const tokenProblems = {
  Blocked: 'it is blocked, or may not charge while the ledger is out of reach',
  Expired: 'it has expired',
  Invalid: 'it is not on the list',
  ConcurrentTx: 'it charges already',
} as const

const codeProblems: Readonly<Record<Extract<TakenCode, { ok: false }>['why'], string>> = {
  'not-reserved': 'no reservation that a code opens',
  wrong: 'this is not the code that is valid now',
  spent: 'this code was used already; wait for the next one',
  'too-many': 'too many wrong codes; wait a minute',
}

/** The request that ends a session. */
export function toStopRequest({ version, transactionId }: RunningSession): [action: string, payload: object] {
  return version === 'ocpp1.6'
    ? ['RemoteStopTransaction', { transactionId: Number(transactionId) }]
    : ['RequestStopTransaction', { transactionId }]
}
