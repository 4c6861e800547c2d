import type { Rational } from '../units.ts'

export const one: Rational = { numerator: 1n, denominator: 1n }

/** What a decimal in a profile looks like: digits, no exponent, so that what stands there is exact. */
export const decimalPattern = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/

/** Parses a decimal exactly: `-0.25` gives -25/100. The text must fit `decimalPattern`. */
export function parseDecimal(text: string): Rational {
  const [whole = '', fraction = ''] = text.split('.')
  return { numerator: BigInt(whole + fraction), denominator: 10n ** BigInt(fraction.length) }
}

export function multiply(...factors: readonly Rational[]): Rational {
  return factors.reduce(
    (a, b) => ({ numerator: a.numerator * b.numerator, denominator: a.denominator * b.denominator }),
    one,
  )
}

export function divide(a: Rational, b: Rational): Rational {
  const sign = b.numerator < 0n ? -1n : 1n
  return { numerator: sign * a.numerator * b.denominator, denominator: sign * a.denominator * b.numerator }
}

export function equals(a: Rational, b: Rational): boolean {
  return a.numerator * b.denominator === b.numerator * a.denominator
}

export function powerOfTen(exponent: number): Rational {
  const power = 10n ** BigInt(Math.abs(exponent))
  return exponent < 0 ? { numerator: 1n, denominator: power } : { numerator: power, denominator: 1n }
}

/** The exact dyadic rational that a finite float64 (or a float32 widened to one) stands for. */
export function toExactRational(value: number): Rational {
  const { negative, exponent, mantissa } = takeApart(value)
  const signed = negative ? -mantissa : mantissa
  return exponent < 0
    ? { numerator: signed, denominator: 1n << BigInt(-exponent) }
    : { numerator: signed << BigInt(exponent), denominator: 1n }
}

/** The distance from a finite float to the next one away from zero, for a significand of that many bits. */
export function floatStep(value: number, significandBits: 24 | 53): number {
  if (value === 0) return 0
  const { exponent, mantissa } = takeApart(value)
  return 2 ** (exponent + bitLength(mantissa) - significandBits)
}

/** The float nearest to a rational, ties to even, rounded once: dividing two numbers would round three times. */
export function toNearestFloat({ numerator, denominator }: Rational, significandBits: 24 | 53): number {
  if (numerator === 0n) return 0
  const magnitude = numerator < 0n ? -numerator : numerator
  // Two bits more than the significand, plus one that remembers whether anything was cut off.
  const shift = significandBits + 2 + bitLength(denominator) - bitLength(magnitude)
  const dividend = shift > 0 ? magnitude << BigInt(shift) : magnitude
  const divisor = shift < 0 ? denominator << BigInt(-shift) : denominator
  const sticky = dividend % divisor === 0n ? 0n : 1n
  const rounded = roundBits(((dividend / divisor) << 1n) | sticky, significandBits)
  const value = Number(rounded) * 2 ** (-shift - 1)
  return numerator < 0n ? -value : value
}

function roundBits(value: bigint, bits: number): bigint {
  const excess = BigInt(bitLength(value) - bits)
  const kept = value >> excess
  const rest = value - (kept << excess)
  const half = 1n << (excess - 1n)
  const up = rest > half || (rest === half && (kept & 1n) === 1n)
  return (up ? kept + 1n : kept) << excess
}

function bitLength(value: bigint): number {
  return value.toString(2).length
}

// IEEE 754-2019 §3.4: value = mantissa * 2^exponent, exactly.
function takeApart(value: number): { negative: boolean; exponent: number; mantissa: bigint } {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  const bits = view.getBigUint64(0)
  const biased = Number((bits >> 52n) & 0x7ffn)
  const fraction = bits & 0xf_ffff_ffff_ffffn
  return {
    negative: bits >> 63n === 1n,
    exponent: Math.max(biased, 1) - 1075,
    mantissa: biased === 0 ? fraction : fraction | (1n << 52n),
  }
}
