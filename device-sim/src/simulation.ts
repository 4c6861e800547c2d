import { AnswerFaults } from './answer-faults.ts'
import type { SimConfig } from './config.ts'
import type { CheckedConfig } from './decode-config.ts'
import { type EnergyNode, EnergyTree, type Flow, millijoulesPerWh } from './energy-tree.ts'
import { type Fault, strikes, targetOf } from './faults.ts'
import { makeLoadCurve } from './load-curve.ts'
import { SimMeter } from './meter.ts'
import { type Answer, answerPdu } from './pdu.ts'
import { randomAt } from './random.ts'
import type { Timers } from './timers.ts'

/** The beginning or the end of a fault, in real seconds since the start. */
export interface FaultEdge {
  readonly atSeconds: number
  readonly fault: Fault
  readonly edge: 'started' | 'ended'
}

/** The true registers of one meter, in Wh with three decimals. */
export interface MeterReport {
  readonly meter: string
  readonly serial: string
  readonly importWh: string
  readonly exportWh: string
  /** What has passed since the start, whatever happened to the registers. */
  readonly importedWh: string
  readonly exportedWh: string
  /** What it measures besides energy, in base units. */
  readonly values: Readonly<Record<string, number>>
}

/** All meters in one simulated time, which begins with `start` and moves only when somebody looks. */
export class Simulation {
  readonly meters = new Map<string, SimMeter>()
  readonly edges: readonly FaultEdge[]
  readonly #config: SimConfig
  readonly #tree: EnergyTree
  readonly #answerFaults: AnswerFaults
  readonly #timers: Timers
  #startedAtMs: number | undefined
  #edgesDone = 0
  #heldAtSeconds = Number.POSITIVE_INFINITY

  /** `more`: what else takes energy, and may be seen by a meter. */
  constructor({ config, profiles }: CheckedConfig, timers: Timers, more: readonly EnergyNode[] = []) {
    this.#config = config
    this.#timers = timers
    this.#answerFaults = new AnswerFaults(config.faults)
    this.edges = toEdges(config.faults)
    const nodes = config.meters.map((meter) => ({
      id: meter.id,
      sees: meter.sees,
      curve: makeLoadCurve(meter.curve, meter),
    }))
    this.#tree = new EnergyTree([...nodes, ...more], Math.floor(Date.parse(config.time.startsAt) / 1000))
    for (const meter of config.meters) {
      const profile = profiles.get(meter.profile)
      if (profile === undefined) throw new Error(`profile '${meter.profile}' was not checked`)
      this.meters.set(
        meter.id,
        new SimMeter({
          id: meter.id,
          profile,
          serial: meter.serial ?? makeSerial(meter.id, meter.seed),
          startWh: toStartWh(meter),
          flow: this.#tree.flowOf(meter.id),
          seconds: () => this.#tree.seconds,
          ...(meter.sunspecBase === undefined ? {} : { sunspecBase: meter.sunspecBase }),
        }),
      )
    }
  }

  start(): void {
    this.#startedAtMs = this.#timers.now()
  }

  /** Real seconds since the start. */
  get elapsedSeconds(): number {
    return this.#startedAtMs === undefined ? 0 : (this.#timers.now() - this.#startedAtMs) / 1000
  }

  /** Lets nothing flow any more: all registers stand as of this moment, so that meters read one after the other agree. */
  hold(): void {
    this.advance()
    this.#heldAtSeconds = Math.min(this.#heldAtSeconds, this.elapsedSeconds)
  }

