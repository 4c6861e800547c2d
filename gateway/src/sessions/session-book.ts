import type { ChargingEvent } from './charging-event.ts'
import type { ChargingPlace } from './session-signer.ts'
import type { PlaceState, SessionState, StationClock } from './session-state.ts'

/**
 * Where sessions are remembered. What is read is the reader's own, but not what stands in it: its fields are replaced,
 * never changed, and nothing counts before it is written. What was written is the book's.
 */
export interface SessionBook {
  findStart(stationId: string, startKey: string): SessionState | undefined
  /** The latest with this id. */
  findTransaction(stationId: string, transaction: string): SessionState | undefined
  /** Sessions whose energy may still change, oldest first: of everywhere, a station or a place. */
  unsettled(where: Partial<ChargingPlace>): readonly SessionState[]
  writeSession(session: SessionState): void
}

/** What is remembered of stations and their places. */
export interface PlaceBook {
  readPlace(place: ChargingPlace): PlaceState | undefined
  writePlace(place: ChargingPlace, state: PlaceState): void
  readClock(stationId: string): StationClock | undefined
  writeClock(stationId: string, clock: StationClock): void
}

/** Messages that wait for the begin of their transaction, which tells its place. */
export interface WaitingRoom {
  /** False where it is full. */
  setAside(event: ChargingEvent): boolean
  /** Gives them in the order in which they came, and forgets them. */
  takeOut(stationId: string, transaction: string): readonly ChargingEvent[]
}

export type Books = SessionBook & PlaceBook & WaitingRoom
