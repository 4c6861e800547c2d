import type { OcppVersion, Timestamp } from '@wattline/protocol'

/** A JSON object that its schema has accepted. */
export type OcppPayload = Readonly<Record<string, unknown>>

/** What a station tells of a transaction: checked against the schema, mended where it had to be. */
export interface TransactionMessage {
  readonly stationId: string
  readonly version: OcppVersion
  /** The payload as the schema wants it. The raw frame stands in the journal. */
  readonly payload: OcppPayload
  /** When it arrived, by our clock. What the station claims stands in the payload. */
  readonly arrivedAt: Timestamp
  /** Its row in the journal: grows with each message, and is never given twice. */
  readonly frame: number
  /** SHA-256 of the content. The same for a message that is sent again, whatever its message id. */
  readonly contentHash: string
  /** What had to be mended, in words; empty where nothing was. */
  readonly mended: readonly string[]
}

/** OCPP's word for what an idToken may do. */
export interface IdTokenVerdict {
  readonly status: 'Accepted' | 'Blocked' | 'Expired' | 'Invalid' | 'ConcurrentTx'
  /** ISO 8601; until when the station may rely on it. */
  readonly expiryDate?: string
  /** The group that it belongs to, at most 20 characters. */
  readonly groupIdToken?: string
}

export interface StartAnswer {
  /** OCPP 1.6: an integer, and the same one for the same start sent again. */
  readonly transactionId: number
  readonly verdict: IdTokenVerdict
}

export interface EventAnswer {
  /** OCPP 1.6: the transaction that it belongs to, where the station names another one or none. */
  readonly transactionId?: number
  /** Only where the message asked for it by carrying an idToken. */
  readonly verdict?: IdTokenVerdict
}

/**
 * Takes what stations tell of transactions. Each method runs inside the transaction that stores the raw frame: what it
 * writes is on the disk together with it, before the station gets its answer. It is called again for a message that a
 * station repeats. If it throws, its writes are undone, and the frame is kept as quarantined.
 */
export interface TransactionSink {
  /** OCPP 1.6 StartTransaction. */
  start(message: TransactionMessage): StartAnswer
  /** OCPP 1.6 StopTransaction. */
  stop(message: TransactionMessage): EventAnswer
  /** MeterValues of every version, with or without a transaction. */
  meterValues(message: TransactionMessage): void
  /** OCPP 2.x TransactionEvent. */
  event(message: TransactionMessage): EventAnswer
  /** StatusNotification of every version, also inside a transaction. It is not kept in the journal. */
  status?(message: StatusMessage): void
}

/** What a station tells of a connector. */
export interface StatusMessage {
  readonly stationId: string
  readonly payload: OcppPayload
}

/** What a driver presents: an RFID tag, a PIN, a code. OCPP 1.6 knows no type. */
export interface PresentedToken {
  readonly stationId: string
  readonly idToken: string
  /** OCPP 2.x IdTokenEnumType, such as `ISO14443`. */
  readonly type?: string
  /** Where a session is begun with it: OCPP 1.6's connector, OCPP 2.x's EVSE. Absent where it is only asked about. */
  readonly connectorId?: number
  /** The reservation that the station says it fulfils. */
  readonly reservationId?: number
  /** With `connectorId`: names the start, the same for one that is sent again. What opens once, opens it once. */
  readonly attempt?: string
}

/** A verdict, and for us alone whose account pays. */
export interface Authorisation extends IdTokenVerdict {
  readonly driver?: string
}

/** Says who may charge. */
export interface Authorizer {
  authorize(token: PresentedToken): Authorisation
}
