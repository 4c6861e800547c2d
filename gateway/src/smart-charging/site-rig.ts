import type { ChargerEvent, ConnectorStatus, Outcome } from './charger.ts'
import { type Command, type Measurements, SiteController } from './controller.ts'
import { toOrder } from './order.ts'
import { toSetChargingProfile } from './profile.ts'
import { mapPhases, type PhaseCurrents, type Site } from './site.ts'

/** Tests of the shared site: cars, stations and a house in virtual time, a second a step. */

export interface CarOptions {
  readonly batteryWh: number
  readonly storedWh: number
  readonly maxA: number
  /** Of the station's phases, how many it uses. */
  readonly phases: 1 | 2 | 3
  /** Seconds of the day in which it takes nothing. */
  readonly pauses?: readonly (readonly [number, number])[]
}

const voltageV = 230
const smallestA = 6
/** Above this its battery takes less and less. */
const taperFrom = 0.8

/** A vehicle: battery, taper, pauses; follows what it is offered within two seconds. */
export class Car {
  readonly options: CarOptions
  storedWh: number
  currentA = 0
  #offers: readonly number[] = []

  constructor(options: CarOptions) {
    this.options = options
    this.storedWh = options.storedWh
  }

  /** The most that it could take now. */
  wantsA(second: number): number {
    const { batteryWh, maxA, pauses = [] } = this.options
    if (pauses.some(([from, to]) => second >= from && second < to)) return 0
    const full = this.storedWh / batteryWh
    if (full >= 1) return 0
    const tapered = full <= taperFrom ? maxA : maxA * (1 - (0.95 * (full - taperFrom)) / (1 - taperFrom))
    return tapered < 1 ? 0 : tapered
  }

  /** One second at an offer. Less is followed at once or a second later, more after two. */
  second(offeredA: number, second: number): void {
    this.#offers = [...this.#offers, offeredA].slice(-2)
    const offer = Math.min(...this.#offers)
    this.currentA = offer < smallestA ? 0 : Math.min(offer, this.wantsA(second))
    this.charge(this.currentA)
  }

  charge(ampere: number): void {
    const watts = ampere * voltageV * this.options.phases
    this.storedWh = Math.min(this.options.batteryWh, this.storedWh + (watts * 0.9) / 3600)
  }
}

export type Habit = 'watt-only' | 'relative-only' | 'refuses-zero' | 'no-tx-profile' | 'steps' | 'slow' | 'ignores'

interface Told {
  readonly startMs: number
  readonly periods: readonly { readonly startPeriod: number; readonly limit: number }[]
  readonly unit: string
}

export interface StationOptions {
  readonly key: string
  readonly version: 'ocpp1.6' | 'ocpp2.0.1'
  readonly hardwareA: number
  /** The house's phases that it hangs on. */
  readonly phases: readonly number[]
  readonly habits?: readonly Habit[]
  readonly sampleSeconds: number
}

/** A charging station as OCPP sees it: profiles by purpose, the lowest of them counts. */
export class StationModel {
  readonly options: StationOptions
  car: Car | undefined
  isOnline = true
  startedMs = 0
  readonly #told = new Map<string, Told>()

  constructor(options: StationOptions) {
    this.options = options
  }

  #has(habit: Habit): boolean {
    return this.options.habits?.includes(habit) ?? false
  }

  /** Forgets its profiles, as some do when they start. */
  forget(): void {
    this.#told.clear()
  }

  begin(car: Car, nowMs: number): void {
    this.car = car
    this.startedMs = nowMs
  }

  end(): void {
    this.car = undefined
    this.#told.delete('TxProfile')
  }

