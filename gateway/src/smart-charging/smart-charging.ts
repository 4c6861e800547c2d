import { type Clock, type OcppVersion, WattError } from '@wattline/protocol'
import type { Health } from '../health.ts'
import { errorFields, type Log } from '../log.ts'
import type { OtherValues } from '../modbus/other-values.ts'
import type { Scheduler } from '../modbus/scheduler.ts'
import type { StationCall } from '../ocpp/intake.ts'
import { fieldsOf } from '../ocpp/json-place.ts'
import type { StationObserver } from '../ocpp/station-observer.ts'
import type { OcppPayload } from '../ocpp/transaction-sink.ts'
import type { Charger, Outcome } from './charger.ts'
import { type ChargerView, type Command, SiteController, type SiteView } from './controller.ts'
import { toPhaseCurrents } from './meter-currents.ts'
import { toOrder } from './order.ts'
import { toSetChargingProfile } from './profile.ts'
import { type ChargerSetup, makeSite, mapPhases, type PhaseCurrents, type Site } from './site.ts'
import type { SiteConfig } from './site-config.ts'
import { StationWords } from './station-words.ts'

/** What the sharing of a house's current works with. */
export interface SmartChargingParts {
  readonly site: SiteConfig
  readonly scheduler: Scheduler
  readonly clock: Clock
  readonly log: Log
  readonly health: Health
  /** What a meter shows, where it was read within so many milliseconds. */
  valuesOf(meterId: string, withinMs: number): OtherValues | undefined
  /** Sends a request to a station; gives its answer. */
  call(stationId: string, action: string, payload: unknown): Promise<{ readonly payload: unknown }>
}

const everyMs = 1_000
/** Most stations tell their state by themselves when they connect. */
const askStatusAfterMs = 10_000

/** Steps the controller once a second, carries its words to the stations and theirs to it. */
export class SmartCharging implements StationObserver {
  readonly #parts: SmartChargingParts
  readonly #site: Site
  readonly #controller: SiteController
  readonly #stations = new Map<string, StationWords>()
  readonly #askAtMs = new Map<string, number>()
  readonly #states = new Map<string, ChargerView['state']>()
  #wasMeasured: boolean | undefined
  #cancel: () => void = () => {}

  constructor(parts: SmartChargingParts) {
    this.#parts = parts
    this.#site = makeSite(parts.site)
    this.#controller = new SiteController(this.#site)
    for (const { station } of this.#site.chargers) {
      const phasesOf = (connector: number) => this.#find(station, connector)?.phases.length
      this.#stations.set(station, new StationWords(phasesOf))
    }
  }

