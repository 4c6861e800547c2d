import {
  type Clock,
  type ClockStatus,
  decodeEnergySnapshot,
  decodeSerial,
  type EnergyDirection,
  type EnergySnapshot,
  type EnergySnapshotPlan,
  energyMeasurands,
  type FoundSunSpecModel,
  findSunSpecModel,
  isEnergyTotal,
  type MeterProfile,
  planEnergySnapshot,
  type Quantity,
  type Registers,
  type SerialRegister,
  type SunSpecModel,
  type Timestamp,
  WattError,
} from '@wattline/protocol'
import { BlockReader } from './block-reader.ts'
import type { ReadRequest, RegisterBus } from './bus.ts'
import type { OtherValue, OtherValues } from './other-values.ts'
import type { Span } from './planner.ts'
import { type RegisterReading, toReading } from './register-reading.ts'
import type { Scheduler } from './scheduler.ts'
import { SideRead } from './side-read.ts'
import { decodeItem, toItem, type ValueItem } from './value-item.ts'

/** What a meter answered. Whatever could not be read is absent, never repeated from before. */
export interface MeterValues {
  readonly ok: true
  /** The cumulative registers, in Wh, from one request. */
  readonly energy: Registers
  /** The same with each register's resolution and roll-over. */
  readonly snapshot: EnergySnapshot
  /** The coarsest of the registers read. */
  readonly resolutionWh: number
  /** The registers of the energy request, as they came. */
  readonly words: readonly number[]
  /** Active power in W, import positive. From a second request. */
  readonly powerW?: number
  /** Only where it was read this time: at the start, after trouble on the bus, hourly. */
  readonly serial?: string
}

export interface MeterFailure {
  readonly ok: false
  readonly error: WattError
}

/** One attempt to read a meter. */
export interface MeterAnswer {
  /** When the energy's answer arrived, or when it was given up. */
  readonly takenAt: Timestamp
  readonly clockStatus: ClockStatus
  readonly outcome: MeterValues | MeterFailure
}

export interface MeterReaderOptions {
  readonly bus: RegisterBus
  readonly unitId: number
  readonly profile: MeterProfile
  /** The registers wanted; by default all totals that the profile has. */
  readonly directions?: readonly EnergyDirection[] | undefined
  /** Which of a SunSpec device's models of that kind is meant, counted from 1. */
  readonly sunspecInstance?: number | undefined
  /** The longest pause between two calls of `read`. */
  readonly intervalMs: number
  readonly clock: Clock
  readonly scheduler: Scheduler
}

const serialEveryMs = 3_600_000

/** Reads one meter as its profile says. */
export class MeterReader {
  readonly #options: MeterReaderOptions
  readonly #directions: readonly EnergyDirection[]
  readonly #power: SideRead<number> | undefined
  readonly #serial: SideRead<string> | undefined
  readonly #blocks: BlockReader
  #model: FoundSunSpecModel | undefined
  #connections = 0
  #serialDueMs = Number.NEGATIVE_INFINITY

  constructor(options: MeterReaderOptions) {
    this.#options = options
    const { profile, scheduler, bus, unitId } = options
    this.#directions = options.directions ?? listDirections(profile)
    // Tells a profile that cannot serve these directions at the start, not at the first poll.
    planEnergySnapshot(profile, this.#directions)
    const power = profile.quantities.find((q) => q.measurand === 'Power.Active.Import' && q.phase === undefined)
    const { serial, maxRegisters, minGapMs = 0 } = profile
    this.#blocks = new BlockReader({ bus, unitId, maxRegisters, minGapMs, scheduler })
    this.#power = power && new SideRead(scheduler, () => this.#readPower(power))
    this.#serial = serial && new SideRead(scheduler, () => this.#readSerial(serial))
  }

  async read(): Promise<MeterAnswer> {
    this.#noticeReconnect()
    const energy = await this.#tryEnergy()
    const { clock } = this.#options
    const [takenAt, clockStatus] = [clock.now(), clock.status()]
    if (!energy.ok) return { takenAt, clockStatus, outcome: energy }
    const powerW = await this.#side(this.#power)
    const serial = await this.#trySerial()
    const outcome = {
      ...energy,
      ...(powerW === undefined ? {} : { powerW }),
      ...(serial === undefined ? {} : { serial }),
    }
    return { takenAt, clockStatus, outcome }
  }

  /** Reads what the meter has beside the totals; undefined where nothing came. The bus serves everything else before. */
  async readValues(): Promise<OtherValues | undefined> {
    const readings = await this.#tryItems(
      this.#options.profile.quantities.filter((quantity) => !isEnergyTotal(quantity)),
    )
    if (readings instanceof WattError) return undefined // the poll of the energy meets the same, and tells it
    const takenAt = this.#options.clock.now()
    const list = [...readings].flatMap(([{ quantity }, { value }]): OtherValue[] => {
      const { measurand, phase } = quantity
      if (typeof value !== 'number') return []
      return [{ measurand, ...(phase === undefined ? {} : { phase }), value }]
    })
    return list.length === 0 ? undefined : { takenAt, list }
  }

