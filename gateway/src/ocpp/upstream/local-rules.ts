import type { OcppVersion } from '@wattline/protocol'
import type { OcppPayload } from '../transaction-sink.ts'

/** A command of upstream, as the station would get it. */
export interface UpstreamCommand {
  readonly stationId: string
  readonly version: OcppVersion
  readonly action: string
  readonly payload: OcppPayload
}

/** Why a command must not reach a station. */
export interface Objection {
  readonly reason: string
  /** OCPP's word for it where there is a better one than Rejected, such as Occupied. */
  readonly status?: string
}

/** What stands against commands of upstream at this site. The parts that know of reservations and limits say it here. */
export interface LocalRules {
  /** Undefined where nothing stands against it. */
  objectionTo(command: UpstreamCommand): Objection | undefined
  /** The most that a charging profile may allow, in ampere on each phase; undefined where nothing limits it. */
  mostAmps(stationId: string): number | undefined
}
