import type { Quantity } from '@wattline/protocol'

/** One value as a profile reads it, in its base unit; absent where it could not be read or decoded. */
export interface Reading {
  readonly measurand: Quantity['measurand']
  readonly phase?: NonNullable<Quantity['phase']>
  readonly value?: number
  readonly isTotal: boolean
  /** Whether its less significant word holds anything. */
  readonly isFull?: boolean
}

/** What one phase, or the whole meter, shows of voltage against current. */
export interface PhaseValues {
  /** Absent for the whole meter. */
  readonly phase?: string
  readonly volts?: number
  readonly amps?: number
  readonly watts?: number
  readonly powerFactor?: number
}

export interface Verdict {
  /** Whether a mains voltage and a mains frequency were read. */
  readonly volts: boolean
  readonly hertz: boolean
  /** A counter higher than a lifetime of use. */
  readonly absurdEnergy: boolean
  /** How well the values fit together. */
  readonly score: number
}

/** IEC 60038: 120 and 230 V, with more room than any grid needs. */
export const isMainsVoltage = (volts: number) => (volts > 95 && volts < 145) || (volts > 180 && volts < 280)
const isMainsFrequency = (hertz: number) => (hertz > 47 && hertz < 53) || (hertz > 57 && hertz < 63)
/** A phase that is not connected. Not a float of another register, which is next to nothing. */
export const isDeadVoltage = (volts: number) => volts === 0 || (Math.abs(volts) > 1e-3 && Math.abs(volts) < 20)
// A float with its words swapped, read one address off, differs from the right one by its last digits alone: they
// are missing where the map has a hole.
const fullScore = 0.1
const absurdWh = 1e9
const limits: Readonly<Partial<Record<Quantity['measurand'], number>>> = {
  'Power.Factor': 1.02,
  'Current.Import': 10_000,
  'Power.Active.Import': 1e7,
  'Power.Active.Export': 1e7,
}

/** Judges whether values can be those of a meter on the mains. */
export function judge(readings: readonly Reading[]): Verdict {
  const of = (measurand: Quantity['measurand']) => readings.filter((reading) => reading.measurand === measurand)
  const voltages = of('Voltage').flatMap(({ value }) => value ?? [])
  const volts = voltages.some(isMainsVoltage) && voltages.every((one) => isMainsVoltage(one) || isDeadVoltage(one))
  const hertz = of('Frequency').some(({ value }) => value !== undefined && isMainsFrequency(value))
  const energies = readings.flatMap((one) => (one.isTotal && one.value !== undefined ? [Math.abs(one.value)] : []))
  return {
    volts,
    hertz,
    absurdEnergy: energies.some((wh) => wh > absurdWh),
    score: readings
      .map((one) => scoreOf(one) + (one.isFull === true ? fullScore : 0))
      .reduce((sum, one) => sum + one, 0),
  }
}

// What a value speaks for its profile. A phase without voltage speaks for a profile with fewer phases, and a 0 may
// stand where the meter has no such register at all.
function scoreOf({ measurand, value, isTotal }: Reading): number {
  if (value === undefined) return -1
  const size = Math.abs(value)
  if (measurand === 'Voltage') return isMainsVoltage(value) ? 1.5 : -1
  if (measurand === 'Frequency') return isMainsFrequency(value) ? 2 : -2
  // A denormal float is a small integer read as a float.
  if (isTotal) return size === 0 ? 0.5 : size < absurdWh && size > 1e-3 ? 1 : -1
  const limit = limits[measurand]
  if (limit === undefined || size === 0) return 0
  return size <= limit ? 0.25 : -1
}

// Below this, noise decides on the sign.
const leastAmps = 0.2

/** Voltage against current per phase, and for the whole meter where phases are not told. */
export function toPhases(readings: readonly Reading[]): readonly PhaseValues[] {
  const readValue = (measurand: Quantity['measurand'], phase: string | undefined) =>
    readings.find((one) => one.measurand === measurand && one.phase === phase)?.value
  const phases = [...new Set(readings.flatMap(({ phase }) => phase ?? []))].filter((phase) => phase !== 'N')
  const perPhase = phases.map((phase) => toPhase(phase, (measurand) => readValue(measurand, phase)))
  const known = perPhase.filter(({ powerFactor }) => powerFactor !== undefined)
  if (known.length > 0) return known
  const whole = toPhase(undefined, (measurand) => readValue(measurand, undefined))
  const amps = perPhase.flatMap((one) => one.amps ?? []).reduce((sum, one) => sum + Math.abs(one), 0)
  const volts = perPhase.flatMap((one) => one.volts ?? []).find(isMainsVoltage)
  return [complete({ ...(volts === undefined ? {} : { volts }), amps, ...whole })]
}

function toPhase(
  phase: string | undefined,
  read: (measurand: Quantity['measurand']) => number | undefined,
): PhaseValues {
  const defined = <K extends string>(key: K, value: number | undefined) => (value === undefined ? {} : { [key]: value })
  return complete({
    ...(phase === undefined ? {} : { phase }),
    ...defined('volts', read('Voltage')),
    ...defined('amps', read('Current.Import')),
    ...defined('watts', toWatts(read('Power.Active.Import'), read('Power.Active.Export'))),
    ...defined('powerFactor', read('Power.Factor')),
  })
}

// Some meters have a register for each direction.
function toWatts(imported: number | undefined, exported: number | undefined): number | undefined {
  return imported === undefined ? undefined : imported - Math.max(0, exported ?? 0)
}

// Power by voltage times current; the meter's own power factor where one of them is missing.
function complete(values: PhaseValues): PhaseValues {
  const { volts, amps, watts, powerFactor, ...rest } = values
  const size = (volts ?? 0) * Math.abs(amps ?? 0)
  const measured = { ...(volts === undefined ? {} : { volts }), ...(amps === undefined ? {} : { amps }) }
  const power = watts === undefined ? {} : { watts }
  if (Math.abs(amps ?? 1) < leastAmps) return { ...rest, ...measured, ...power }
  if (size > 0 && watts !== undefined) return { ...rest, ...measured, ...power, powerFactor: watts / size }
  return { ...rest, ...measured, ...power, ...(powerFactor === undefined ? {} : { powerFactor }) }
}
