import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Scheduler } from './scheduler.ts'

interface Timer {
  readonly atMs: number
  readonly action: () => void
}

/** Virtual time for tests: weeks pass as fast as the code under test runs. */
export class FakeScheduler implements Scheduler {
  #nowMs = 0
  readonly #timers = new Set<Timer>()

  now(): number {
    return this.#nowMs
  }

  after(delayMs: number, action: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), action }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** Lets time pass; what each timer sets off is done before the next one fires. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    await nextTurn()
    for (let timer = this.#first(endMs); timer !== undefined; timer = this.#first(endMs)) {
      this.#timers.delete(timer)
      this.#nowMs = Math.max(this.#nowMs, timer.atMs)
      timer.action()
      await nextTurn()
    }
    this.#nowMs = endMs
  }

  #first(endMs: number): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.atMs <= endMs && (first === undefined || timer.atMs < first.atMs)) first = timer
    }
    return first
  }
}
