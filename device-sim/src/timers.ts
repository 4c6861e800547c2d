/** Real or virtual time of one process, in ms from any origin. */
export interface Timers {
  now(): number
  /** Runs once after that many ms; gives a function that calls it off. */
  after(ms: number, run: () => void): () => void
}

// setTimeout counts in 31 bits.
const longestTimeoutMs = 2 ** 31 - 1
// setTimeout counts whole milliseconds and is late by up to one or two: on a fast line that is a whole answer.
const finishMs = 2

export const realTimers: Timers = {
  now: () => performance.now(),
  after(ms, run) {
    const dueMs = performance.now() + Math.min(ms, longestTimeoutMs)
    let calledOff = false
    let immediate: NodeJS.Immediate | undefined
    const finish = () => {
      if (calledOff) return
      if (performance.now() < dueMs) immediate = setImmediate(finish)
      else run()
    }
    const waitMs = Math.floor(Math.min(ms, longestTimeoutMs) - finishMs)
    const timer = waitMs < 1 ? undefined : setTimeout(finish, waitMs)
    if (timer === undefined) immediate = setImmediate(finish)
    return () => {
      calledOff = true
      clearTimeout(timer)
      clearImmediate(immediate)
    }
  },
}

/** Timers that can all be calledOff off together. */
export class TimerSet {
  readonly #timers: Timers
  readonly #running = new Set<() => void>()

  constructor(timers: Timers) {
    this.#timers = timers
  }

  now(): number {
    return this.#timers.now()
  }

  after(ms: number, run: () => void): () => void {
    const cancelTimer = this.#timers.after(Math.max(0, ms), () => {
      this.#running.delete(cancel)
      run()
    })
    const cancel = () => {
      this.#running.delete(cancel)
      cancelTimer()
    }
    this.#running.add(cancel)
    return cancel
  }

  cancelAll(): void {
    for (const cancel of this.#running) cancel()
  }
}
