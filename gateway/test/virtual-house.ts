import type { ErrorCode } from '@wattline/protocol'

/** What has flowed through a meter since it was made, and what flows now: import positive. */
export interface PowerFlow {
  readonly importWh: number
  readonly exportWh: number
  readonly powerW: number
}

const names = ['roof', 'heat-pump', 'house'] as const
type Name = (typeof names)[number]

const roofPeakW = 8_000
const heatPumpW = 2_500
const idleW = 150
const cookingW = 1_800
/** A poll gets no answer now and then; and some days a plug is pulled, for three hours at the most. */
const lostPolls = 0.005
const unplugged = 0.0004
const longestUnpluggedMinutes = 180

/**
 * A house for tests, minute by minute: a roof and a heat pump with meters of their own, lights and a stove without, and
 * the grid meter that sees them all. The same seed gives the same weeks.
 */
export class VirtualHouse {
  readonly #random: () => number
  readonly #flows: Record<Name, PowerFlow>
  readonly #unpluggedUntil = new Map<string, number>()
  #minute = 0
  #sky = 0.7

  constructor(seed: number) {
    this.#random = makeRandom(seed)
    const begin = (importWh: number, exportWh: number) => ({ importWh, exportWh, powerW: 0 })
    this.#flows = { roof: begin(31, 812_345), 'heat-pump': begin(1_234_567, 0), house: begin(7_654_321, 2_345_678) }
  }

  /** A minute passes; `flows` says whether anything is switched on. */
  advance(minuteOfDay: number, flows: boolean): void {
    this.#minute++
    this.#sky = Math.min(1, Math.max(0.1, this.#sky + 0.1 * (this.#random() - 0.5)))
    const sun = Math.max(0, Math.sin(((minuteOfDay - 360) / 720) * Math.PI))
    const roofW = flows ? roofPeakW * sun * this.#sky : 0
    const heatW = flows && this.#random() < 0.4 ? heatPumpW : 0
    const restW = flows ? idleW + (this.#random() < 0.1 ? cookingW : 0) : 0
    this.#pass('roof', -roofW)
    this.#pass('heat-pump', heatW)
    this.#pass('house', heatW + restW - roofW)
  }

  #pass(name: Name, powerW: number): void {
    const { importWh, exportWh } = this.#flows[name]
    const wh = powerW / 60
    this.#flows[name] = { importWh: importWh + Math.max(0, wh), exportWh: exportWh + Math.max(0, -wh), powerW }
  }

  /** What a meter shows. */
  read(meter: string): PowerFlow {
    const name = names.find((known) => known === meter)
    if (name === undefined) throw new Error(`the virtual house has ${names.join(', ')}, and no meter '${meter}'`)
    return this.#flows[name]
  }

  /** Why a poll of a meter fails, if it does. */
  fails(meter: string): ErrorCode | undefined {
    if (this.#random() < unplugged) {
      this.#unpluggedUntil.set(meter, this.#minute + this.#random() * longestUnpluggedMinutes)
    }
    if ((this.#unpluggedUntil.get(meter) ?? 0) > this.#minute) return 'bus/closed'
    return this.#random() < lostPolls ? 'bus/timeout' : undefined
  }
}

// mulberry32: the same sequence for the same seed everywhere.
function makeRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
