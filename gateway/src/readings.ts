import type { Attestor, PointObservation } from './attest.ts'
import type { AttestedRecord } from './record-writer.ts'

/** What becomes of readings. */
export interface ReadingEvents {
  /** Records are signed and on the disk. */
  signed(records: readonly AttestedRecord[]): void
  /** Nothing of these readings is signed; they are gone, as a reading is never given another time. */
  lost(count: number, error: unknown): void
}

/** Takes readings from the buses and has them signed, those that come together in one transaction. */
export class Readings {
  readonly #attestor: Attestor
  readonly #events: ReadingEvents
  #queue: PointObservation[] = []
  #scheduled: NodeJS.Immediate | undefined

  constructor(attestor: Attestor, events: ReadingEvents) {
    this.#attestor = attestor
    this.#events = events
  }

  /** Takes one reading. While a commit keeps the disk busy others arrive: they share the next one. */
  push(observation: PointObservation): void {
    this.#queue.push(observation)
    this.#scheduled ??= setImmediate(() => this.flush())
  }

  /** Signs what is there now. */
  flush(): void {
    clearImmediate(this.#scheduled)
    this.#scheduled = undefined
    const observations = this.#queue
    this.#queue = []
    if (observations.length === 0) return
    try {
      this.#events.signed(this.#attestor.attest(observations))
    } catch (error) {
      this.#events.lost(observations.length, error)
    }
  }
}
