/** Timers and a clock that only runs forward: what intervals are measured with. Tests drive one by hand. */
export interface Scheduler {
  /** Milliseconds from an arbitrary start; never steps, unlike the wall clock. */
  now(): number
  /** Runs an action after a delay; the returned function takes it back. */
  after(delayMs: number, action: () => void): () => void
}

// setTimeout runs at once when its delay does not fit 31 bits.
const maxDelayMs = 2 ** 31 - 1

/** The scheduler of a running program. */
export const systemScheduler: Scheduler = {
  now: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, Math.min(Math.max(0, delayMs), maxDelayMs))
    return () => clearTimeout(timer)
  },
}

/** Resolves at a moment of the scheduler, never before it: timers of Node fire up to a millisecond early. */
export async function waitUntil(scheduler: Scheduler, momentMs: number): Promise<void> {
  for (let restMs = momentMs - scheduler.now(); restMs > 0; restMs = momentMs - scheduler.now()) {
    await new Promise<void>((resolve) => scheduler.after(Math.ceil(restMs), resolve))
  }
}
