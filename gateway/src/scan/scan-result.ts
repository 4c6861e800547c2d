import type { MeterProfile, Role } from '@wattline/protocol'
import type { BusConfig } from '../modbus/bus-config.ts'
import type { Connect } from '../modbus/link.ts'
import type { Profiles } from '../modbus/profiles.ts'
import type { SerialFormat } from '../modbus/rtu-framing.ts'
import type { Scheduler } from '../modbus/scheduler.ts'
import type { Identity } from './identify.ts'
import type { Diagnosis, LineEvidence } from './line-evidence.ts'

/** A meter that the config says hangs here. */
export interface ExpectedMeter {
  readonly id: string
  readonly unitId: number
  readonly profile: MeterProfile
  readonly role: Role
}

export interface ScanProgress {
  readonly busId: string
  /** What is done right now, in words. */
  readonly stage: string
  readonly done: number
  readonly total: number
  readonly etaMs: number
  readonly found: number
}

export interface ScanOptions {
  readonly bus: BusConfig
  /** Whether the settings of a serial line are what somebody says they are, or only a place to begin. */
  readonly settingsKnown: boolean
  readonly meters: readonly ExpectedMeter[]
  readonly profiles: Profiles
  readonly scheduler: Scheduler
  readonly abort: AbortSignal
  /** Stops after the likely settings. */
  readonly quick: boolean
  /** The only unit ids to ask, where not all of them. */
  readonly unitIds?: readonly number[]
  readonly onProgress: (progress: ScanProgress) => void
  /** Another way to the devices than the bus's own port or socket. */
  readonly connectAt?: (bus: BusConfig) => Connect
}

/** A device that answered. */
export interface FoundDevice {
  readonly unitId: number
  readonly format?: SerialFormat
  readonly identity?: Identity
  readonly latencyMs?: number
  /** The meter of the config that it is. */
  readonly configured?: string
}

export interface ScanResult {
  readonly bus: BusConfig
  readonly devices: readonly FoundDevice[]
  readonly diagnoses: readonly Diagnosis[]
  /** The evidence that the diagnoses rest on. */
  readonly evidence: LineEvidence
  readonly cancelled: boolean
  readonly elapsedMs: number
}
