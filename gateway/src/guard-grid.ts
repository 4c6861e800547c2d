import type { OtherValue, OtherValues } from './modbus/other-values.ts'

/** From, to. */
export type Range = readonly [number, number]

/** What a grid's voltage (phase to neutral) and frequency may be. */
export interface GridLimits {
  /** A voltage fits where it lies in one of these. */
  readonly voltageV: readonly Range[]
  readonly frequencyHz: Range
}

/**
 * EN 50160 allows 230 V ± 10 % and for a while - 15 %, ANSI C84.1 120 V ± 6 %, Japan has 100 V; long lines, islands and
 * the meter's own error come on top. Of all values of a 16-bit register in tenths of a volt one in 43 falls in here, so
 * a wrong register map rarely shows a grid.
 */
export const defaultGridLimits: GridLimits = {
  voltageV: [
    [90, 150],
    [180, 270],
  ],
  frequencyHz: [45, 65],
}

/** Below this a phase counts as dead: a meter does not measure exactly nothing. */
const deadV = 5

/** What the values of a moment say of the grid: nothing, that it is dead, that it is one, or why it is none. */
export type GridVerdict =
  | { readonly kind: 'untold' | 'dead' | 'sound' }
  | { readonly kind: 'odd'; readonly reason: string }

/**
 * Judges voltages and frequency. One phase that fits is enough, with the others anywhere below: a blown fuse or a single
 * phase on a three-phase meter says nothing against its register. A voltage above all limits is odd on any phase.
 */
export function judgeGrid(values: OtherValues, limits: GridLimits): GridVerdict {
  const voltages = pickVoltages(values.list)
  const frequency = values.list.find(({ measurand }) => measurand === 'Frequency')
  if (voltages.length === 0 && frequency === undefined) return { kind: 'untold' }
  const live = voltages.filter(({ value }) => Math.abs(value) >= deadV)
  const highest = Math.max(...limits.voltageV.map(([, high]) => high))
  const wild = live.find(({ value }) => value < 0 || value > highest)
  const fits = live.some(({ value }) => limits.voltageV.some((range) => isWithin(value, range)))
  if (wild !== undefined || (live.length > 0 && !fits)) {
    const told = (wild === undefined ? live : [wild]).map(({ phase, value }) =>
      [phase, `${value} V`].filter(Boolean).join(' '),
    )
    return { kind: 'odd', reason: `${told.join(', ')}, expected ${limits.voltageV.map(formatRange).join(' or ')} V` }
  }
  const dead = live.length === 0
  if (frequency !== undefined && !isWithin(frequency.value, limits.frequencyHz) && !(dead && frequency.value === 0)) {
    return { kind: 'odd', reason: `${frequency.value} Hz, expected ${formatRange(limits.frequencyHz)} Hz` }
  }
  // Some meters go on to tell the frequency that they last saw.
  return { kind: dead && (voltages.length > 0 || frequency?.value === 0) ? 'dead' : 'sound' }
}

// The value over all phases is a mean, which a dead phase pulls down: it counts only where there is no other.
function pickVoltages(list: readonly OtherValue[]): readonly OtherValue[] {
  const all = list.filter(({ measurand, phase }) => measurand === 'Voltage' && phase !== 'N')
  const single = all.filter(({ phase }) => phase !== undefined)
  return single.length > 0 ? single : all
}

function isWithin(value: number, [low, high]: Range): boolean {
  return value >= low && value <= high
}

function formatRange([low, high]: Range): string {
  return `${low} to ${high}`
}
