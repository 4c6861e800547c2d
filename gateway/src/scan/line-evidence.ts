import type { Role } from '@wattline/protocol'
import type { SerialFormat } from '../modbus/rtu-framing.ts'
import type { LengthTally, UnitTally } from './line-tally.ts'
import type { PhaseValues } from './plausibility.ts'

/** What can be wrong with a line, a device or its configuration. */
export type Fault =
  | 'a-b-swapped'
  | 'wrong-baud-rate'
  | 'wrong-parity'
  | 'duplicate-address'
  | 'missing-termination'
  | 'second-client'
  | 'shifted-map'
  | 'swapped-words'
  | 'reversed-feed'
  | 'transformer-on-wrong-phase'
  | 'slow-device'
  | 'nothing-there'
  | 'missing-device'
  | 'other-meter'
  | 'unknown-meter'

/** What was gathered of one unit id. */
export interface UnitEvidence {
  readonly unitId: number
  /** The line settings at which it answered. */
  readonly format?: SerialFormat
  /** What the config says of it. */
  readonly expected?: { readonly profile: string; readonly role: Role }
  readonly tally: Omit<UnitTally, 'lengths'> & { readonly lengths: readonly LengthTally[] }
  /** Serial numbers that answered, each once. */
  readonly serials: readonly string[]
  /** From the request's end to the answer's begin, the median. */
  readonly latencyMs?: number
  readonly identity?: { readonly profile: string; readonly shift: number; readonly swapped: boolean }
  readonly phases: readonly PhaseValues[]
}

/** What was gathered of one line. */
export interface LineEvidence {
  readonly kind: 'serial' | 'rtuOverTcp' | 'tcp'
  /** The line settings that the config or the command line names. */
  readonly expected?: SerialFormat
  /** Whether every setting and every unit id was tried. */
  readonly searchedAll: boolean
  readonly idleBytes: number
  readonly noiseBytes: number
  readonly levelBytes: number
  readonly foreignRequests: number
  readonly foreignAnswers: number
  readonly units: readonly UnitEvidence[]
  /** Unit ids of the config that nobody answers at. */
  readonly missing: readonly number[]
}

/** One guess: what, where, how sure, in words, and what to check in which order. */
export interface Diagnosis {
  readonly fault: Fault
  readonly unitId?: number
  readonly certainty: 'almost certain' | 'likely' | 'possible'
  /** Between 0 and 1; the first guess has the highest. */
  readonly weight: number
  readonly sentence: string
  readonly check: readonly string[]
}

/** What a rule found, before it is put into words. */
export interface Finding {
  readonly weight: number
  readonly unit?: UnitEvidence
  readonly detail?: string
}
