import { decodeQuantity, decodeScaleFactor, type Quantity, registerWords } from '@wattline/protocol'
import type { Span } from './planner.ts'

/** A quantity's registers, with its scale factor's where it has one: a factor of another moment would not fit. */
export interface ValueItem extends Span {
  readonly quantity: Quantity
  /** Zero-based PDU address of the value itself. */
  readonly valueAddress: number
}

/** `modelAddress` is where the SunSpec model was found, for profiles that have one. */
export function toItem(quantity: Quantity, modelAddress: number): ValueItem {
  const { address, scaleFactor = address, functionCode, type } = quantity
  const start = Math.min(address, scaleFactor)
  const end = Math.max(address + registerWords(type), scaleFactor + 1)
  return {
    quantity,
    functionCode,
    address: modelAddress + start,
    count: end - start,
    valueAddress: modelAddress + address,
  }
}

/** The value's own words, and its scale factor's. */
export function valueWords(
  { quantity, address, valueAddress }: ValueItem,
  words: readonly number[],
): { readonly words: readonly number[]; readonly scaleFactor?: number } {
  const from = valueAddress - address
  const own = words.slice(from, from + registerWords(quantity.type))
  if (quantity.scaleFactor === undefined) return { words: own }
  const scaleFactor = words[from + quantity.scaleFactor - quantity.address]
  return { words: own, ...(scaleFactor === undefined ? {} : { scaleFactor }) }
}

/** The value in its base unit. Throws where there is none. */
export function decodeItem(item: ValueItem, words: readonly number[]): number {
  const { quantity } = item
  const own = valueWords(item, words)
  const factor = quantity.scaleFactor === undefined ? 0 : decodeScaleFactor(own.scaleFactor, quantity)
  return decodeQuantity(own.words, quantity, factor)
}

/** The measurand, with its phase where it has one. */
export function nameOf({ measurand, phase }: Quantity): string {
  return phase === undefined ? measurand : `${measurand} ${phase}`
}
