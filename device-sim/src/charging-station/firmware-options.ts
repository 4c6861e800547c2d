import type { Timers } from '../timers.ts'
import type { BootReason, StationIdentity } from './dialect.ts'
import type { StateStorage } from './durable-state.ts'
import type { OpenLink } from './link.ts'
import type { Place } from './place.ts'
import type { Quirks } from './quirks.ts'
import type { Payload } from './rpc.ts'
import type { OcppVersion } from './schemas.ts'
import type { Request } from './transaction-queue.ts'

/** What one run of the firmware is made of. */
export interface FirmwareOptions {
  readonly identity: StationIdentity
  readonly version: OcppVersion
  readonly url: string
  readonly password: string | undefined
  readonly quirks: Quirks
  readonly preset: Readonly<Record<string, string>>
  readonly driftSeconds: number
  readonly zoneMinutes: number
  readonly timers: Timers
  readonly wallClockMs: () => number
  readonly storage: StateStorage
  readonly openLink: OpenLink
  readonly random: () => number
  readonly places: readonly Place[]
  /** Brings all energy to this moment. */
  readonly advance: () => void
  readonly bootReason: BootReason
  /** Sent once the CSMS has accepted the station. */
  readonly greetings: readonly Request[]
  readonly onRestart: (reason: BootReason, greetings: readonly Request[]) => void
  readonly onEvent: (event: string, details: Payload) => void
}
