import type { ConnectorStatus } from './charger.ts'
import type { ChargerSetup, PhaseCurrents } from './site.ts'

/** What flowed at one moment, and what was offered then. */
export interface Sample {
  readonly currents: PhaseCurrents
  readonly atMs: number
  readonly offeredA: number
  /** The vehicle had time to follow the offer. */
  readonly isSettled: boolean
}

/** A vehicle takes a little less than it is offered, and its meter is not exact. */
const tolerance = (offeredA: number) => Math.max(0.7, 0.05 * offeredA)
/** Room above what it takes, so that it shows when it could take more. */
const headroomA = 0.4
const flowsA = 1
const quietMs = 60_000

/** What a vehicle can use, learned from what it takes. All of it is forgotten with the session. */
export class Demand {
  readonly #setup: ChargerSetup
  #sample: Sample | undefined
  #mostTakenA: number | undefined
  #phases: readonly number[] | undefined
  #onePhaseSamples = 0
  #quietSinceMs: number | undefined

  constructor(setup: ChargerSetup) {
    this.#setup = setup
  }

  forget(): void {
    this.#sample = undefined
    this.#mostTakenA = undefined
    this.#phases = undefined
    this.#onePhaseSamples = 0
    this.#quietSinceMs = undefined
  }

  heardStatus(status: ConnectorStatus, nowMs: number): void {
    if (status === 'suspended-ev') this.#quietSinceMs ??= nowMs
    if (status === 'charging') this.#quietSinceMs = undefined
    // What was measured before says nothing of a vehicle that has stopped since.
    if (status !== 'charging') this.#sample = undefined
  }

  sampled(sample: Sample): void {
    this.#sample = sample
    const most = Math.max(...sample.currents)
    if (most >= flowsA) this.#quietSinceMs = undefined
    else if (sample.isSettled && sample.offeredA > 0) this.#quietSinceMs ??= sample.atMs
    if (most < flowsA) return
    this.#learnPhases(sample.currents)
    if (this.tookAll(sample)) this.#mostTakenA = undefined
    else if (sample.isSettled) this.#mostTakenA = most
  }

  // Two samples: contactors of a phase may close one after the other.
  #learnPhases(currents: PhaseCurrents): void {
    const used = this.#setup.phases.filter((phase) => (currents[phase] ?? 0) >= 0.5)
    if (used.length === 0) return
    const isFewer = used.length < (this.#phases ?? this.#setup.phases).length
    if (!isFewer) {
      this.#phases = used
      this.#onePhaseSamples = 0
      return
    }
    this.#onePhaseSamples += 1
    if (this.#onePhaseSamples >= 2) this.#phases = used
  }

  freshSample(nowMs: number, ageMs: number): Sample | undefined {
    return this.#sample !== undefined && nowMs - this.#sample.atMs <= ageMs ? this.#sample : undefined
  }

  /** Whether the vehicle took as much as it was offered. */
  tookAll({ currents, offeredA }: Sample): boolean {
    return Math.max(...currents) >= offeredA - tolerance(offeredA)
  }

  /** The house's phases that it uses; undefined while nobody knows. */
  get phasesLearned(): readonly number[] | undefined {
    return this.#phases
  }

  /** It could take current and does not. */
  get isQuiet(): boolean {
    return this.#quietSinceMs !== undefined
  }

  /** It has not wanted any for so long that others may have its share. */
  isIdle(nowMs: number): boolean {
    return this.#quietSinceMs !== undefined && nowMs - this.#quietSinceMs >= quietMs
  }

  /** The most that is of use to it, given what it is offered now. */
  usefulA(offeredA: number): number {
    const { maxCurrentA, minCurrentA } = this.#setup
    if (this.#mostTakenA === undefined) return maxCurrentA
    const useful = Math.max(minCurrentA, this.#mostTakenA + tolerance(this.#mostTakenA) + headroomA)
    // A little too much offered harms nobody, and each change costs a message.
    const settled = useful < offeredA && offeredA - useful < 1 ? offeredA : useful
    return Math.min(maxCurrentA, settled)
  }
}
