import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { WattError } from '@wattline/protocol'
import type { Logger } from 'pino'
import type { EnergyNode, Flow } from '../energy-tree.ts'
import { makeRandom } from '../random.ts'
import type { Timers } from '../timers.ts'
import type { StationConfig, StationStep } from './config.ts'
import { toSteps } from './drivers.ts'
import { fileStorage } from './durable-state.ts'
import { Station } from './station.ts'
import { toWh } from './transactions.ts'
import { Vehicle } from './vehicle.ts'
import { webSocketLinks } from './web-socket-link.ts'

export interface StationsOptions {
  readonly configs: readonly StationConfig[]
  readonly timers: Timers
  readonly log: Logger
  readonly advance: () => void
  readonly flowOf: (nodeId: string) => Flow
  readonly isDark: (nodeId: string) => boolean
}

const evseNode = (stationId: string, evseId: number) => `${stationId}/${evseId}`
const watchPowerMs = 1000

/**
 * The energy nodes of stations: one for each EVSE, which no id of a meter can take, and one that sees them. They are
 * made before the stations, so what flows is asked through `secondOf`.
 */
export function energyNodesOf(
  configs: readonly StationConfig[],
  secondOf: (stationId: string, evseId: number) => number,
): readonly EnergyNode[] {
  return configs.flatMap(({ id, evses }) => {
    const ids = evses.map((_, i) => i + 1)
    return [
      { id, curve: () => 0, sees: ids.map((evseId) => evseNode(id, evseId)) },
      ...ids.map((evseId) => ({ id: evseNode(id, evseId), curve: () => secondOf(id, evseId), sees: [] })),
    ]
  })
}

/** All charging stations of a simulation. */
export class Stations {
  readonly #options: StationsOptions
  readonly #stations: readonly { readonly station: Station; readonly config: StationConfig }[]
  /** Stations whose steps wait until they are accepted. */
  readonly #waiting = new Set<string>()
  /** Power cuts of a station's own that go on; a cut above it comes on top. */
  readonly #cut = new Set<Station>()
  readonly #cancels: (() => void)[] = []
  #watch: NodeJS.Timeout | undefined

  constructor(options: StationsOptions) {
    this.#options = options
    this.#stations = options.configs.map((config) => ({ station: this.#makeStation(config), config }))
  }

  /** What flows in the next simulated second, in mW. */
  secondOf(stationId: string, evseId: number): number {
    const found = this.#stations.find(({ station }) => station.id === stationId)
    return found?.station.evses.find(({ id }) => id === evseId)?.evse.second() ?? 0
  }

  start(): void {
    for (const { station, config } of this.#stations) {
      if (config.stepsFrom === 'accepted') this.#waiting.add(config.id)
      else this.#planSteps(config.id)
      station.powerOn()
    }
    this.#watch = setInterval(() => this.#watchPower(), watchPowerMs)
  }

  stop(): void {
    clearInterval(this.#watch)
    for (const cancel of this.#cancels) cancel()
    for (const { station } of this.#stations) station.powerOff('shutdown')
  }

  logRegisters(): void {
    this.#options.advance()
    for (const { station } of this.#stations) {
      for (const { id, evse } of station.evses) {
        this.#options.log.info({
          event: 'sim.station.register',
          station: station.id,
          evse: id,
          registerWh: toWh(station.registerMillijoules(id)).toFixed(3),
          pilot: evse.pilot,
          queued: station.queueLength,
        })
      }
    }
  }

  #makeStation(config: StationConfig): Station {
    const { timers, log, advance, flowOf } = this.#options
    const quirks = new Set(config.quirks)
    return new Station({
      identity: {
        id: config.id,
        vendor: config.vendor,
        model: config.model,
        serial: config.serial ?? config.id.slice(0, 25),
        firmware: config.firmware,
      },
      version: config.ocpp,
      url: config.url,
      password: config.passwordFile === undefined ? undefined : readPassword(config.passwordFile),
      quirks,
      preset: config.settings,
      driftSeconds: config.driftSeconds,
      zoneMinutes: config.zoneMinutes,
      evses: config.evses,
      timers,
      wallClockMs: Date.now,
      storage: fileStorage(join(config.dataDir ?? '', 'state.json')),
      openLink: webSocketLinks(quirks, config.tls),
      random: makeRandom(config.seed),
      advance,
      meteredMillijoules: (evseId) => flowOf(evseNode(config.id, evseId)).importMillijoules,
      onEvent: (event, details) => {
        log.info({ event: `sim.station.${event}`, station: config.id, ...details })
        if (event === 'connection.accepted' && this.#waiting.delete(config.id)) this.#planSteps(config.id)
      },
    })
  }

  #planSteps(stationId: string): void {
    const found = this.#stations.find(({ config }) => config.id === stationId)
    if (found === undefined) return
    for (const step of toSteps(found.config)) {
      this.#cancels.push(this.#options.timers.after(step.at * 1000, () => this.#play(found.station, step)))
    }
  }

  #play(station: Station, step: StationStep): void {
    const { timers, log } = this.#options
    const { at: _, ...what } = step
    log.info({
      event: 'sim.station.step',
      station: station.id,
      ...('idToken' in what ? { ...what, idToken: '***' } : what),
    })
    if (step.do === 'plug-in') station.plugIn(step.evse, new Vehicle(step.vehicle))
    else if (step.do === 'unplug') station.unplug(step.evse)
    else if (step.do === 'present-card') void station.presentCard(step.evse, step.idToken)
    else if (step.do === 'emergency-stop') station.emergencyStop()
    else if (step.do === 'reconnect') station.reconnect()
    else {
      this.#setTrouble(station, step, true)
      if (step.for === undefined) return
      this.#cancels.push(timers.after(step.for * 1000, () => this.#setTrouble(station, step, false)))
    }
  }

  #setTrouble(station: Station, step: Extract<StationStep, { for?: number }>, isThere: boolean): void {
    if (step.do === 'network-cut') station.setNetwork(!isThere)
    else if ('evse' in step) station.setFault(step.evse, step.do, isThere)
    else {
      if (isThere) this.#cut.add(station)
      else this.#cut.delete(station)
      this.#watchPower()
    }
  }

  #watchPower(): void {
    const { isDark } = this.#options
    for (const { station } of this.#stations) {
      const powered = !this.#cut.has(station) && !isDark(station.id)
      if (powered && !station.isOn) station.powerOn()
      else if (!powered) station.powerOff()
    }
  }
}

function readPassword(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch (cause) {
    throw new WattError('config/unreadable', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}
