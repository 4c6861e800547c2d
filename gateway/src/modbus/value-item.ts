import { decodeQuantity, decodeScaleFactor, type Quantity, registerShapes } from '@wattline/protocol'
import type { Span } from './planner.ts'

/** A quantity's registers, with its scale factor's where it has one: a factor of another moment would not fit. */
export interface ValueItem extends Span {
  readonly quantity: Quantity
}

/** `modelAddress` is where the SunSpec model was found, for profiles that have one. */
export function toItem(quantity: Quantity, modelAddress: number): ValueItem {
  const { address, scaleFactor = address, functionCode, type } = quantity
  const start = Math.min(address, scaleFactor)
  const end = Math.max(address + registerShapes[type].words, scaleFactor + 1)
  return { quantity, functionCode, address: modelAddress + start, count: end - start }
}

/** The value in its base unit. Throws where there is none. */
export function decodeItem({ quantity }: ValueItem, words: readonly number[]): number {
  const { address, scaleFactor } = quantity
  const start = Math.min(address, scaleFactor ?? address)
  const factor = scaleFactor === undefined ? 0 : decodeScaleFactor(words[scaleFactor - start], quantity)
  return decodeQuantity(words.slice(address - start), quantity, factor)
}
