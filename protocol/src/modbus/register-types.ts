import type { Rational } from '../units.ts'
import type { Quantity, RegisterType } from './meter-profile.ts'
import { one, powerOfTen } from './rational.ts'

/** How many words a register of that type takes, and how its bits are read. */
export interface RegisterShape {
  readonly words: 1 | 2 | 4
  readonly kind: 'unsigned' | 'signed' | 'float'
}

/** SunSpec's acc32 and acc64 are unsigned counters that roll over at their full width. */
export const registerShapes: Readonly<Record<RegisterType, RegisterShape>> = {
  uint16: { words: 1, kind: 'unsigned' },
  int16: { words: 1, kind: 'signed' },
  uint32: { words: 2, kind: 'unsigned' },
  int32: { words: 2, kind: 'signed' },
  uint64: { words: 4, kind: 'unsigned' },
  int64: { words: 4, kind: 'signed' },
  float32: { words: 2, kind: 'float' },
  float64: { words: 4, kind: 'float' },
  acc32: { words: 2, kind: 'unsigned' },
  acc64: { words: 4, kind: 'unsigned' },
}

/** How many words a register of that type takes. */
export function registerWords(type: RegisterType): number {
  return registerShapes[type].words
}

/** What one unit is worth in Wh, or in the measurand's base unit (W, V, A, Hz, 1, Percent). */
export const unitFactors: Readonly<Record<Quantity['unit'], Rational>> = {
  Wh: one,
  kWh: powerOfTen(3),
  MWh: powerOfTen(6),
  W: one,
  kW: powerOfTen(3),
  V: one,
  A: one,
  mA: powerOfTen(-3),
  Hz: one,
  '1': one,
  Percent: one,
}
