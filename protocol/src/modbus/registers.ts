import { WattError } from '../errors.ts'
import { type Rational, roundRational, type Wh } from '../units.ts'
import type { Quantity, SerialRegister } from './meter-profile.ts'
import {
  divide,
  floatStep,
  multiply,
  one,
  parseDecimal,
  powerOfTen,
  toExactRational,
  toNearestFloat,
} from './rational.ts'
import { registerShapes, unitFactors } from './register-types.ts'

/** A cumulative energy register, read once. */
export interface EnergyRegister {
  readonly registerWh: Wh
  /** The smallest difference that this register can show at its present height, at least 1 Wh. */
  readonly resolutionWh: number
  /** Where the register starts again at 0, if that is known. */
  readonly rolloverWh?: Wh
}

// OCMF's RV is a JSON number: above 2^53 - 1 Wh its readers would lose digits. No meter counts that far.
const maxRegisterWh = 2n ** 53n - 1n

/** Decodes an energy register to whole Wh, rounded once from its exact value. */
export function decodeEnergy(words: readonly number[], quantity: Quantity, scaleFactor = 0): EnergyRegister {
  const exact = multiply(decodeExact(words, quantity, scaleFactor), unitFactors[quantity.unit])
  if (exact.numerator < 0n) throw outOfRange(quantity, words, 'is negative')
  const registerWh = roundRational(exact)
  if (registerWh > maxRegisterWh) throw outOfRange(quantity, words, `is above ${maxRegisterWh} Wh`)
  const rolloverWh = toRolloverWh(quantity, scaleFactor)
  return {
    registerWh,
    resolutionWh: toResolutionWh(words, quantity, scaleFactor),
    ...(rolloverWh === undefined ? {} : { rolloverWh }),
  }
}

/** Decodes any other quantity, to its base unit: W, V, A, Hz, 1 or Percent. */
export function decodeQuantity(words: readonly number[], quantity: Quantity, scaleFactor = 0): number {
  const exact = multiply(decodeExact(words, quantity, scaleFactor), unitFactors[quantity.unit])
  return toNearestFloat(exact, 53)
}

/** Decodes a register to its exact value in the quantity's own unit. */
export function decodeExact(words: readonly number[], quantity: Quantity, scaleFactor = 0): Rational {
  const exact = multiply(decodeRaw(words, quantity), countValue(quantity, scaleFactor))
  return quantity.absolute === true && exact.numerator < 0n ? { ...exact, numerator: -exact.numerator } : exact
}

/** Encodes an energy as the nearest value that the register can hold; integer counters start again at 0 beyond. */
export function encodeEnergy(energyWh: Rational, quantity: Quantity, scaleFactor = 0): number[] {
  return encodeRaw(divide(energyWh, unitFactors[quantity.unit]), quantity, scaleFactor, 'wrap')
}

/** Encodes a value given in its base unit as the nearest value that the register can hold. */
export function encodeQuantity(value: number, quantity: Quantity, scaleFactor = 0): number[] {
  return encodeRaw(divide(toExactRational(value), unitFactors[quantity.unit]), quantity, scaleFactor, 'clamp')
}

/** Decodes a SunSpec sunssf: a power of ten between -10 and 10. */
export function decodeScaleFactor(word: number | undefined, quantity: Quantity): number {
  const where = `scale factor of ${describe(quantity)}`
  if (word === undefined) throw new WattError('reading/short', `${where}: no word`)
  if (word === 0x8000) throw new WattError('reading/not-implemented', `${where}: holds 0x8000`)
  const power = word > 0x7fff ? word - 0x1_0000 : word
  if (power < -10 || power > 10)
    throw new WattError('reading/out-of-range', `${where}: -10 to 10 expected, got ${power}`)
  return power
}

/** Decodes what tells this meter from another of its model. */
export function decodeSerial(words: readonly number[], register: SerialRegister): string {
  const expected = register.type === 'string' ? register.words : 2
  const where = `serial number at ${register.address}`
  if (words.length < expected) {
    throw new WattError('reading/short', `${where}: ${expected} words expected, got ${words.length}`)
  }
  if (register.type !== 'string') return someText(decodeSerialNumber(words, register), where)
  const text = someText(decodeText(words.slice(0, expected), register.skipZeros === true), where)
  // Such meters sometimes give the first character alone; the next time it is whole.
  if (register.skipZeros === true && text.length === 1) {
    throw new WattError('reading/short', `${where}: more than '${text}' expected`, { retryable: true })
  }
  return text
}

function someText(text: string, where: string): string {
  if (text === '') throw new WattError('reading/not-implemented', `${where}: is empty`)
  return text
}

function decodeSerialNumber(words: readonly number[], register: { wordOrder: Quantity['wordOrder'] }): string {
  const raw = joinWords(words.slice(0, 2), register.wordOrder)
  return raw === 0n || raw === 0xffff_ffffn ? '' : raw.toString()
}

function decodeText(words: readonly number[], skipZeros: boolean): string {
  const characters = words.flatMap((word) => [word >> 8, word & 0xff])
  const end = characters.indexOf(0)
  const kept = skipZeros ? characters.filter((c) => c !== 0) : characters.slice(0, end < 0 ? undefined : end)
  return String.fromCharCode(...kept).trim()
}

