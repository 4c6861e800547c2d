import { decodeSerial, measurandUnits, type SerialRegister, WattError } from '@wattline/protocol'
import type { ItemOutcome } from './block-reader.ts'
import type { Span } from './planner.ts'
import { decodeItem, nameOf, type ValueItem, valueWords } from './value-item.ts'

/** The registers of a serial number. */
export interface SerialItem extends Span {
  readonly serial: SerialRegister
}

/** One entry of a meter's profile as it was just read, for people to look at. */
export interface RegisterReading {
  /** The measurand with its phase, or `serial number`. */
  readonly name: string
  readonly functionCode: 3 | 4
  /** Zero-based PDU address. */
  readonly address: number
  /** As they came; absent where nothing did. */
  readonly words?: readonly number[]
  /** The register that holds the power of ten, where there is one. */
  readonly scaleFactor?: number
  /** In the unit; absent where there is none. */
  readonly value?: number | string
  readonly unit: string
  /** Why there are no words, or no value in them. */
  readonly error?: WattError
}

/** What an item's outcome says. */
export function toReading(item: ValueItem | SerialItem, outcome: ItemOutcome): RegisterReading {
  const place = placeOf(item)
  if (!outcome.ok) return { ...place, error: outcome.error }
  const shown = 'serial' in item ? { words: outcome.words } : valueWords(item, outcome.words)
  try {
    const value = 'serial' in item ? decodeSerial(outcome.words, item.serial) : decodeItem(item, outcome.words)
    return { ...place, ...shown, value }
  } catch (error) {
    if (!(error instanceof WattError)) throw error
    return { ...place, ...shown, error }
  }
}

function placeOf(item: ValueItem | SerialItem): Pick<RegisterReading, 'name' | 'functionCode' | 'address' | 'unit'> {
  const { functionCode, address } = item
  if ('serial' in item) return { name: 'serial number', functionCode, address, unit: '' }
  const [unit] = measurandUnits[item.quantity.measurand]
  return { name: nameOf(item.quantity), functionCode, address: item.valueAddress, unit: unit === '1' ? '' : unit }
}
