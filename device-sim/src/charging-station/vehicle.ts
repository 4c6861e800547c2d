/** A span, in seconds after plugging in, in which the vehicle takes nothing. */
export interface Pause {
  readonly at: number
  readonly for: number
}

export interface VehicleOptions {
  readonly batteryWh: number
  readonly socPercent: number
  /** Where it stops by itself. */
  readonly targetPercent: number
  /** Above this its battery takes less and less. */
  readonly taperPercent: number
  readonly maxCurrentA: number
  readonly phases: 1 | 2 | 3
  readonly pauses: readonly Pause[]
  /** Charges in state D only, where the station has ventilation. */
  readonly needsVentilation: boolean
}

/** What the station lets through: amperes per phase. */
export interface Offer {
  readonly currentA: number
  readonly phases: number
}

/** IEC 61851-1 table A.7: a duty cycle below 10 % (6 A) offers nothing. */
export const smallestCurrentA = 6
export const voltageV = 230
// Of what leaves the outlet, so much reaches the battery.
const efficiency = 0.9
// What is left of the power when the battery is full.
const taperedShare = 0.05

/** The vehicle on the cable, in simulated seconds. */
export class Vehicle {
  readonly needsVentilation: boolean
  readonly #options: VehicleOptions
  #storedWh: number
  #seconds = 0

  constructor(options: VehicleOptions) {
    this.#options = options
    this.needsVentilation = options.needsVentilation
    this.#storedWh = (options.batteryWh * options.socPercent) / 100
  }

  get socPercent(): number {
    return (100 * this.#storedWh) / this.#options.batteryWh
  }

  get phases(): number {
    return this.#options.phases
  }

  /** Whether it closes the switch that turns state B into C. */
  get wantsEnergy(): boolean {
    const paused = this.#options.pauses.some(({ at, for: span }) => this.#seconds >= at && this.#seconds < at + span)
    return !paused && this.socPercent < this.#options.targetPercent
  }

  /** What it would draw now, in whole mW. */
  drawOf(offer: Offer): number {
    if (!this.wantsEnergy || offer.currentA < smallestCurrentA) return 0
    const currentA = Math.min(offer.currentA, this.#options.maxCurrentA)
    const phases = Math.min(offer.phases, this.#options.phases)
    return Math.floor(currentA * voltageV * phases * 1000 * this.#taper())
  }

  /** One simulated second with that much power at the outlet. */
  second(milliwatts: number): void {
    this.#seconds += 1
    this.#storedWh = Math.min(this.#options.batteryWh, this.#storedWh + (milliwatts * efficiency) / 3_600_000)
  }

  #taper(): number {
    const { taperPercent } = this.#options
    if (this.socPercent <= taperPercent) return 1
    return 1 - (1 - taperedShare) * ((this.socPercent - taperPercent) / (100 - taperPercent))
  }
}