  /** Reads all that the profile names, the serial number too, or tells why nothing can be read. */
  async readAll(): Promise<readonly RegisterReading[] | WattError> {
    const { serial, quantities } = this.#options.profile
    const readings = await this.#tryItems(quantities)
    if (readings instanceof WattError || serial === undefined) {
      return readings instanceof WattError ? readings : [...readings.values()]
    }
    try {
      const item = { ...(await this.#placeSerial(serial)), serial }
      const outcome = (await this.#blocks.read([item])).get(item)
      return [...readings.values(), ...(outcome === undefined ? [] : [toReading(item, outcome)])]
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      return [...readings.values()]
    }
  }

  async #tryItems(quantities: readonly Quantity[]): Promise<ReadonlyMap<ValueItem, RegisterReading> | WattError> {
    this.#noticeReconnect()
    try {
      const base = await this.#baseAddress(undefined, 'last')
      const items = quantities.map((quantity) => toItem(quantity, base))
      const outcomes = await this.#blocks.read(items)
      return new Map(
        items.flatMap((item) => {
          const outcome = outcomes.get(item)
          return outcome === undefined ? [] : [[item, toReading(item, outcome)]]
        }),
      )
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      return error
    }
  }

  // Whoever plugs a bus in again may have plugged in another meter.
  #noticeReconnect(): void {
    const { connections } = this.#options.bus
    if (connections === this.#connections) return
    this.#connections = connections
    this.#distrust()
    this.#power?.reset()
    this.#serial?.reset()
    this.#blocks.reset()
  }

  #distrust(): void {
    this.#model = undefined
    this.#serialDueMs = Number.NEGATIVE_INFINITY
  }

  async #tryEnergy(): Promise<MeterValues | MeterFailure> {
    try {
      return await this.#readEnergy()
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      this.#distrust()
      return { ok: false, error }
    }
  }

  async #readEnergy(): Promise<MeterValues> {
    const { profile } = this.#options
    const plan = planEnergySnapshot(profile, this.#directions, await this.#baseAddress(undefined, 'first'))
    const words = await this.#readWords(plan, 'first')
    const snapshot = decodeParts(plan, words)
    const registers = Object.entries(snapshot)
    return {
      ok: true,
      energy: Object.fromEntries(registers.map(([direction, { registerWh }]) => [direction, registerWh])),
      snapshot,
      resolutionWh: Math.max(...registers.map(([, { resolutionWh }]) => resolutionWh)),
      words,
    }
  }

  async #readPower(power: Quantity): Promise<number> {
    const item = toItem(power, await this.#baseAddress())
    return decodeItem(item, await this.#readWords(item))
  }

  async #readSerial(serial: SerialRegister): Promise<string> {
    return decodeSerial(await this.#readWords(await this.#placeSerial(serial)), serial)
  }

  async #placeSerial(serial: SerialRegister): Promise<Pick<ReadRequest, 'functionCode' | 'address' | 'count'>> {
    const base = await this.#baseAddress(serial)
    const count = serial.type === 'string' ? serial.words : 2
    return { functionCode: serial.functionCode, address: base + serial.address, count }
  }

  async #trySerial(): Promise<string | undefined> {
    const now = this.#options.scheduler.now()
    // The next chance comes an interval from now, and must not be later than the hour.
    if (now + this.#options.intervalMs <= this.#serialDueMs) return undefined
    const serial = await this.#side(this.#serial)
    if (serial !== undefined) this.#serialDueMs = now + serialEveryMs
    return serial
  }

  async #side<T>(read: SideRead<T> | undefined): Promise<T | undefined> {
    const { value, error } = (await read?.tryRead()) ?? {}
    if (error?.code.startsWith('bus/') && error.code !== 'bus/exception') this.#distrust()
    return value
  }

  async #baseAddress(serial?: SerialRegister, priority?: ReadRequest['priority']): Promise<number> {
    const { sunspec } = this.#options.profile
    if (sunspec === undefined) return 0
    this.#model ??= await this.#findModel(sunspec.model, priority)
    if (serial?.type !== 'string' || serial.sunspecModel === undefined) return this.#model.address
    if (this.#model.common !== undefined) return this.#model.common.address
    const message = `SunSpec model ${this.#model.id}: no common model in front of it`
    throw new WattError('reading/not-implemented', message)
  }

  async #findModel(id: number, priority: ReadRequest['priority']): Promise<FoundSunSpecModel> {
    const read = (functionCode: 3 | 4, address: number, count: number) =>
      this.#readWords({ functionCode, address, count }, priority)
    const found = await findSunSpecModel(read, id, this.#options.sunspecInstance)
    this.#checkLength(found)
    return found
  }

  // Beyond a shorter model stand another model's registers.
  #checkLength({ id, length }: SunSpecModel): void {
    const { sunspec } = this.#options.profile
    if (sunspec === undefined || length >= sunspec.length) return
    const message = `SunSpec model ${id}: ${sunspec.length} registers expected, the meter has ${length}`
    throw new WattError('reading/not-implemented', message)
  }

  #readWords({ functionCode, address, count }: Span, priority?: ReadRequest['priority']): Promise<readonly number[]> {
    const { bus, unitId, profile } = this.#options
    const { maxRegisters: maxCount, minGapMs = 0 } = profile
    const order = priority === undefined ? {} : { priority }
    return bus.read({ unitId, functionCode, address, count, maxCount, minGapMs, ...order })
  }
}

function listDirections(profile: MeterProfile): readonly EnergyDirection[] {
  const totals = profile.quantities.filter(isEnergyTotal).map(({ measurand }) => measurand)
  const both: readonly EnergyDirection[] = ['import', 'export']
  return both.filter((direction) => totals.includes(energyMeasurands[direction]))
}

// A meter that never exported may have no export register yet: the import is a reading all the same.
function decodeParts(plan: EnergySnapshotPlan, words: readonly number[]): EnergySnapshot {
  let missing: WattError | undefined
  let snapshot: EnergySnapshot = {}
  for (const part of plan.parts) {
    try {
      snapshot = { ...snapshot, ...decodeEnergySnapshot({ ...plan, parts: [part] }, words) }
    } catch (error) {
      if (!(error instanceof WattError) || error.code !== 'reading/not-implemented') throw error
      missing = error
    }
  }
  if (missing !== undefined && Object.keys(snapshot).length === 0) throw missing
  return snapshot
}
