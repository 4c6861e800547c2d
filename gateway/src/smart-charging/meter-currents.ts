import type { OtherValue, OtherValues } from '../modbus/other-values.ts'
import type { PhaseCurrents } from './site.ts'
import { phaseNames } from './site-config.ts'

const nominalV = 230

/**
 * What flows through each phase, below zero where it flows out. Most meters tell the current without its direction: a
 * roof that feeds 20 A into the grid would look like a load of 20 A. Undefined where one phase could not be read.
 */
export function toPhaseCurrents(values: OtherValues, phases: readonly number[]): PhaseCurrents | undefined {
  const currents = [0, 0, 0] as [number, number, number]
  for (const phase of phases) {
    const current = currentOf(values.list, phase, phases.length === 1)
    if (current === undefined) return undefined
    currents[phase] = current
  }
  return currents
}

function currentOf(list: readonly OtherValue[], phase: number, isOnly: boolean): number | undefined {
  const find = (measurand: OtherValue['measurand']) =>
    (
      list.find((one) => one.measurand === measurand && one.phase === phaseNames[phase]) ??
      (isOnly ? list.find((one) => one.measurand === measurand && one.phase === undefined) : undefined)
    )?.value
  const [imported, exported] = [find('Power.Active.Import'), find('Power.Active.Export')]
  const power = imported === undefined ? undefined : imported - (exported ?? 0)
  const current = find('Current.Import')
  if (current === undefined) return power === undefined ? undefined : power / (find('Voltage') ?? nominalV)
  if (power !== undefined) return power < 0 ? -Math.abs(current) : Math.abs(current)
  // Without a power of its own, its direction is that of the whole where the whole is read, and else the worse one.
  const whole = list.find((one) => one.measurand === 'Power.Active.Import' && one.phase === undefined)?.value ?? 0
  return whole < 0 && isOnly ? -Math.abs(current) : current
}