  start(): void {
    this.#cancel = this.#parts.scheduler.after(everyMs, () => {
      this.start()
      this.#step()
    })
  }

  stop(): void {
    this.#cancel()
  }

  view(): SiteView {
    return this.#controller.view
  }

  connected(stationId: string, version: OcppVersion): void {
    const words = this.#stations.get(stationId)
    if (words === undefined) return
    words.forgetStatus()
    this.#askAtMs.set(stationId, this.#now + askStatusAfterMs)
    for (const { key } of this.#chargersOf(stationId))
      this.#controller.hear(key, { kind: 'connected', version }, this.#now)
  }

  disconnected(stationId: string): void {
    this.#askAtMs.delete(stationId)
    for (const { key } of this.#chargersOf(stationId)) this.#controller.hear(key, { kind: 'disconnected' }, this.#now)
  }

  heard({ stationId, action }: StationCall, payload: OcppPayload, answer: OcppPayload | undefined): void {
    const words = this.#stations.get(stationId)
    if (words === undefined) return
    if (action === 'BootNotification') {
      for (const { key } of this.#chargersOf(stationId)) this.#controller.hear(key, { kind: 'booted' }, this.#now)
      return
    }
    // Its clock is compared with the wall clock; everything else counts by one that never steps.
    for (const one of words.hear(action, payload, answer, this.#parts.clock.now())) {
      const charger = this.#find(stationId, one.connector)
      if (charger === undefined) continue
      if ('event' in one) this.#controller.hear(charger.key, one.event, this.#now)
      // Its own meter is quicker, and more exact.
      else if (charger.meter === undefined) this.#sample(charger, toHouse(charger, one.sample.currents))
    }
  }

  get #now(): number {
    return this.#parts.scheduler.now()
  }

  #find(station: string, connector: number): ChargerSetup | undefined {
    return this.#site.chargers.find((one) => one.station === station && one.connector === connector)
  }

  #chargersOf(station: string): readonly ChargerSetup[] {
    return this.#site.chargers.filter((one) => one.station === station)
  }

  #sample({ key }: ChargerSetup, currents: PhaseCurrents): void {
    this.#controller.hear(key, { kind: 'sample', currents }, this.#now)
  }

  #step(): void {
    for (const charger of this.#site.chargers) {
      const currents = charger.meter === undefined ? undefined : this.#currentsOf(charger.meter, charger.phases)
      if (currents !== undefined) this.#sample(charger, currents)
    }
    const { meter, phases, feeders } = this.#site
    const metered = feeders.flatMap((one) => (one.meter === undefined ? [] : [[one.id, one.meter] as const]))
    const commands = this.#controller.step(this.#now, {
      house: this.#currentsOf(meter, phases),
      feeders: new Map(metered.map(([id, own]) => [id, this.#currentsOf(own, phases)])),
    })
    this.#tell()
    for (const command of commands) void this.#send(command)
    this.#askForStatus()
  }

  #currentsOf(meterId: string, phases: readonly number[]): PhaseCurrents | undefined {
    const values = this.#parts.valuesOf(meterId, this.#site.maxAgeSeconds * 1000)
    return values && toPhaseCurrents(values, phases)
  }

  async #send(command: Command): Promise<void> {
    const { station } = command.charger.setup
    const stationNowMs = this.#parts.clock.now() + (this.#stations.get(station)?.clockAheadMs ?? 0)
    const order = toOrder(command, this.#site, { nowMs: this.#now, stationNowMs })
    const outcome = order === undefined ? 'lost' : await this.#ask(station, toSetChargingProfile(order))
    this.#controller.answered(command, outcome, this.#now)
    const { purpose, limitA, style } = command
    const { kind, unit } = style
    this.#parts.log.debug('site.limit.told', {
      charger: command.charger.setup.key,
      purpose,
      limitA,
      as: style.purpose,
      kind,
      unit,
      outcome,
    })
  }

  async #ask(station: string, payload: unknown): Promise<Outcome> {
    try {
      const answer = await this.#parts.call(station, 'SetChargingProfile', payload)
      const status = fieldsOf(answer.payload)?.['status']
      return status === 'Accepted' ? 'accepted' : status === 'NotSupported' ? 'unsupported' : 'rejected'
    } catch (error) {
      return this.#outcomeOf(error, station)
    }
  }

  #outcomeOf(error: unknown, station: string): Outcome {
    if (!(error instanceof WattError)) throw error
    if (error.code !== 'station/refused') {
      if (!error.retryable) this.#parts.log.warn('site.limit.untold', { station, ...errorFields(error) })
      return error.retryable ? 'lost' : 'rejected'
    }
    const word: unknown = error.cause instanceof Error ? Reflect.get(error.cause, 'rpcErrorCode') : undefined
    return word === 'NotSupported' || word === 'NotImplemented' ? 'unsupported' : 'rejected'
  }

  // A station that goes on charging where we have just begun does not always say so.
  #askForStatus(): void {
    for (const [station, atMs] of this.#askAtMs) {
      if (this.#now < atMs) continue
      this.#askAtMs.delete(station)
      for (const { connector, key } of this.#chargersOf(station)) {
        if (this.#stations.get(station)?.hasStatus(connector)) continue
        const version = this.#chargerOf(key)?.version
        const place = version === 'ocpp1.6' ? { connectorId: connector } : { evse: { id: connector, connectorId: 1 } }
        const request = { requestedMessage: 'StatusNotification', ...place }
        this.#parts.call(station, 'TriggerMessage', request).catch((error: unknown) => {
          this.#parts.log.debug('site.status.unknown', { station, ...errorFields(error) })
        })
      }
    }
  }

  #chargerOf(key: string): Charger | undefined {
    return this.#controller.chargers.find(({ setup }) => setup.key === key)
  }

  #tell(): void {
    const { log, health } = this.#parts
    const { measured, chargers } = this.view()
    if (measured !== this.#wasMeasured) {
      const message = `no currents from meter ${this.#site.meter}: chargers are held at the safe current`
      if (measured) health.clear('site')
      else health.raise({ code: 'site/unmeasured', where: 'site', message })
      log[measured ? 'info' : 'warn'](measured ? 'site.measurement.back' : 'site.measurement.lost', {
        meter: this.#site.meter,
      })
      this.#wasMeasured = measured
    }
    for (const { key, state } of chargers) {
      if (this.#states.get(key) === state) continue
      this.#states.set(key, state)
      const where = `charger ${key}`
      const isBad = state === 'refuses' || state === 'ignores'
      const message = state === 'refuses' ? 'it refuses every charging profile' : 'it takes more than it was told'
      if (isBad) health.raise({ code: 'site/disobeyed', where, message })
      else health.clear(where)
      log[isBad ? 'warn' : 'info']('site.charger.state', { charger: key, state })
    }
  }
}

function toHouse({ phases }: ChargerSetup, currents: readonly number[]): PhaseCurrents {
  return mapPhases((phase) => currents[phases.indexOf(phase)] ?? 0)
}
