import type { OcppVersion } from '@wattline/protocol'
import type { StationCall } from './intake.ts'
import type { OcppPayload } from './transaction-sink.ts'

/** Follows what stations do. Must not throw: a station is served whoever looks on. */
export interface StationObserver {
  connected(stationId: string, version: OcppVersion): void
  disconnected(stationId: string): void
  /** A message that its schema accepts, and what it was answered with, where the answer says anything. */
  heard(call: StationCall, payload: OcppPayload, answer: OcppPayload | undefined): void
}
