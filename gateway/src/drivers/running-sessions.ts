import type { OcppVersion } from '@wattline/protocol'
import type { ChargingPlace } from '../sessions/session-signer.ts'
import type { SessionState } from '../sessions/session-state.ts'
import type { Store } from '../store/database.ts'
import { SessionStore } from '../store/sessions.ts'

/** A session that a station has begun and not ended, as far as it has told. */
export interface RunningSession {
  readonly place: ChargingPlace
  readonly version: OcppVersion
  /** The station's name for it: a number in OCPP 1.6. */
  readonly transactionId: string
}

/** Finds what runs. */
export class RunningSessions {
  readonly #books: SessionStore

  constructor(store: Store) {
    this.#books = new SessionStore(store)
  }

  /** The latest at a place. */
  at(place: ChargingPlace): RunningSession | undefined {
    return this.#books.unsettled(place).map(toRunning).findLast(isThere)
  }

  /** By the transaction's id; at any station. */
  named(transactionId: string): RunningSession | undefined {
    const found = this.#books.unsettled({}).filter(({ transaction }) => transaction === transactionId)
    return found.map(toRunning).findLast(isThere)
  }

  /** The one that goes on although its start was refused: OCPP 1.6 knows it by the start's content, 2.x by its id. */
  refused(stationId: string, attempt: string): RunningSession | undefined {
    const isMeant = ({ answered, transaction, notes }: SessionState) =>
      (answered?.contentHash === attempt || transaction === attempt) && notes.includes('not-authorised')
    return this.#books.unsettled({ stationId }).filter(isMeant).map(toRunning).findLast(isThere)
  }
}

function toRunning({ stationId, connectorId, version, transaction, end }: SessionState): RunningSession | undefined {
  if (transaction === undefined || end !== undefined) return undefined
  return { place: { stationId, connectorId }, version, transactionId: transaction }
}

function isThere<T>(one: T | undefined): one is T {
  return one !== undefined
}