  setChargingProfile(request: Readonly<Record<string, unknown>>, nowMs: number): Outcome {
    const [purpose, kind, told] = this.#read(request, nowMs)
    if (this.#has('no-tx-profile') && purpose === 'TxProfile') return 'rejected'
    if (purpose === 'TxProfile' && this.car === undefined) return 'rejected'
    if (this.#has('watt-only') && told.unit !== 'W') return 'rejected'
    if (this.#has('relative-only') && kind !== 'Relative') return 'rejected'
    if (this.#has('refuses-zero') && told.periods.some(({ limit }) => limit === 0)) return 'rejected'
    this.#told.set(purpose, told)
    return 'accepted'
  }

  #read(request: Readonly<Record<string, unknown>>, nowMs: number): readonly [string, string, Told] {
    const profile = Object(request['csChargingProfiles'] ?? request['chargingProfile'])
    const schedule = Object([profile.chargingSchedule].flat()[0])
    const startMs = schedule.startSchedule === undefined ? this.startedMs : Date.parse(schedule.startSchedule)
    const told = { startMs, periods: schedule.chargingSchedulePeriod, unit: schedule.chargingRateUnit }
    if (!(startMs <= nowMs)) throw new Error('a schedule that has not begun')
    const purpose = String(profile.chargingProfilePurpose).replace('ChargePoint', 'ChargingStation')
    return [purpose, profile.chargingProfileKind, told]
  }

  /** What it offers its car now. */
  offeredA(nowMs: number): number {
    const { hardwareA, phases } = this.options
    if (this.#has('ignores')) return hardwareA
    const limitOf = (purpose: string) => {
      const told = this.#told.get(purpose)
      if (told === undefined) return undefined
      const elapsed = (nowMs - told.startMs) / 1000
      const limit = told.periods.findLast(({ startPeriod }) => startPeriod <= elapsed)?.limit ?? 0
      return told.unit === 'A' ? limit : limit / voltageV / Math.min(phases.length, this.car?.options.phases ?? 3)
    }
    const own = limitOf('TxProfile') ?? limitOf('TxDefaultProfile') ?? hardwareA
    const offer = Math.min(own, limitOf('ChargingStationMaxProfile') ?? hardwareA, hardwareA)
    return this.#has('steps') ? ([6, 8, 10, 13, 16].findLast((step) => step <= offer) ?? 0) : offer
  }

  /** What it draws, by phase of the house. */
  get currents(): PhaseCurrents {
    const used = this.options.phases.slice(0, this.car?.options.phases ?? 0)
    return mapPhases((phase) => (used.includes(phase) ? (this.car?.currentA ?? 0) : 0))
  }

  status(nowMs: number, second: number): ConnectorStatus {
    if (this.car === undefined) return 'free'
    if (this.offeredA(nowMs) < smallestA) return 'suspended-evse'
    return this.car.wantsA(second) === 0 ? 'suspended-ev' : 'charging'
  }
}

/** The whole house. What the controller says reaches the stations a second later, and so do their answers. */
export class SiteRig {
  readonly controller: SiteController
  readonly site: Site
  readonly stations: readonly StationModel[]
  /** What flows besides the cars. */
  readonly others: (second: number) => PhaseCurrents
  readonly beginMs: number
  second = 0
  messages = 0
  isMeterLost = false
  /** Whether an answer gets lost on the way. */
  losesAnswer: () => boolean = () => false
  #lastSeen: { readonly currents: PhaseCurrents; readonly second: number } | undefined
  #underWay: (() => void)[] = []
  readonly #told = new Map<StationModel, ConnectorStatus>()

  constructor(site: Site, stations: readonly StationModel[], others: (second: number) => PhaseCurrents) {
    this.site = site
    this.stations = stations
    this.others = others
    this.beginMs = Date.parse('2026-11-21T00:00:00Z')
    this.controller = new SiteController(site)
    for (const { options } of stations) this.hear(options.key, { kind: 'connected', version: options.version })
  }

  get nowMs(): number {
    return this.beginMs + this.second * 1000
  }

  hear(key: string, event: ChargerEvent): void {
    this.controller.hear(key, event, this.nowMs)
  }

  plugIn(station: StationModel, car: Car): void {
    station.begin(car, this.nowMs)
    if (station.isOnline) this.hear(station.options.key, { kind: 'began', transactionId: String(this.second) })
  }

  leave(station: StationModel): void {
    station.end()
    if (station.isOnline) this.hear(station.options.key, { kind: 'ended' })
  }

  /** What flows through the main fuse. */
  get fuse(): PhaseCurrents {
    const others = this.others(this.second)
    return mapPhases((phase) =>
      this.stations.reduce((sum, one) => sum + (one.currents[phase] ?? 0), others[phase] ?? 0),
    )
  }

  /** One second. */
  step(): void {
    this.second += 1
    for (const deliver of this.#underWay.splice(0)) deliver()
    for (const station of this.stations) {
      station.car?.second(station.offeredA(this.nowMs), this.second)
      this.#tell(station)
    }
    if (!this.isMeterLost) this.#lastSeen = { currents: this.fuse, second: this.second }
    for (const command of this.controller.step(this.nowMs, this.#measured())) this.#send(command)
  }

  #measured(): Measurements {
    const seen = this.#lastSeen
    const isFresh = seen !== undefined && this.second - seen.second < this.site.maxAgeSeconds
    return { house: isFresh ? seen.currents : undefined, feeders: new Map() }
  }

  #tell(station: StationModel): void {
    if (!station.isOnline) return
    const { key, sampleSeconds } = station.options
    const status = station.status(this.nowMs, this.second)
    if (this.#told.get(station) !== status) this.hear(key, { kind: 'status', status })
    this.#told.set(station, status)
    const isDue = (this.nowMs - station.startedMs) % (sampleSeconds * 1000) === 0
    if (station.car !== undefined && isDue) this.hear(key, { kind: 'sample', currents: station.currents })
  }

  #send(command: Command): void {
    this.messages += 1
    const station = this.stations.find(({ options }) => options.key === command.charger.setup.key)
    const order = toOrder(command, this.site, { nowMs: this.nowMs, stationNowMs: this.nowMs })
    this.#underWay.push(() => {
      if (station === undefined || order === undefined || !station.isOnline) {
        this.controller.answered(command, 'lost', this.nowMs)
        return
      }
      const outcome = station.setChargingProfile(toSetChargingProfile(order), this.nowMs)
      const isLost = this.losesAnswer()
      this.#underWay.push(() => this.controller.answered(command, isLost ? 'lost' : outcome, this.nowMs))
    })
  }
}
