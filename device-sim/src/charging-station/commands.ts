import type { ChargingProfile, RateUnit, SchedulePeriod } from './charging-profiles.ts'
import type { DurableState, ListEntry, Reservation } from './durable-state.ts'
import type { OcppVersion } from './schemas.ts'
import type { StationSecurity } from './station-security.ts'
import type { Request } from './transaction-queue.ts'

export interface RemoteStart {
  /** The station chooses where it is absent. */
  readonly evseId?: number | undefined
  readonly idToken: string
  readonly groupIdToken?: string | undefined
  readonly remoteStartId?: number | undefined
  readonly profile?: ChargingProfile | undefined
}

export interface ListUpdate {
  readonly version: number
  readonly full: boolean
  readonly entries: readonly (ListEntry | { readonly idToken: string; readonly removed: true })[]
}

export type Triggered = 'boot' | 'heartbeat' | 'status' | 'meter-values' | 'transaction'

export type FirmwareStep = 'Downloading' | 'Downloaded' | 'Installing' | 'Installed'

/** What a CSMS may ask of the firmware, in the words of OCPP 2.0.1. */
export interface Commands {
  readonly version: OcppVersion
  readonly state: DurableState
  readonly security: StationSecurity
  /** Where it connects to. */
  url(): string
  /** The installer has given it a password by hand. */
  readonly hasPassword: boolean
  /** Opens a new connection once the answer is out. */
  reconnectSoon(): void
  /** Shows the driver what the session costs. */
  showCost(transactionId: string, totalCost: number): void
  readonly evseIds: readonly number[]
  remoteStart(start: RemoteStart): boolean
  remoteStop(transactionId: string): boolean
  /** OCPP 1.6: the transaction that the CSMS calls so. */
  transactionGiven(id: number): string | undefined
  openTransactionAt(evseId: number): string | undefined
  transactionStatus(id: string | undefined): { readonly ongoing: boolean; readonly queued: boolean }
  reserve(reservation: Reservation): 'Accepted' | 'Faulted' | 'Occupied' | 'Rejected' | 'Unavailable'
  cancelReservation(id: number): boolean
  setProfile(profile: ChargingProfile): boolean
  /** Whether any was cleared. */
  clearProfiles(matches: (profile: ChargingProfile) => boolean): boolean
  compositeSchedule(
    evseId: number,
    durationSeconds: number,
    unit: RateUnit,
  ): { readonly startMs: number; readonly periods: readonly SchedulePeriod[] }
  setOperative(evseId: number, operative: boolean): 'Accepted' | 'Scheduled' | 'Rejected'
  unlock(evseId: number): 'Unlocked' | 'UnlockFailed' | 'OngoingAuthorizedTransaction'
  reset(when: 'now' | 'when-idle', stoppedReason?: 'HardReset' | undefined): 'Accepted' | 'Scheduled'
  listVersion(): number
  updateList(update: ListUpdate): boolean
  clearCache(): boolean
  trigger(message: Triggered, evseId: number | undefined): boolean
  updateFirmware(report: (step: FirmwareStep) => Request): void
  /** Sends something once the answer is out. */
  afterwards(requests: readonly Request[]): void
  /** Says nothing more on this socket. */
  hang(): void
}
