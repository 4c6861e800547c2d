import type { Sample } from './durable-state.ts'
import type { Quirks } from './quirks.ts'
import { voltageV } from './vehicle.ts'

/** One sampled value before a version has written it down. */
export interface SampledValue {
  readonly value: number | string
  readonly context?: string
  readonly measurand?: string
  readonly phase?: string
  readonly unit?: string
}

const phaseNames = ['L1', 'L2', 'L3'] as const
const modulusWh = { 'roll-over-32-bit': 2 ** 32, 'roll-over-six-digits': 1_000_000 } as const

/** The register as the station tells it, which is what it counts unless it has a habit. */
export function shownRegisterWh(registerWh: number, startWh: number, quirks: Quirks): number {
  const counted = quirks.has('register-per-session') ? registerWh - startWh : registerWh
  if (quirks.has('roll-over-32-bit')) return round3(counted % modulusWh['roll-over-32-bit'])
  if (quirks.has('roll-over-six-digits')) return round3(counted % modulusWh['roll-over-six-digits'])
  return round3(counted)
}

/** What one sample holds, restricted to the measurands that are asked for; energy is always there. */
export function sampledValues(
  sample: Sample,
  options: { readonly startWh: number; readonly measurands: readonly string[]; readonly quirks: Quirks },
): readonly SampledValue[] {
  const { quirks, measurands } = options
  const context = sample.context
  const energy = energyValues(sample, options.startWh, quirks)
  const rest: SampledValue[] = [
    { value: sample.powerW, context, measurand: 'Power.Active.Import', unit: 'W' },
    ...sample.currentA.map((value, i) => current(value, context, phaseNames[i] ?? 'L1', quirks)),
    { value: voltageV, context, measurand: 'Voltage', phase: 'L1-N', unit: 'V' },
    { value: sample.offeredA, context, measurand: 'Current.Offered', unit: 'A' },
  ]
  if (quirks.has('odd-phases')) rest.push({ value: 0, context, measurand: 'Current.Import', phase: 'N', unit: 'A' })
  if (sample.socPercent !== undefined) {
    rest.push({ value: sample.socPercent, context, measurand: 'SoC', unit: 'Percent' })
  }
  const asked = rest.filter(({ measurand }) => measurands.includes(measurand ?? ''))
  return [...energy, ...asked].map((value) => (quirks.has('no-unit') ? withoutUnit(value) : value))
}

function current(value: number, context: string, phase: string, quirks: Quirks): SampledValue {
  const base = {
    context,
    measurand: 'Current.Import',
    phase: quirks.has('odd-phases') ? `${phase}-N` : phase,
    unit: 'A',
  }
  return { ...base, value: quirks.has('empty-value') ? '' : value }
}

function energyValues(sample: Sample, startWh: number, quirks: Quirks): readonly SampledValue[] {
  const value = (registerWh: number, context: string): SampledValue => {
    const wh = shownRegisterWh(registerWh, startWh, quirks)
    const measurand = quirks.has('export-register') ? 'Energy.Active.Export.Register' : 'Energy.Active.Import.Register'
    return {
      value: quirks.has('kwh-values') ? round6(wh / 1000) : wh,
      context,
      ...(quirks.has('no-measurand') ? {} : { measurand }),
      unit: quirks.has('kwh-values') ? 'kWh' : quirks.has('wrong-unit') ? 'Celsius' : 'Wh',
    }
  }
  const present = value(sample.registerWh, sample.context)
  if (!quirks.has('two-contexts') || sample.context === 'Transaction.Begin') return [present]
  return [present, value(startWh, 'Transaction.Begin')]
}

function withoutUnit({ unit: _, ...value }: SampledValue): SampledValue {
  return value
}

function round3(value: number): number {
  return Math.round(value * 1000) / 1000
}

function round6(value: number): number {
  return Math.round(value * 1_000_000) / 1_000_000
}
