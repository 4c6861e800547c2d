import type { OcppVersion } from '@wattline/protocol'
import type { StationCall } from './intake.ts'
import type { OcppPayload } from './transaction-sink.ts'
import type { UpstreamView } from './upstream/upstream-view.ts'

/** Whoever else wants to know what stations do. Nothing here may throw. */
export interface StationWatch {
  connected(stationId: string, version: OcppVersion): void
  disconnected(stationId: string): void
  /** A message that its schema accepts. */
  heard(call: StationCall, payload: OcppPayload): void
  /** How the stations stand upstream, by identity here. */
  views(): ReadonlyMap<string, UpstreamView>
}
