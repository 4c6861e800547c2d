import { fieldsOf } from '../json-place.ts'

/** Nominal voltage between phase and neutral, with which ampere and watt are compared. */
const phaseVoltage = 230
/** OCPP: what a schedule has that says nothing of phases. */
const usualPhases = 3

/** Lowers every limit of a charging profile to what the site allows; gives how many were. Changes the profile. */
export function capProfile(profile: unknown, mostAmps: number): number {
  const schedule = fieldsOf(profile)?.['chargingSchedule']
  const schedules = Array.isArray(schedule) ? schedule : [schedule]
  return schedules.reduce<number>((sum, one) => sum + capSchedule(fieldsOf(one) ?? {}, mostAmps), 0)
}

function capSchedule(schedule: Record<string, unknown>, mostAmps: number): number {
  const periods = schedule['chargingSchedulePeriod']
  if (!Array.isArray(periods)) return 0
  let lowered = 0
  for (const period of periods.map(fieldsOf)) {
    if (period === undefined) continue
    const { numberPhases } = period
    const phases = typeof numberPhases === 'number' && numberPhases >= 1 ? numberPhases : usualPhases
    const isInWatts = schedule['chargingRateUnit'] === 'W'
    // limit_L2 and limit_L3 (OCPP 2.1) are of one phase each, and so is limit beside them.
    const ofOnePhase = period['limit_L2'] !== undefined || period['limit_L3'] !== undefined
    const most = isInWatts ? mostAmps * phaseVoltage * (ofOnePhase ? 1 : phases) : mostAmps
    for (const name of ['limit', 'limit_L2', 'limit_L3']) {
      const limit = period[name]
      if (typeof limit !== 'number' || limit <= most) continue
      // OCPP: one digit behind the point, and never more than is allowed.
      period[name] = Math.floor(most * 10) / 10
      lowered++
    }
  }
  return lowered
}
