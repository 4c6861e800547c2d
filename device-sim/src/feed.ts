import type { Phase } from './electricity.ts'
import type { Flow } from './energy-tree.ts'

interface Counted {
  readonly import: bigint
  readonly export: bigint
}

/** How a meter is connected to what flows: it counts another thing when it is fed backwards, or with its transformers mixed up. */
export class Feed {
  readonly #flow: Flow
  readonly #phases: number
  #reversed = false
  #wrongPhases: readonly Phase[] = []
  #before: Counted = { import: 0n, export: 0n }

  constructor(flow: Flow, phases: number) {
    this.#flow = flow
    this.#phases = phases
  }

  /** Phases whose current transformer sits on another phase's conductor. */
  get wrongPhases(): readonly Phase[] {
    return this.#wrongPhases
  }

  /** What flows through all phases together if each transformer sits where it should. */
  get powerMilliwatts(): number {
    return this.#reversed ? -this.#flow.powerMilliwatts : this.#flow.powerMilliwatts
  }

  /** What the meter has counted since the start, in mJ. */
  get counted(): Counted {
    const now = this.#countAsConnected()
    return { import: this.#before.import + now.import, export: this.#before.export + now.export }
  }

  /** Connects the meter otherwise. The counters go on from where they are. */
  connect(change: { readonly reversed?: boolean; readonly wrongPhases?: readonly Phase[] }): void {
    const { counted } = this
    this.#reversed = change.reversed ?? this.#reversed
    this.#wrongPhases = change.wrongPhases ?? this.#wrongPhases
    const now = this.#countAsConnected()
    this.#before = { import: counted.import - now.import, export: counted.export - now.export }
  }

  // A phase whose transformer is 120 degrees off counts cos 120 degrees of its energy: half of it, the other way.
  #countAsConnected(): Counted {
    const halves = BigInt(2 * this.#phases - 3 * this.#wrongPhases.length)
    const share = (value: bigint) => (value * (halves < 0n ? -halves : halves)) / BigInt(2 * this.#phases)
    const [forward, back] = [share(this.#flow.importMillijoules), share(this.#flow.exportMillijoules)]
    return this.#reversed !== halves < 0n ? { import: back, export: forward } : { import: forward, export: back }
  }
}
