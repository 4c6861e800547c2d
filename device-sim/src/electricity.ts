import { type Quantity, registerShapes } from '@wattline/protocol'

/** What a meter measures besides energy, at one moment. */
export interface Electricity {
  readonly powerMilliwatts: number
  /** The meter has a power of its own for each direction, none of them with a sign. */
  readonly splitsPower: boolean
  readonly phases: 1 | 2 | 3
  /** Simulated seconds since the start. */
  readonly seconds: number
  /** Phases whose current transformer sits on another phase's conductor. */
  readonly wrongPhases: readonly Phase[]
}

export type Phase = 'L1' | 'L2' | 'L3'

const phaseNumbers: Readonly<Record<NonNullable<Quantity['phase']>, number>> = { L1: 0, L2: 1, L3: 2, N: 3 }

/** The momentary value of a quantity in its base unit: a plausible grid, the load shared evenly by the phases. */
export function toMomentaryValue(quantity: Quantity, electricity: Electricity): number {
  const { powerMilliwatts, phases, seconds } = electricity
  const share = quantity.phase === undefined ? 1 : 1 / phases
  const watts = (powerMilliwatts / 1000) * share
  const inPhase = inPhaseShare(quantity.phase, electricity)
  switch (quantity.measurand) {
    case 'Power.Active.Import':
      return electricity.splitsPower ? Math.max(0, watts * inPhase) : watts * inPhase
    case 'Power.Active.Export':
      return Math.max(0, -watts * inPhase)
    case 'Voltage':
      return toVolts(quantity, seconds)
    case 'Current.Import':
      return Math.abs(watts) / (toVolts(quantity, seconds) * Math.abs(toPowerFactor(watts)))
    case 'Frequency':
      return Math.round(100 * (50 + 0.02 * Math.sin(seconds / 61))) / 100
    case 'Power.Factor':
      return toRegisterFactor(quantity, toPowerFactor(watts) * inPhase)
    case 'SoC':
      return 57
    default:
      throw new Error(`${quantity.measurand} is an energy`)
  }
}

// How much of a current is in phase with the voltage that it is measured against: cos 120 degrees where the
// transformer sits on another phase.
function inPhaseShare(phase: Quantity['phase'], { phases, wrongPhases }: Electricity): number {
  if (phase === undefined) return 1 - (1.5 * wrongPhases.length) / phases
  return wrongPhases.some((wrong) => wrong === phase) ? -0.5 : 1
}

function toVolts(quantity: Quantity, seconds: number): number {
  const phase = quantity.phase === undefined ? 0 : phaseNumbers[quantity.phase]
  return Math.round(10 * (230 + 2 * Math.sin(seconds / 97 + phase))) / 10
}

// Negative while energy is exported, and 1 on an idle line.
function toPowerFactor(watts: number): number {
  if (Math.abs(watts) < 1) return 1
  return watts < 0 ? -0.98 : 0.98
}

// A register without a sign tells only how much.
function toRegisterFactor({ type }: Quantity, factor: number): number {
  return registerShapes[type].kind === 'unsigned' ? Math.abs(factor) : factor
}
