import {
  encodeEnergy,
  encodeQuantity,
  type MeterProfile,
  nameQuantity,
  type Quantity,
  type Rational,
  registerWords,
} from '@wattline/protocol'
import { type Phase, toMomentaryValue } from './electricity.ts'
import { type Flow, millijoulesPerWh } from './energy-tree.ts'
import { Feed } from './feed.ts'
import { exceptionCodes, type RegisterReader } from './pdu.ts'
import { encodeSerial, layOutRegisters, type PlacedSlot, type Slot } from './register-map.ts'

export interface SimMeterOptions {
  readonly id: string
  readonly profile: MeterProfile
  readonly serial: string
  readonly startWh: { readonly import: bigint; readonly export: bigint }
  /** What has passed since the start; the meter looks at it whenever it is read. */
  readonly flow: Flow
  readonly sunspecBase?: number
  /** Simulated seconds since the start. */
  readonly seconds: () => number
}

/** What the meter counts in. Real meters count finer than their registers show. */
interface Measured {
  readonly importMillijoules: bigint
  readonly exportMillijoules: bigint
  /** What has flowed since the start: partial counters were reset then. */
  readonly since: { readonly importMillijoules: bigint; readonly exportMillijoules: bigint }
  readonly powerMilliwatts: number
  readonly seconds: number
  readonly wrongPhases: readonly Phase[]
}

/** One meter: counts what flows through it, and serves its registers as its profile describes them. */
export class SimMeter implements RegisterReader {
  readonly id: string
  readonly #options: SimMeterOptions
  readonly #slots: readonly PlacedSlot[]
  #serial: string
  #offset: { import: bigint; export: bigint }
  #width: bigint | undefined
  #held: Measured | undefined
  #valueless = false
  #shift = 0
  #wordsSwapped = false
  readonly #feed: Feed

