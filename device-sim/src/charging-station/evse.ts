import { type Offer, smallestCurrentA, type Vehicle } from './vehicle.ts'

/** IEC 61851-1 annex A: the states of the control pilot. */
export type PilotState = 'A' | 'B' | 'C' | 'D' | 'E' | 'F'

/** What is broken. A welded contactor shows only when it should open. */
export type EvseFault = 'rcd-tripped' | 'contactor-welded' | 'lock-stuck'

export interface EvseOptions {
  readonly maxCurrentA: number
  readonly phases: 1 | 3
  readonly hasVentilation: boolean
}

/**
 * The power side of one EVSE with its one connector: pilot, contactor, lock. What the firmware decides comes in by
 * `powered`, `operative`, `released` and `offer`; everything else follows from them, so no order of calls can leave
 * the contactor closed in a state that has no current.
 */
export class Evse {
  readonly options: EvseOptions
  readonly faults = new Set<EvseFault>()
  powered = false
  operative = true
  /** The firmware lets energy flow: somebody is authorised. */
  released = false
  offer: Offer
  #vehicle: Vehicle | undefined
  #wasClosed = false
  #powerMilliwatts = 0

  constructor(options: EvseOptions) {
    this.options = options
    this.offer = { currentA: options.maxCurrentA, phases: options.phases }
  }

  get vehicle(): Vehicle | undefined {
    return this.#vehicle
  }

  /** What flowed in the last simulated second. */
  get powerMilliwatts(): number {
    return this.pilot === 'C' || this.pilot === 'D' ? this.#powerMilliwatts : 0
  }

  plugIn(vehicle: Vehicle): void {
    this.#vehicle = vehicle
  }

  unplug(): void {
    this.#vehicle = undefined
    this.#settle()
  }

  /** The fault that shows; a welded contactor does once it was closed and should be open. */
  get fault(): EvseFault | undefined {
    if (this.faults.has('rcd-tripped')) return 'rcd-tripped'
    if (this.faults.has('contactor-welded') && this.#wasClosed && !this.#wantsClosed) return 'contactor-welded'
    if (this.faults.has('lock-stuck') && this.released && this.#vehicle !== undefined) return 'lock-stuck'
    return undefined
  }

  /** The cable cannot be pulled out of the station while energy may flow. */
  get locked(): boolean {
    return this.powered && this.released && this.#vehicle !== undefined && !this.faults.has('lock-stuck')
  }

  get pilot(): PilotState {
    if (!this.powered) return 'E'
    if (this.fault !== undefined || !this.operative) return 'F'
    if (this.#vehicle === undefined) return 'A'
    if (!this.#wantsClosed) return 'B'
    return this.#vehicle.needsVentilation ? 'D' : 'C'
  }

  /** A welded contactor stays closed; the vehicle draws nothing without its pilot all the same. */
  get contactorClosed(): boolean {
    return this.pilot === 'C' || this.pilot === 'D' || (this.faults.has('contactor-welded') && this.#wasClosed)
  }

  /** One simulated second: what flows in it, in mW. */
  second(): number {
    this.#settle()
    const flows = this.pilot === 'C' || this.pilot === 'D'
    this.#powerMilliwatts = flows ? (this.#vehicle?.drawOf(this.offer) ?? 0) : 0
    this.#vehicle?.second(this.#powerMilliwatts)
    return this.#powerMilliwatts
  }

  get #wantsClosed(): boolean {
    const vehicle = this.#vehicle
    if (vehicle === undefined || !this.powered || !this.operative || !this.released) return false
    if (this.faults.has('rcd-tripped') || this.faults.has('lock-stuck')) return false
    if (this.offer.currentA < smallestCurrentA || !vehicle.wantsEnergy) return false
    return !vehicle.needsVentilation || this.options.hasVentilation
  }

  // Mended contacts forget that they were closed; welded ones stay so.
  #settle(): void {
    if (this.#wantsClosed) this.#wasClosed = true
    else if (!this.faults.has('contactor-welded')) this.#wasClosed = false
  }
}
