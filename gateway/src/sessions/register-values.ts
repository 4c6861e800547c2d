import { fieldsOf } from '../ocpp/json-place.ts'

/** One value of the register that a place's energy is counted with, as a station claims it. */
export interface RegisterValue {
  readonly wh: bigint
  /** By the station's clock, in ms since 1970. */
  readonly claimedAt: number
  /** `begin`: the register as it was when the session began, whenever it is told. */
  readonly mark: 'now' | 'begin' | 'end'
}

/** What meter values tell of the register, and what in them could not be read, in words. */
export interface ReadValues {
  readonly values: readonly RegisterValue[]
  readonly faults: readonly string[]
}

const importRegister = 'Energy.Active.Import.Register'
/** Above this no register of a charging station is: 9 PWh. */
const mostWh = 9_007_199_254_740_991n

/** Reads the import register from OCPP's `meterValue` or `transactionData`, oldest first. */
export function readRegisterValues(meterValue: unknown): ReadValues {
  const values: RegisterValue[] = []
  const faults: string[] = []
  for (const entry of Array.isArray(meterValue) ? meterValue : []) {
    const { timestamp, sampledValue } = fieldsOf(entry) ?? {}
    const claimedAt = Date.parse(String(timestamp))
    const samples = (Array.isArray(sampledValue) ? sampledValue : []).filter(isRegister)
    if (Number.isNaN(claimedAt)) continue
    for (const [mark, sample] of [
      ['begin', chooseTotal(samples.filter(isBegin))],
      ['now', chooseTotal(samples.filter((one) => !isBegin(one)))],
    ] as const) {
      const wh = sample && toWh(sample)
      if (wh !== undefined) values.push({ wh, claimedAt, mark })
      else if (sample !== undefined) faults.push(`no energy: ${JSON.stringify(sample).slice(0, 120)}`)
    }
  }
  return { values: values.toSorted((a, b) => a.claimedAt - b.claimedAt), faults }
}

// The export register never counts as consumption, whatever a station means by it. `Outlet` is what goes to the
// vehicle, and the default; a signed text is read by those who verify it.
function isRegister(sample: unknown): boolean {
  const { measurand = importRegister, location = 'Outlet', format } = fieldsOf(sample) ?? {}
  return measurand === importRegister && location === 'Outlet' && format !== 'SignedData'
}

function isBegin(sample: unknown): boolean {
  return fieldsOf(sample)?.['context'] === 'Transaction.Begin'
}

// A value of one phase is the whole only where no other phase is told.
function chooseTotal(samples: readonly unknown[]): Record<string, unknown> | undefined {
  const total = samples.find((sample) => fieldsOf(sample)?.['phase'] === undefined)
  return fieldsOf(total ?? (samples.length === 1 ? samples[0] : undefined))
}

function toWh({ value, unit, unitOfMeasure }: Record<string, unknown>): bigint | undefined {
  const { unit: unit2, multiplier } = fieldsOf(unitOfMeasure) ?? {}
  const name = unit ?? unit2 ?? 'Wh'
  if (name !== 'Wh' && name !== 'kWh') return undefined
  return parseWh(String(value), (name === 'kWh' ? 3 : 0) + (typeof multiplier === 'number' ? multiplier : 0))
}

/** A decimal number times a power of ten in whole watt-hours, cut, never rounded up (SPEC-101). */
export function parseWh(text: string, powerOfTen: number): bigint | undefined {
  const match = /^\s*([+-]?)(\d{1,40})(?:\.(\d{0,40}))?(?:[eE]([+-]?\d{1,2}))?\s*$/.exec(text)
  if (match === null || Math.abs(powerOfTen) > 30) return undefined
  const [, sign, whole = '', fraction = '', power = '0'] = match
  const shift = Number(power) + powerOfTen - fraction.length
  const digits = BigInt(whole + fraction)
  const cut = shift >= 0 ? digits * 10n ** BigInt(shift) : digits / 10n ** BigInt(-shift)
  // Of values below zero only the sign matters: no register says that.
  const wh = sign === '-' && digits > 0n ? -1n : cut
  return wh > mostWh ? undefined : wh
}
