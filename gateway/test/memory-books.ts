import type { ChargingEvent } from '../src/sessions/charging-event.ts'
import type { Books } from '../src/sessions/session-book.ts'
import type { ChargingPlace } from '../src/sessions/session-signer.ts'
import type { PlaceState, SessionState, StationClock } from '../src/sessions/session-state.ts'

/** For tests: sessions in memory. Like a database it gives away copies. */
export class MemoryBooks implements Books {
  readonly sessions = new Map<number, SessionState>()
  readonly places = new Map<string, PlaceState>()
  readonly #clocks = new Map<string, StationClock>()
  #waiting: ChargingEvent[] = []

  findStart(stationId: string, startKey: string): SessionState | undefined {
    return this.#find((one) => one.stationId === stationId && one.startKey === startKey).at(-1)
  }

  findTransaction(stationId: string, transaction: string): SessionState | undefined {
    return this.#find((one) => one.stationId === stationId && one.transaction === transaction).at(-1)
  }

  unsettled({ stationId, connectorId }: Partial<ChargingPlace>): readonly SessionState[] {
    return this.#find(
      (one) =>
        !one.isSettled &&
        (stationId === undefined || one.stationId === stationId) &&
        (connectorId === undefined || one.connectorId === connectorId),
    )
  }

  writeSession(session: SessionState): void {
    this.sessions.set(session.id, structuredClone(session))
  }

  readPlace(place: ChargingPlace): PlaceState | undefined {
    return structuredClone(this.places.get(`${place.stationId}/${place.connectorId}`))
  }

  writePlace(place: ChargingPlace, state: PlaceState): void {
    this.places.set(`${place.stationId}/${place.connectorId}`, structuredClone(state))
  }

  readClock(stationId: string): StationClock | undefined {
    return this.#clocks.get(stationId)
  }

  writeClock(stationId: string, clock: StationClock): void {
    this.#clocks.set(stationId, clock)
  }

  setAside(event: ChargingEvent): boolean {
    this.#waiting.push(event)
    return true
  }

  takeOut(stationId: string, transaction: string): readonly ChargingEvent[] {
    const isMeant = (one: ChargingEvent) => one.stationId === stationId && one.transaction === transaction
    const found = this.#waiting.filter(isMeant)
    this.#waiting = this.#waiting.filter((one) => !isMeant(one))
    return found
  }

  #find(matches: (session: SessionState) => boolean): SessionState[] {
    return structuredClone([...this.sessions.values()].filter(matches).toSorted((a, b) => a.id - b.id))
  }
}
