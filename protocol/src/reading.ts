import type { ClockStatus, Timestamp } from './clock.ts'
import type { Wh } from './units.ts'

/** The direction of an energy register, seen from the place where the meter sits: import is consumption. */
export type Direction = 'import' | 'export'

/** Cumulative registers in watt-hours. A register that the point does not have, or that could not be read, is absent. */
export type Registers = Readonly<Partial<Record<Direction, Wh>>>

/** OCMF table 10, the values that Wattline uses. */
export type MeterStatus = 'G' | 'T' | 'D' | 'F' | 'M' | 'O' | 'X' | 'E' | 'I'

/**
 * What may be done with the energy of a reading.
 * - `sound`: the difference to the last sound register counts.
 * - `wrapped`: as sound, but a register has passed its width and began again at zero.
 * - `base`: counting starts anew from this register; nothing is counted up to it.
 * - `doubtful`: a register was read, is written down, and does not count.
 * - `absent`: nothing could be read.
 */
export type EnergyQuality = 'sound' | 'wrapped' | 'base' | 'doubtful' | 'absent'

interface StateRow {
  readonly status: MeterStatus
  /** OCMF table 7, EF: `E` says that the energy must not be used. */
  readonly errorFlags: '' | 'E'
  readonly energy: EnergyQuality
}

/** SPEC-20: every state of a reading, with the pair of OCMF `ST` and `EF` that names it. The order is part of the frame. */
export const readingStates = {
  ok: { status: 'G', errorFlags: '', energy: 'sound' },
  'roll-over': { status: 'O', errorFlags: '', energy: 'wrapped' },
  're-based': { status: 'X', errorFlags: '', energy: 'base' },
  'no-answer': { status: 'T', errorFlags: 'E', energy: 'absent' },
  disconnected: { status: 'D', errorFlags: 'E', energy: 'absent' },
  'read-error': { status: 'F', errorFlags: 'E', energy: 'absent' },
  'register-decreased': { status: 'M', errorFlags: 'E', energy: 'doubtful' },
  'implausible-jump': { status: 'O', errorFlags: 'E', energy: 'doubtful' },
  'meter-swapped': { status: 'X', errorFlags: 'E', energy: 'doubtful' },
  frozen: { status: 'E', errorFlags: 'E', energy: 'doubtful' },
  'implausible-grid': { status: 'I', errorFlags: 'E', energy: 'doubtful' },
  // The meter is well, and what it shows is true to a step: only the check of the energy has to wait.
  'too-coarse': { status: 'G', errorFlags: 'E', energy: 'doubtful' },
} as const satisfies Record<string, StateRow>

/** The named state of one reading. */
export type ReadingState = keyof typeof readingStates

/** All states in the order that the compact frame numbers them. */
export const readingStateNames = Object.keys(readingStates) as readonly ReadingState[]

/** The state that a pair of OCMF `ST` and `EF` names, or undefined where Wattline has none. */
export function toReadingState(status: string, errorFlags: string): ReadingState | undefined {
  return readingStateNames.find(
    (name) => readingStates[name].status === status && readingStates[name].errorFlags === errorFlags,
  )
}

/** One reading of one metering point. */
export interface MeterReading {
  readonly state: ReadingState
  /** When the answer arrived; for a reading that failed, when it was given up. */
  readonly takenAt: Timestamp
  readonly clockStatus: ClockStatus
  /** Empty exactly when the state's energy is `absent`. */
  readonly registers: Registers
}
