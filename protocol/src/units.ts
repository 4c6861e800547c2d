import { WattError } from './errors.ts'

/** Watt-hours. Also base units of WATT: 1 WATT = 1 kWh = 1000 base units, so 1 Wh is 1 base unit. */
export type Wh = bigint

/** Formats watt-hours as kilowatt-hours with exactly three decimals, the only form that a record carries. */
export function formatKwh(wh: Wh): string {
  const sign = wh < 0n ? '-' : ''
  const digits = (wh < 0n ? -wh : wh).toString().padStart(4, '0')
  return `${sign}${digits.slice(0, -3)}.${digits.slice(-3)}`
}

/** Parses kilowatt-hours with exactly three decimals: `12.345` gives 12345 Wh. */
export function parseKwh(text: string): Wh {
  const match = /^(-?)(0|[1-9]\d*)\.(\d{3})$/.exec(text)
  if (match === null) throw new WattError('record/malformed', `kWh with three decimals expected, got '${text}'`)
  const wh = BigInt(`${match[2]}${match[3]}`)
  return match[1] === '-' ? -wh : wh
}

/** An exact rational number: what a register holds before it is rounded once, to whole watt-hours. */
export interface Rational {
  readonly numerator: bigint
  /** Always positive. */
  readonly denominator: bigint
}

/** Rounds to the nearest integer, ties away from zero: monotonic, so a rising register never falls by rounding. */
export function roundRational({ numerator, denominator }: Rational): bigint {
  const negative = numerator < 0n
  const magnitude = negative ? -numerator : numerator
  const rounded = (2n * magnitude + denominator) / (2n * denominator)
  return negative ? -rounded : rounded
}
