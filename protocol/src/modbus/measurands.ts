import type { Quantity } from './meter-profile.ts'

export const energyUnits = ['Wh', 'kWh', 'MWh'] as const

/** OCPP 2.0.1 MeasurandEnumType, the part that meters serve, each with the units it may come in. */
export const measurandUnits = {
  'Energy.Active.Import.Register': energyUnits,
  'Energy.Active.Export.Register': energyUnits,
  // Partial, resettable and writable counters: they tell an interval that anybody may restart.
  'Energy.Active.Import.Interval': energyUnits,
  'Energy.Active.Export.Interval': energyUnits,
  'Power.Active.Import': ['W', 'kW'],
  // Where a meter has two powers without a sign; Power.Active.Import is negative at export otherwise.
  'Power.Active.Export': ['W', 'kW'],
  Voltage: ['V'],
  'Current.Import': ['A', 'mA'],
  Frequency: ['Hz'],
  'Power.Factor': ['1'],
  SoC: ['Percent'],
} as const

export type Measurand = keyof typeof measurandUnits

export const measurandNames = [
  'Energy.Active.Import.Register',
  'Energy.Active.Export.Register',
  'Energy.Active.Import.Interval',
  'Energy.Active.Export.Interval',
  'Power.Active.Import',
  'Power.Active.Export',
  'Voltage',
  'Current.Import',
  'Frequency',
  'Power.Factor',
  'SoC',
] as const satisfies readonly Measurand[]

export type EnergyDirection = 'import' | 'export'

/** The register that a direction's records are made of. */
export const energyMeasurands = {
  import: 'Energy.Active.Import.Register',
  export: 'Energy.Active.Export.Register',
} as const satisfies Readonly<Record<EnergyDirection, Measurand>>

/** Whether a quantity is a total that records are made of. */
export function isEnergyTotal(q: Pick<Quantity, 'measurand' | 'phase'>): boolean {
  return q.phase === undefined && Object.values<Measurand>(energyMeasurands).includes(q.measurand)
}

/** How a quantity is called, and told from the others of its profile: measurand, phase, tariff. */
export function nameQuantity({ measurand, phase, tariff }: Pick<Quantity, 'measurand' | 'phase' | 'tariff'>): string {
  return [measurand, phase, tariff === undefined ? undefined : `T${tariff}`].filter(Boolean).join(' ')
}
