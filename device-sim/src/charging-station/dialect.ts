import type { ListEntry, QueuedEvent, Sample } from './durable-state.ts'
import type { EvseFault } from './evse.ts'
import type { Quirks } from './quirks.ts'
import type { Answer, Payload } from './rpc.ts'
import type { Settings } from './settings.ts'
import type { StationClock } from './station-clock.ts'
import type { Request } from './transaction-queue.ts'

/** The finer states of OCPP 1.6; 2.x tells fewer. */
export type EvseStatus =
  | 'Available'
  | 'Preparing'
  | 'Charging'
  | 'SuspendedEV'
  | 'SuspendedEVSE'
  | 'Finishing'
  | 'Reserved'
  | 'Unavailable'
  | 'Faulted'

export type BootReason = 'PowerUp' | 'RemoteReset' | 'FirmwareUpdate' | 'Triggered' | 'Unknown'

export interface StationIdentity {
  readonly id: string
  readonly vendor: string
  readonly model: string
  readonly serial: string
  readonly firmware: string
}

/** What a dialect may look at. */
export interface DialectContext {
  readonly identity: StationIdentity
  readonly quirks: Quirks
  readonly clock: StationClock
  readonly settings: Settings
  /** OCPP 1.6: what the CSMS calls a transaction. */
  readonly givenId: (transactionId: string) => number | undefined
}

/** How one version of OCPP says things. */
export interface Dialect {
  readonly subprotocol: string
  boot(reason: BootReason): Request
  /** What the CSMS can tell of a status. */
  statusName(status: EvseStatus): string
  status(of: { evseId: number; status: EvseStatus; fault?: EvseFault | undefined; atMs: number }): Request | undefined
  authorize(idToken: string): Request
  /** The messages for one event of a transaction: none where this version has none for it. */
  event(event: QueuedEvent): readonly Request[]
  /** Readings outside of a transaction's own messages. */
  meterValues(evseId: number, sample: Sample): Request
  reservationEnded(id: number): Request | undefined
  /** What an answer says of the card. */
  tokenInfo(idToken: string, reply: Payload): ListEntry | undefined
  givenIdIn(reply: Payload): number | undefined
  onCall(action: string, payload: Payload): Answer
}
