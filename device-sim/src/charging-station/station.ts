import type { Timers } from '../timers.ts'
import type { BootReason, StationIdentity } from './dialect.ts'
import { DurableState, type StateStorage } from './durable-state.ts'
import { Evse, type EvseFault, type EvseOptions } from './evse.ts'
import { Firmware } from './firmware.ts'
import type { OpenLink } from './link.ts'
import type { Place } from './place.ts'
import type { Quirks } from './quirks.ts'
import type { Payload } from './rpc.ts'
import type { OcppVersion } from './schemas.ts'
import type { Request } from './transaction-queue.ts'
import type { Vehicle } from './vehicle.ts'

export interface StationOptions {
  readonly identity: StationIdentity
  readonly version: OcppVersion
  readonly url: string
  readonly password?: string | undefined
  readonly quirks: Quirks
  /** Values of settings that differ from the firmware's own. */
  readonly preset: Readonly<Record<string, string>>
  readonly driftSeconds: number
  readonly zoneMinutes: number
  readonly evses: readonly (EvseOptions & { readonly startWh: number })[]
  readonly timers: Timers
  readonly wallClockMs: () => number
  readonly storage: StateStorage
  readonly openLink: OpenLink
  readonly random: () => number
  /** Brings all energy to this moment. */
  readonly advance: () => void
  /** What has passed an EVSE's meter since the program began, in mJ. */
  readonly meteredMillijoules: (evseId: number) => bigint
  readonly onEvent: (event: string, details: Payload) => void
}

const tickMs = 1000
const restartMs = 2000
const millijoulesPerWh = 3_600_000n

/** The box at the wall: what stays when the power goes, and the firmware while it is there. */
export class Station {
  readonly #options: StationOptions
  readonly #places: readonly Place[]
  /** The register of each EVSE when its meter had passed nothing. */
  readonly #bases = new Map<number, bigint>()
  #firmware: Firmware | undefined
  #networkUp = true
  #cancelRestart: (() => void) | undefined
  #cancelTick: () => void = () => undefined

  constructor(options: StationOptions) {
    this.#options = options
    const { registers } = new DurableState(options.storage).now
    this.#places = options.evses.map(({ startWh, ...evse }, i) => {
      const id = i + 1
      const kept = registers[String(id)]
      this.#bases.set(id, kept === undefined ? BigInt(startWh) * millijoulesPerWh : BigInt(kept))
      return {
        id,
        evse: new Evse(evse),
        register: () => this.registerMillijoules(id),
        pending: undefined,
        finishing: false,
        told: undefined,
        toldChargingState: 'Idle',
        nextSampleAtMs: 0,
      }
    })
  }

  get id(): string {
    return this.#options.identity.id
  }

  get evses(): readonly { readonly id: number; readonly evse: Evse }[] {
    return this.#places
  }

  /** Whether there is power, also in the moments of a restart. */
  get isOn(): boolean {
    return this.#firmware !== undefined || this.#cancelRestart !== undefined
  }

  registerMillijoules(evseId: number): bigint {
    return (this.#bases.get(evseId) ?? 0n) + this.#options.meteredMillijoules(evseId)
  }

  powerOn(reason: BootReason = 'PowerUp', greetings: readonly Request[] = []): void {
    if (this.#firmware !== undefined) return
    const { quirks, timers, onEvent } = this.#options
    if (quirks.has('register-restarts') && reason === 'PowerUp') this.#restartRegisters()
    onEvent('power-on', { reason })
    const firmware = new Firmware({
      ...this.#options,
      password: this.#options.password,
      places: this.#places,
      bootReason: reason,
      greetings,
      onRestart: (why, next) => this.#restart(why, next),
    })
    this.#firmware = firmware
    if (!this.#networkUp) firmware.connection.setNetwork(false)
    firmware.start()
    const tick = () => {
      firmware.tick()
      this.#cancelTick = timers.after(tickMs, tick)
    }
    this.#cancelTick = timers.after(tickMs, tick)
  }

  /** The power goes: nothing is said, written or ended any more. A shutdown at least closes its socket. */
  powerOff(how: 'cut' | 'shutdown' = 'cut'): void {
    this.#cancelRestart?.()
    this.#cancelRestart = undefined
    const firmware = this.#firmware
    if (firmware === undefined) return
    this.#options.advance()
    this.#firmware = undefined
    this.#cancelTick()
    firmware.stop(how)
    this.#options.onEvent('power-off', {})
  }

  setNetwork(up: boolean): void {
    this.#networkUp = up
    this.#firmware?.connection.setNetwork(up)
  }

  reconnect(): void {
    this.#firmware?.connection.reconnect()
  }

  plugIn(evseId: number, vehicle: Vehicle): void {
    const place = this.#place(evseId)
    this.#options.advance()
    place.evse.plugIn(vehicle)
    this.#firmware?.plugged(place)
  }

  unplug(evseId: number): void {
    const place = this.#place(evseId)
    this.#options.advance()
    place.evse.unplug()
    this.#firmware?.unplugged(place)
  }

  async presentCard(evseId: number, idToken: string): Promise<void> {
    await this.#firmware?.presentCard(this.#place(evseId), idToken)
  }

  setFault(evseId: number, fault: EvseFault, isThere: boolean): void {
    const place = this.#place(evseId)
    this.#options.advance()
    if (isThere) place.evse.faults.add(fault)
    else place.evse.faults.delete(fault)
    this.#firmware?.refresh(place)
  }

  emergencyStop(): void {
    for (const place of this.#places) {
      this.#firmware?.end(place, { stoppedReason: 'EmergencyStop', triggerReason: 'AbnormalCondition' })
    }
  }

  /** What is still to be told to the CSMS. */
  get queueLength(): number {
    return this.#firmware?.state.now.queue.length ?? 0
  }

  #place(evseId: number): Place {
    const place = this.#places.find(({ id }) => id === evseId)
    if (place === undefined) throw new Error(`station '${this.id}' has no EVSE ${evseId}`)
    return place
  }

  #restart(reason: BootReason, greetings: readonly Request[]): void {
    this.powerOff('shutdown')
    this.#cancelRestart = this.#options.timers.after(restartMs, () => {
      this.#cancelRestart = undefined
      this.powerOn(reason, greetings)
    })
  }

  #restartRegisters(): void {
    for (const { id } of this.#places) this.#bases.set(id, -this.#options.meteredMillijoules(id))
  }
}
