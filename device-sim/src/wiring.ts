import type { LineConfig, MeterConfig } from './config.ts'
import { type Fault, type FaultKind, type FaultOf, isActive, strikes, targetOf } from './faults.ts'
import type { LineSettings } from './line-timing.ts'

/** How a meter is set and connected at this moment. */
export interface MeterWiring extends LineSettings {
  readonly unitId: number
  /** A and B are swapped at its terminals. */
  readonly inverted: boolean
}

const wiringKinds: ReadonlySet<FaultKind> = new Set([
  'ab-swapped',
  'wrong-baud',
  'wrong-parity',
  'duplicate-address',
  'missing-termination',
  'second-master',
])

/** How a line and its meters are really wired and set, with the faults that are at work at this moment. */
export class Wiring {
  readonly line: LineConfig
  readonly meters: readonly MeterConfig[]
  readonly #faults: readonly Fault[]
  readonly #elapsedSeconds: () => number

  constructor(
    line: LineConfig,
    meters: readonly MeterConfig[],
    faults: readonly Fault[],
    elapsedSeconds: () => number,
  ) {
    this.line = line
    this.meters = meters.filter((meter) => meter.line === line.id)
    this.#faults = faults.filter((fault) => wiringKinds.has(fault.kind))
    this.#elapsedSeconds = elapsedSeconds
  }

  meter(meter: MeterConfig): MeterWiring {
    let wiring: MeterWiring = {
      baudRate: meter.baudRate ?? this.line.baudRate,
      parity: meter.parity ?? this.line.parity,
      stopBits: meter.stopBits ?? this.line.stopBits,
      unitId: meter.unitId,
      inverted: false,
    }
    for (const fault of this.#faults) {
      if (strikes(fault, meter) && isActive(fault, this.#elapsedSeconds())) wiring = this.#apply(wiring, fault)
    }
    return wiring
  }

  /** A and B are swapped where the line is plugged in. */
  get inverted(): boolean {
    return this.#active('ab-swapped') !== undefined
  }

  get secondMaster(): FaultOf<'second-master'> | undefined {
    return this.#active('second-master')
  }

  /** Whether there may ever be one. */
  get mayHaveSecondMaster(): boolean {
    return this.#faults.some((fault) => fault.kind === 'second-master' && fault.line === this.line.id)
  }

  /** Every parity that one of its meters has or will have. */
  get parities(): ReadonlySet<LineSettings['parity']> {
    const own = this.meters.map((meter) => meter.parity ?? this.line.parity)
    const faulty = this.#faults.flatMap((fault) => (this.#isWrongParity(fault) ? [fault.parity] : []))
    return new Set([...own, ...faulty])
  }

  #isWrongParity(fault: Fault): fault is FaultOf<'wrong-parity'> {
    const isHere = targetOf(fault).line === this.line.id || this.meters.some((meter) => strikes(fault, meter))
    return fault.kind === 'wrong-parity' && isHere
  }

  /** The probability that one bit is read wrong. */
  bitErrorRate(baudRate: number): number {
    const fault = this.#active('missing-termination')
    if (fault === undefined) return 0
    // A signal goes 1 m in 5 ns, and an open end rings for about ten ways there and back. Where the ringing reaches
    // the middle of a bit, every twentieth is read wrong; where it dies out sooner, fewer by the square.
    const ringingMs = fault.lengthM * 5e-6 * 2 * 10
    return 0.05 * Math.min(1, (2 * ringingMs * baudRate) / 1000) ** 2
  }

  #active<Kind extends FaultKind>(kind: Kind): FaultOf<Kind> | undefined {
    const isWanted = (fault: Fault): fault is FaultOf<Kind> => fault.kind === kind
    return this.#faults
      .filter(isWanted)
      .find((fault) => targetOf(fault).line === this.line.id && isActive(fault, this.#elapsedSeconds()))
  }

  #apply(wiring: MeterWiring, fault: Fault): MeterWiring {
    switch (fault.kind) {
      case 'ab-swapped':
        // The whole line swapped at its plug leaves the meters right among themselves.
        return fault.meter === undefined ? wiring : { ...wiring, inverted: true }
      case 'wrong-baud':
        return { ...wiring, baudRate: fault.baudRate }
      case 'wrong-parity':
        return { ...wiring, parity: fault.parity }
      case 'duplicate-address':
        return { ...wiring, unitId: this.meters.find(({ id }) => id === fault.of)?.unitId ?? wiring.unitId }
      default:
        return wiring
    }
  }
}
