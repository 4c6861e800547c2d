import type { LoadCurve } from './load-curve.ts'

/** What has passed one meter since the start. 1 Wh is 3,600,000 mJ. */
export interface Flow {
  readonly powerMilliwatts: number
  readonly importMillijoules: bigint
  readonly exportMillijoules: bigint
}

export interface EnergyNode {
  readonly id: string
  /** The load that hangs on this meter alone. */
  readonly curve: LoadCurve
  /** Meters whose flow also passes this one. */
  readonly sees: readonly string[]
}

export const millijoulesPerWh = 3_600_000n

interface NodeState {
  readonly node: EnergyNode
  powerMilliwatts: number
  importMillijoules: bigint
  exportMillijoules: bigint
}

/**
 * Integrates all meters in the same steps of one simulated second. Power is a whole number of mW, so what the
 * meters of a house count adds up to the last mJ. Import and export are netted within each step, over all phases.
 */
export class EnergyTree {
  readonly #states = new Map<string, NodeState>()
  readonly #leavesFirst: readonly NodeState[]
  readonly #startsAtSeconds: number
  readonly #cut = new Set<string>()
  #seconds = 0

  /** `sees` must be free of cycles, and no meter may be seen by two others. */
  constructor(nodes: readonly EnergyNode[], startsAtSeconds: number) {
    for (const node of nodes) {
      this.#states.set(node.id, { node, powerMilliwatts: 0, importMillijoules: 0n, exportMillijoules: 0n })
    }
    this.#leavesFirst = this.#sort(nodes)
    this.#startsAtSeconds = startsAtSeconds
  }

  /** Simulated seconds since the start. */
  get seconds(): number {
    return this.#seconds
  }

  flowOf(id: string): Flow {
    return this.#stateOf(id)
  }

  /** Nothing flows through a meter that is cut off, nor through those behind it. */
  setCut(id: string, cut: boolean): void {
    if (cut) this.#cut.add(id)
    else this.#cut.delete(id)
  }

  isDark(id: string): boolean {
    if (this.#cut.has(id)) return true
    return [...this.#states.values()].some(({ node }) => node.sees.includes(id) && this.isDark(node.id))
  }

  stepTo(seconds: number): void {
    if (seconds < this.#seconds + 1) return
    const dark = new Set(this.#cut.size === 0 ? [] : [...this.#states.keys()].filter((id) => this.isDark(id)))
    while (this.#seconds + 1 <= seconds) {
      const now = this.#startsAtSeconds + this.#seconds
      for (const state of this.#leavesFirst) this.#step(state, dark.has(state.node.id) ? undefined : now)
      this.#seconds += 1
    }
  }

  #step(state: NodeState, now: number | undefined): void {
    const power =
      now === undefined
        ? 0
        : state.node.sees.reduce((sum, id) => sum + this.#stateOf(id).powerMilliwatts, state.node.curve(now))
    state.powerMilliwatts = power
    if (power > 0) state.importMillijoules += BigInt(power)
    else if (power < 0) state.exportMillijoules += BigInt(-power)
  }

  #stateOf(id: string): NodeState {
    const state = this.#states.get(id)
    if (state === undefined) throw new Error(`no meter '${id}' in the tree`)
    return state
  }

  #sort(nodes: readonly EnergyNode[]): readonly NodeState[] {
    const sorted = new Set<string>()
    const visit = (id: string): void => {
      this.#stateOf(id).node.sees.forEach(visit)
      sorted.add(id)
    }
    for (const node of nodes) visit(node.id)
    return [...sorted].map((id) => this.#stateOf(id))
  }
}
