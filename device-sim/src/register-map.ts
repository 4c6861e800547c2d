import {
  encodeCommonModel,
  encodeSunSpecMap,
  encodeText,
  type MeterProfile,
  type Quantity,
  registerWords,
  type SerialRegister,
} from '@wattline/protocol'

/** What stands in one place of a meter's registers. */
export type Slot =
  | { readonly kind: 'quantity'; readonly quantity: Quantity; readonly scaleFactor: number }
  | { readonly kind: 'serial'; readonly register: SerialRegister }
  | { readonly kind: 'fixed'; readonly words: readonly number[] }

export interface PlacedSlot {
  readonly slot: Slot
  readonly functionCode: 3 | 4
  readonly address: number
  readonly length: number
}

// Powers of ten that a SunSpec meter would choose: 1 Wh, 1 W, 10 mA, 0.1 V, 10 mHz.
const scaleFactors: Readonly<Partial<Record<Quantity['unit'], number>>> = { A: -2, V: -1, Hz: -2 }
const notImplemented = 0x8000

/** Lays out every register that a profile names, at its real address. */
export function layOutRegisters(profile: MeterProfile, sunspecBase: number): readonly PlacedSlot[] {
  return profile.sunspec === undefined ? layOutPlain(profile) : layOutSunSpec(profile, profile.sunspec, sunspecBase)
}

function layOutPlain(profile: MeterProfile): readonly PlacedSlot[] {
  const serial = profile.serial === undefined ? [] : [placeSerial(profile.serial, profile.serial.address)]
  const quantities = profile.quantities.map((quantity) =>
    placeQuantity(quantity, quantity.address, scaleFactorOf(quantity)),
  )
  return [...listFixed(profile), ...quantities, ...serial]
}

// What tells the model, and the powers of ten. Where a profile covers several models, this is the first of them.
function listFixed({ fingerprints = [], quantities }: MeterProfile): readonly PlacedSlot[] {
  const factors = quantities.flatMap((q) =>
    q.scaleFactor === undefined ? [] : [placeFixed(q.functionCode, q.scaleFactor, [scaleFactorOf(q) & 0xffff])],
  )
  const marks = fingerprints.map(({ functionCode, address, words, wordIn = [] }) =>
    placeFixed(
      functionCode,
      address,
      (words ?? wordIn.slice(0, 1)).map((hex) => Number.parseInt(hex, 16)),
    ),
  )
  // Later slots stand over earlier ones.
  return [...factors, ...marks.toReversed()]
}

function scaleFactorOf({ scaleFactor, unit }: Quantity): number {
  return scaleFactor === undefined ? 0 : (scaleFactors[unit] ?? 0)
}

function layOutSunSpec(
  profile: MeterProfile,
  model: { model: number; length: number },
  base: number,
): readonly PlacedSlot[] {
  const common = encodeCommonModel({ manufacturer: 'Wattline', model: 'Simulated meter', version: '1', serial: '' })
  const data = Array.from({ length: model.length }, () => notImplemented)
  const commonAddress = base + 2
  const modelAddress = commonAddress + 2 + common.data.length
  for (const quantity of profile.quantities) {
    if (quantity.scaleFactor !== undefined) data[quantity.scaleFactor - 2] = scaleFactorOf(quantity) & 0xffff
  }
  const map = encodeSunSpecMap([common, { id: model.model, data }])
  const fixed = placeFixed(3, base, map)
  const quantities = profile.quantities.map((quantity) =>
    placeQuantity(quantity, modelAddress + quantity.address, scaleFactorOf(quantity)),
  )
  const serial =
    profile.serial === undefined
      ? []
      : [placeSerial(profile.serial, serialAddress(profile.serial, commonAddress, modelAddress))]
  // Later slots stand over earlier ones.
  return [fixed, ...quantities, ...serial]
}

function serialAddress(serial: SerialRegister, commonAddress: number, modelAddress: number): number {
  const isCommon = serial.type === 'string' && serial.sunspecModel === 1
  return (isCommon ? commonAddress : modelAddress) + serial.address
}

function placeQuantity(quantity: Quantity, address: number, scaleFactor: number): PlacedSlot {
  const slot: Slot = { kind: 'quantity', quantity, scaleFactor }
  return { slot, functionCode: quantity.functionCode, address, length: registerWords(quantity.type) }
}

function placeFixed(functionCode: 3 | 4, address: number, words: readonly number[]): PlacedSlot {
  return { slot: { kind: 'fixed', words }, functionCode, address, length: words.length }
}

function placeSerial(register: SerialRegister, address: number): PlacedSlot {
  const length = register.type === 'string' ? register.words : 2
  return { slot: { kind: 'serial', register }, functionCode: register.functionCode, address, length }
}

/** Encodes a serial number as its register holds it. */
export function encodeSerial(serial: string, register: SerialRegister): number[] {
  if (register.type === 'string') {
    // Some of the meters that put zeros anywhere have one character in a word.
    const spread = register.skipZeros === true && serial.length <= register.words
    return encodeText(spread ? [...serial].map((c) => `\0${c}`).join('') : serial, register.words)
  }
  const number = Number(serial)
  const words = [Math.floor(number / 2 ** 16), number % 2 ** 16]
  return register.wordOrder === 'big' ? words : words.reverse()
}
