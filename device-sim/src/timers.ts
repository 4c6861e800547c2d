/** Real or virtual time of one process, in ms from any origin. */
export interface Timers {
  now(): number
  /** Runs once after that many ms; gives a function that calls it off. */
  after(ms: number, run: () => void): () => void
}

// setTimeout counts in 31 bits.
const longestTimeoutMs = 2 ** 31 - 1

export const realTimers: Timers = {
  now: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, longestTimeoutMs))
    return () => clearTimeout(timer)
  },
}
