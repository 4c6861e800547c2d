import type { ClockStatus, Timestamp } from '@wattline/protocol'

/** Where a session takes place: OCPP 1.6's connector, OCPP 2.x's EVSE. */
export interface ChargingPlace {
  readonly stationId: string
  readonly connectorId: number
}

/** A register reading of a charging session that is to be signed under the charging point's key. */
export interface SessionReading {
  readonly place: ChargingPlace
  /** Ours, and never given twice: the journal's number of the frame that opened the session. */
  readonly sessionId: number
  readonly mark: 'begin' | 'interval' | 'end'
  /** The register as it counts at this place, over all sessions: it never falls, also where a station's own restarts. */
  readonly registerWh: bigint
  /** When the station says that it was, put right by what is known of its clock. */
  readonly takenAt: Timestamp
  readonly clockStatus: ClockStatus
  /**
   * Present where the value is a doubt: nothing is booked of it. The name of a doubtful state (SPEC-20), such as
   * `implausible-jump`, is signed with the register; any other reason in words as `read-error`, without it.
   */
  readonly doubt?: string
  /** Whose account pays: it stands in the signed text. Absent where nobody's is known. */
  readonly driver?: string
}

/**
 * Signs what sessions have measured. Called inside the transaction that stores what it follows from, in the order in
 * which things happened at the place. Begin and end of a session are signed once each; said again, nothing happens.
 */
export interface SessionSigner {
  sign(reading: SessionReading): void
}