  /** Brings every meter to this moment; faults take hold at their own moment, not when somebody looks. */
  advance(): void {
    const { speedUp } = this.#config.time
    const elapsed = this.elapsedSeconds
    for (
      let next = this.edges[this.#edgesDone];
      next !== undefined && next.atSeconds <= elapsed;
      next = this.edges[this.#edgesDone]
    ) {
      this.#tree.stepTo(Math.min(next.atSeconds, this.#heldAtSeconds) * speedUp)
      this.#apply(next)
      this.#edgesDone += 1
    }
    this.#tree.stepTo(Math.min(elapsed, this.#heldAtSeconds) * speedUp)
  }

  flowOf(nodeId: string): Flow {
    return this.#tree.flowOf(nodeId)
  }

  /** Whether a power cut at a meter reaches so far. */
  isDark(nodeId: string): boolean {
    return this.#tree.isDark(nodeId)
  }

  /** Answers a request to a meter as it would now, with whatever fault is at work. */
  answer(meterId: string, pdu: Uint8Array): Answer | undefined {
    const meter = this.meters.get(meterId)
    if (meter === undefined) return undefined
    this.advance()
    if (this.#tree.isDark(meterId)) return undefined
    const line = this.#config.meters.find(({ id }) => id === meterId)?.line
    const answer = { pdu: answerPdu(pdu, meter), delayMs: 0 }
    return this.#answerFaults.apply(answer, { id: meterId, line }, this.elapsedSeconds)
  }

  /** The true registers of all meters at this moment. */
  report(): readonly MeterReport[] {
    this.advance()
    return [...this.meters.values()].map((meter) => {
      const flow = this.#tree.flowOf(meter.id)
      return {
        meter: meter.id,
        serial: meter.serial,
        importWh: formatWh(meter.registers.importMillijoules),
        exportWh: formatWh(meter.registers.exportMillijoules),
        importedWh: formatWh(flow.importMillijoules),
        exportedWh: formatWh(flow.exportMillijoules),
        values: meter.values,
      }
    })
  }

  #apply({ fault, edge }: FaultEdge): void {
    const started = edge === 'started'
    if (fault.kind === 'power-cut') {
      for (const meter of this.#config.meters) if (strikes(fault, meter)) this.#tree.setCut(meter.id, started)
      return
    }
    const meter = this.meters.get(targetOf(fault).meter ?? '')
    if (meter === undefined) return
    if (fault.kind === 'stuck') meter.setStuck(started)
    else if (fault.kind === 'no-value') meter.setValueless(started)
    else if (fault.kind === 'shifted-map') meter.setShift(started ? fault.by : 0)
    else if (fault.kind === 'swapped-words') meter.setWordsSwapped(started)
    else if (fault.kind === 'reversed-feed') meter.connect({ reversed: started })
    else if (fault.kind === 'ct-wrong-phase') meter.connect({ wrongPhases: started ? fault.phases : [] })
    else if (fault.kind === 'roll-over') meter.rollOver(fault.widthWh)
    else if (fault.kind === 'meter-swapped') meter.swap(fault.toSerial, fault.startWh)
    else if (fault.kind === 'register-jump') meter.jump(fault.byWh)
  }
}

function toEdges(faults: readonly Fault[]): readonly FaultEdge[] {
  const edges = faults.flatMap((fault): FaultEdge[] => {
    const started: FaultEdge = { atSeconds: fault.at, fault, edge: 'started' }
    const lasts = 'for' in fault ? fault.for : undefined
    return lasts === undefined ? [started] : [started, { atSeconds: fault.at + lasts, fault, edge: 'ended' }]
  })
  return edges.sort((a, b) => a.atSeconds - b.atSeconds)
}

function toStartWh({ startWh, seed }: SimConfig['meters'][number]): { import: bigint; export: bigint } {
  if (typeof startWh === 'number') return { import: BigInt(startWh), export: BigInt(startWh) }
  // A meter in use for some years.
  const made = (index: number) => 1_000_000 + Math.floor(randomAt(seed, index) * 8_000_000)
  return { import: BigInt(startWh?.import ?? made(-2)), export: BigInt(startWh?.export ?? made(-3)) }
}

// FNV-1a over the id, so that meters with the same seed still have different serial numbers.
function makeSerial(id: string, seed: number): string {
  const hash = [...id].reduce((sum, character) => Math.imul(sum ^ character.charCodeAt(0), 0x0100_0193), 0x811c_9dc5)
  return String(10_000_000 + Math.floor(randomAt(hash, seed) * 89_999_999))
}

function formatWh(millijoules: bigint): string {
  const digits = ((millijoules * 1000n) / millijoulesPerWh).toString().padStart(4, '0')
  return `${digits.slice(0, -3)}.${digits.slice(-3)}`
}