  constructor(options: SimMeterOptions) {
    this.id = options.id
    this.#options = options
    this.#feed = new Feed(options.flow, options.profile.phases)
    this.#slots = layOutRegisters(options.profile, options.sunspecBase ?? 40_000)
    this.#serial = options.serial
    this.#offset = {
      import: options.startWh.import * millijoulesPerWh,
      export: options.startWh.export * millijoulesPerWh,
    }
  }

  get serial(): string {
    return this.#serial
  }

  /** What the registers would show now if they could show everything, in mJ. */
  get registers(): { importMillijoules: bigint; exportMillijoules: bigint } {
    const { importMillijoules, exportMillijoules } = this.#measure()
    return { importMillijoules, exportMillijoules }
  }

  /** What the meter measures besides energy, in base units, before a register rounds it. */
  get values(): Readonly<Record<string, number>> {
    const { profile } = this.#options
    const measured = this.#held ?? this.#measure()
    const momentary = profile.quantities.filter(({ measurand }) => !measurand.startsWith('Energy.'))
    return Object.fromEntries(
      momentary.map((quantity) => [nameQuantity(quantity), this.#momentary(quantity, measured)]),
    )
  }

  /** Freezes all registers, or lets them go on. */
  setStuck(stuck: boolean): void {
    this.#held = stuck ? this.#measure() : undefined
  }

  /** Makes every register hold what means "no value". */
  setValueless(valueless: boolean): void {
    this.#valueless = valueless
  }

  /** Serves every register so much further. */
  setShift(by: number): void {
    this.#shift = by
  }

  /** Serves values of several words in the other word order, or in their own. */
  setWordsSwapped(swapped: boolean): void {
    this.#wordsSwapped = swapped
  }

  /** Connects the meter otherwise than it should be. */
  connect(change: Parameters<Feed['connect']>[0]): void {
    this.#feed.connect(change)
  }

  /** Counts modulo a width from now on; without one, from 0. */
  rollOver(widthWh: number | undefined): void {
    if (widthWh === undefined) this.#restartAt(0n)
    else this.#width = BigInt(widthWh) * millijoulesPerWh
  }

  /** Another meter of the same model hangs here now. */
  swap(serial: string, startWh: number): void {
    this.#serial = serial
    this.#width = undefined
    this.#restartAt(BigInt(startWh) * millijoulesPerWh)
  }

  /** Both registers leap; none goes below 0. */
  jump(byWh: number): void {
    const by = BigInt(byWh) * millijoulesPerWh
    const { importMillijoules, exportMillijoules } = this.#measure()
    this.#offset.import += importMillijoules + by < 0n ? -importMillijoules : by
    this.#offset.export += exportMillijoules + by < 0n ? -exportMillijoules : by
  }

  /** Words of both kinds of registers. Between the named ones a meter shows 0, and far away an exception. */
  read(functionCode: 3 | 4, askedAddress: number, count: number): readonly number[] | number {
    const address = askedAddress - this.#shift
    const { maxRegisters } = this.#options.profile
    if (count > maxRegisters) return exceptionCodes.illegalDataValue
    const near = this.#slots.filter(
      (placed) => placed.functionCode === functionCode && distance(placed, address, count) <= this.#reach(),
    )
    if (near.length === 0) return exceptionCodes.illegalDataAddress
    const first = Math.min(...near.map((placed) => placed.address - this.#reach()))
    const end = Math.max(...near.map((placed) => placed.address + placed.length + this.#reach()))
    if (address < first || address + count > end) return exceptionCodes.illegalDataAddress
    const words = Array.from({ length: count }, () => 0)
    const measured = this.#held ?? this.#measure()
    for (const placed of near) overlay(words, address, placed, () => this.#encode(placed.slot, measured))
    return words
  }

  // A SunSpec map says itself where it ends. Other meters go on for a while with registers that no profile names.
  #reach(): number {
    return this.#options.profile.sunspec === undefined ? this.#options.profile.maxRegisters : 0
  }

  #measure(): Measured {
    const { counted, powerMilliwatts, wrongPhases } = this.#feed
    const cut = (value: bigint) => (this.#width === undefined ? value : value % this.#width)
    return {
      importMillijoules: cut(counted.import + this.#offset.import),
      exportMillijoules: cut(counted.export + this.#offset.export),
      since: { importMillijoules: counted.import, exportMillijoules: counted.export },
      powerMilliwatts,
      seconds: this.#options.seconds(),
      wrongPhases,
    }
  }

  #restartAt(millijoules: bigint): void {
    const { counted } = this.#feed
    this.#offset = { import: millijoules - counted.import, export: millijoules - counted.export }
  }

  #encode(slot: Slot, measured: Measured): readonly number[] {
    const words = this.#encodeInOrder(slot, measured)
    return this.#wordsSwapped && isNumber(slot) ? words.toReversed() : words
  }

  #encodeInOrder(slot: Slot, measured: Measured): readonly number[] {
    if (slot.kind === 'fixed') return slot.words
    if (slot.kind === 'serial') return encodeSerial(this.#serial, slot.register)
    if (this.#valueless) return encodeNoValue(slot.quantity)
    if (slot.quantity.measurand.startsWith('Energy.')) {
      const energy = energyOf(slot.quantity, measured, this.#options.profile.phases)
      return encodeEnergy(energy, slot.quantity, slot.scaleFactor)
    }
    return encodeQuantity(this.#momentary(slot.quantity, measured), slot.quantity, slot.scaleFactor)
  }

  #momentary(quantity: Quantity, measured: Measured): number {
    const { phases, quantities } = this.#options.profile
    const splitsPower = quantities.some(({ measurand }) => measurand === 'Power.Active.Export')
    return toMomentaryValue(quantity, { ...measured, phases, splitsPower })
  }
}

// Texts and what a SunSpec map says of itself have no word order.
function isNumber(slot: Slot): boolean {
  return slot.kind === 'quantity' || (slot.kind === 'serial' && slot.register.type === 'uint32')
}

function energyOf(quantity: Quantity, measured: Measured, phases: number): Rational {
  const isPart = quantity.measurand.endsWith('.Interval') && quantity.tariff === undefined
  const counted = isPart ? measured.since : measured
  const isImport = quantity.measurand.startsWith('Energy.Active.Import')
  const { numerator, denominator } = shareOf(quantity, phases)
  // Where a profile covers models that count below 0 and others, this is one that does.
  const sign = quantity.absolute === true ? -1n : 1n
  return {
    numerator: sign * numerator * (isImport ? counted.importMillijoules : counted.exportMillijoules),
    denominator: millijoulesPerWh * denominator,
  }
}

// Two thirds of the energy flow at the first tariff, the rest at the second.
function shareOf({ phase, tariff }: Quantity, phases: number): Rational {
  if (tariff !== undefined) return { numerator: tariff > 2 ? 0n : 3n - BigInt(tariff), denominator: 3n }
  return { numerator: 1n, denominator: phase === undefined ? 1n : BigInt(phases) }
}

function encodeNoValue(quantity: Quantity): readonly number[] {
  const words = registerWords(quantity.type)
  if (quantity.type === 'float32') return [0x7fc0, 0]
  if (quantity.type === 'float64') return [0x7ff8, 0, 0, 0]
  const bits = BigInt(quantity.notImplemented?.[0] ?? 0)
  const big = Array.from({ length: words }, (_, i) => Number((bits >> BigInt(16 * (words - 1 - i))) & 0xffffn))
  return quantity.wordOrder === 'big' ? big : big.reverse()
}

function distance({ address, length }: PlacedSlot, from: number, count: number): number {
  return Math.max(0, address - (from + count), from - (address + length))
}

function overlay(
  words: number[],
  from: number,
  { address, length }: PlacedSlot,
  encode: () => readonly number[],
): void {
  if (address >= from + words.length || address + length <= from) return
  encode().forEach((word, i) => {
    const at = address + i - from
    if (at >= 0 && at < words.length) words[at] = word
  })
}
