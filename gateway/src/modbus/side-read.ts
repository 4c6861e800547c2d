import { WattError } from '@wattline/protocol'
import type { Scheduler } from './scheduler.ts'

// A meter without that register must not cost a timeout at every poll.
const failuresToRest = 3
const restMs = 3_600_000

/** A read beside the energy's: its failure spoils nothing, and after a few of them it is left alone for a while. */
export class SideRead<T> {
  readonly #scheduler: Scheduler
  readonly #read: () => Promise<T>
  #failures = 0
  #restUntilMs = Number.NEGATIVE_INFINITY

  constructor(scheduler: Scheduler, read: () => Promise<T>) {
    this.#scheduler = scheduler
    this.#read = read
  }

  /** The value, or undefined: not asked, or why there is none. */
  async tryRead(): Promise<{ readonly value?: T; readonly error?: WattError }> {
    if (this.#scheduler.now() < this.#restUntilMs) return {}
    try {
      const value = await this.#read()
      this.#failures = 0
      return { value }
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      this.#fail(error)
      return { error }
    }
  }

  /** Another meter may answer now. */
  reset(): void {
    this.#failures = 0
    this.#restUntilMs = Number.NEGATIVE_INFINITY
  }

  #fail(error: WattError): void {
    this.#failures = error.retryable ? this.#failures + 1 : failuresToRest
    if (this.#failures < failuresToRest) return
    this.#failures = 0
    this.#restUntilMs = this.#scheduler.now() + restMs
  }
}
