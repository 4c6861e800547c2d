import type { Measurand, Quantity, Timestamp } from '@wattline/protocol'

/** One value of a meter beside the totals that its records are made of. */
export interface OtherValue {
  readonly measurand: Measurand
  /** Absent for the value over all phases. */
  readonly phase?: NonNullable<Quantity['phase']>
  /** Where the meter counts each tariff on its own. */
  readonly tariff?: number
  /** In the measurand's base unit: W, V, A, Hz or 1; energies in Wh. */
  readonly value: number
}

/** What a meter tells beside its energy. Read at a slower pace, and never signed. */
export interface OtherValues {
  /** When the last of them was read. */
  readonly takenAt: Timestamp
  /** What could be read; the rest is absent. */
  readonly list: readonly OtherValue[]
}
