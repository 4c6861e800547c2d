import { WattError } from '../errors.ts'
import { type EnergyDirection, energyMeasurands, isEnergyTotal } from './measurands.ts'
import type { MeterProfile, Quantity } from './meter-profile.ts'
import { registerShapes } from './register-types.ts'
import { decodeEnergy, decodeScaleFactor, type EnergyRegister } from './registers.ts'

interface SnapshotPart {
  readonly direction: EnergyDirection
  readonly quantity: Quantity
  /** Words from the start of the answer. */
  readonly offset: number
  readonly scaleFactorOffset?: number
}

/** One request that holds every energy register of a reading, so that they belong to the same moment. */
export interface EnergySnapshotPlan {
  readonly functionCode: 3 | 4
  /** Zero-based PDU address. */
  readonly address: number
  /** Registers that the request must ask for at least; more do no harm. */
  readonly count: number
  readonly parts: readonly SnapshotPart[]
  readonly rolloverWh?: bigint
}

/** The energy registers of one moment. */
export type EnergySnapshot = { readonly [direction in EnergyDirection]?: EnergyRegister }

/**
 * Plans the one request of a reading. `modelAddress` is where the SunSpec model's ID register was found,
 * for profiles that have `sunspec`.
 */
export function planEnergySnapshot(
  profile: MeterProfile,
  directions: readonly EnergyDirection[],
  modelAddress = 0,
): EnergySnapshotPlan {
  const chosen = directions.map((direction) => ({ direction, quantity: findTotal(profile, direction) }))
  const [first] = chosen
  if (first === undefined) throw refuse(profile, 'no direction asked for')
  const { functionCode } = first.quantity
  if (chosen.some(({ quantity }) => quantity.functionCode !== functionCode)) {
    throw refuse(profile, 'its energy registers need two function codes, so one request cannot hold them')
  }
  const spans = chosen.flatMap(({ quantity }) => toSpans(quantity))
  const start = Math.min(...spans.map((span) => span.from))
  const count = Math.max(...spans.map((span) => span.to)) - start
  if (count > profile.maxRegisters) {
    throw refuse(profile, `its energy registers span ${count} registers, one request holds ${profile.maxRegisters}`)
  }
  return {
    functionCode,
    address: modelAddress + start,
    count,
    parts: chosen.map(({ direction, quantity }) => ({
      direction,
      quantity,
      offset: quantity.address - start,
      ...(quantity.scaleFactor === undefined ? {} : { scaleFactorOffset: quantity.scaleFactor - start }),
    })),
    ...(profile.rolloverWh === undefined ? {} : { rolloverWh: BigInt(profile.rolloverWh) }),
  }
}

/** Decodes the answer to a planned request; words beyond the plan's count are ignored. */
export function decodeEnergySnapshot(plan: EnergySnapshotPlan, words: readonly number[]): EnergySnapshot {
  if (words.length < plan.count) {
    throw new WattError('reading/short', `${plan.count} words expected at ${plan.address}, got ${words.length}`)
  }
  const known = plan.rolloverWh === undefined ? {} : { rolloverWh: plan.rolloverWh }
  return Object.fromEntries(
    plan.parts.map(({ direction, quantity, offset, scaleFactorOffset }) => {
      const factor = scaleFactorOffset === undefined ? 0 : decodeScaleFactor(words[scaleFactorOffset], quantity)
      return [direction, { ...known, ...decodeEnergy(words.slice(offset), quantity, factor) }]
    }),
  )
}

function findTotal(profile: MeterProfile, direction: EnergyDirection): Quantity {
  const measurand = energyMeasurands[direction]
  if (profile.cannotSign !== undefined) throw refuse(profile, `no record can be made of it: ${profile.cannotSign}`)
  const found = profile.quantities.find((q) => isEnergyTotal(q) && q.measurand === measurand)
  if (found === undefined) throw refuse(profile, `it has no ${measurand}`)
  return found
}

function toSpans(q: Quantity): { from: number; to: number }[] {
  const register = { from: q.address, to: q.address + registerShapes[q.type].words }
  return q.scaleFactor === undefined ? [register] : [register, { from: q.scaleFactor, to: q.scaleFactor + 1 }]
}

function refuse(profile: MeterProfile, problem: string): WattError {
  return new WattError('profile/invalid', `profile ${profile.id}: ${problem}`)
}