function decodeRaw(words: readonly number[], quantity: Quantity): Rational {
  const shape = registerShapes[quantity.type]
  if (words.length < shape.words) {
    throw new WattError('reading/short', `${describe(quantity)}: ${shape.words} words expected, got ${words.length}`)
  }
  const bits = joinWords(words.slice(0, shape.words), quantity.wordOrder)
  if (quantity.notImplemented?.some((value) => BigInt(value) === bits)) throw notImplemented(quantity, words)
  if (shape.kind !== 'float') {
    const raw = shape.kind === 'signed' ? BigInt.asIntN(shape.words * 16, bits) : bits
    return { numerator: raw, denominator: 1n }
  }
  const value = toFloat(bits, quantity)
  if (Number.isNaN(value)) throw notImplemented(quantity, words)
  if (!Number.isFinite(value)) throw outOfRange(quantity, words, 'is infinite')
  return toExactRational(value)
}

function encodeRaw(value: Rational, quantity: Quantity, scaleFactor: number, beyond: 'wrap' | 'clamp'): number[] {
  const shape = registerShapes[quantity.type]
  const width = shape.words * 16
  const counts = divide(value, countValue(quantity, scaleFactor))
  if (shape.kind === 'float') return splitWords(toBits(counts, quantity), quantity)
  const nearest = roundRational(counts)
  const [low, high] =
    shape.kind === 'signed'
      ? [-(1n << BigInt(width - 1)), (1n << BigInt(width - 1)) - 1n]
      : [0n, (1n << BigInt(width)) - 1n]
  // A counter rolls over within its positive values; a measured value stays at its end.
  const held = beyond === 'clamp' ? (nearest < low ? low : nearest > high ? high : nearest) : nearest % (high + 1n)
  return splitWords(BigInt.asUintN(width, held), quantity)
}

function countValue(quantity: Quantity, scaleFactor: number): Rational {
  return multiply(quantity.scale === undefined ? one : parseDecimal(quantity.scale), powerOfTen(scaleFactor))
}

function toResolutionWh(words: readonly number[], quantity: Quantity, scaleFactor: number): number {
  const shape = registerShapes[quantity.type]
  const unitWh = toNumber(unitFactors[quantity.unit])
  const step =
    shape.kind === 'float'
      ? floatStep(
          toFloat(joinWords(words.slice(0, shape.words), quantity.wordOrder), quantity),
          quantity.type === 'float32' ? 24 : 53,
        )
      : 1
  const own = quantity.resolution === undefined ? 0 : Number(quantity.resolution)
  return Math.max(1, step * Math.abs(toNumber(countValue(quantity, scaleFactor))) * unitWh, own * unitWh)
}

// Rounded down: a roll-over that is not a whole number of Wh must not add energy that nobody measured.
function toRolloverWh(quantity: Quantity, scaleFactor: number): Wh | undefined {
  if (quantity.type !== 'acc32' && quantity.type !== 'acc64') return undefined
  const width: Rational = { numerator: 1n << (quantity.type === 'acc32' ? 32n : 64n), denominator: 1n }
  const { numerator, denominator } = multiply(width, countValue(quantity, scaleFactor), unitFactors[quantity.unit])
  return numerator / denominator
}

function toNumber(value: Rational): number {
  return toNearestFloat(value, 53)
}

function toFloat(bits: bigint, quantity: Quantity): number {
  const view = new DataView(new ArrayBuffer(8))
  view.setBigUint64(0, bits)
  return quantity.type === 'float32' ? view.getFloat32(4) : view.getFloat64(0)
}

function toBits(value: Rational, quantity: Quantity): bigint {
  const view = new DataView(new ArrayBuffer(8))
  if (quantity.type === 'float32') view.setFloat32(4, toNearestFloat(value, 24))
  else view.setFloat64(0, toNearestFloat(value, 53))
  return view.getBigUint64(0)
}

function joinWords(words: readonly number[], order: Quantity['wordOrder']): bigint {
  const ordered = order === 'big' ? words : words.toReversed()
  return ordered.reduce((bits, word) => (bits << 16n) | BigInt(word), 0n)
}

function splitWords(bits: bigint, quantity: Quantity): number[] {
  const count = registerShapes[quantity.type].words
  const words = Array.from({ length: count }, (_, i) => Number((bits >> BigInt((count - 1 - i) * 16)) & 0xffffn))
  return quantity.wordOrder === 'big' ? words : words.reverse()
}

function describe(quantity: Quantity): string {
  return `${[quantity.measurand, quantity.phase].filter(Boolean).join(' ')} at ${quantity.address}`
}

function formatWords(words: readonly number[]): string {
  return words.map((word) => word.toString(16).padStart(4, '0')).join(' ')
}

function notImplemented(quantity: Quantity, words: readonly number[]): WattError {
  return new WattError(
    'reading/not-implemented',
    `${describe(quantity)}: no value, the meter sent ${formatWords(words)}`,
  )
}

function outOfRange(quantity: Quantity, words: readonly number[], problem: string): WattError {
  return new WattError(
    'reading/out-of-range',
    `${describe(quantity)}: ${formatWords(words)} (${quantity.type}) ${problem}`,
  )
}
