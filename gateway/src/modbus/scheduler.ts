/** Timers and a clock that only runs forward: what intervals are measured with. Tests drive one by hand. */
export interface Scheduler {
  /** Milliseconds from an arbitrary start; never steps, unlike the wall clock. */
  now(): number
  /** Runs an action after a delay; the returned function takes it back. */
  after(delayMs: number, action: () => void): () => void
}

// setTimeout runs at once when its delay does not fit 31 bits.
const maxDelayMs = 2 ** 31 - 1
// setTimeout counts whole milliseconds and fires up to one early or late. The silence between two frames is 1.75 ms
// above 19200 baud: a millisecond more would cost a tenth of the line.
const preciseBelowMs = 2

/** The scheduler of a running program. */
export const systemScheduler: Scheduler = {
  now: () => performance.now(),
  after: (delayMs, action) => {
    if (delayMs < preciseBelowMs) return afterTurns(performance.now() + delayMs, action)
    const timer = setTimeout(action, Math.min(Math.max(0, delayMs), maxDelayMs))
    return () => clearTimeout(timer)
  },
}

// Turns the event loop until the moment has come: whatever else arrives meanwhile is served.
function afterTurns(momentMs: number, action: () => void): () => void {
  const turn = () => {
    if (performance.now() < momentMs) turning = setImmediate(turn)
    else action()
  }
  let turning = setImmediate(turn)
  return () => clearImmediate(turning)
}

/** Resolves at a moment of the scheduler, never before it, and not much later. */
export async function waitUntil(scheduler: Scheduler, momentMs: number): Promise<void> {
  for (let restMs = momentMs - scheduler.now(); restMs > 0; restMs = momentMs - scheduler.now()) {
    // A long wait ends early, so that a short one can end in time.
    const delayMs = restMs < preciseBelowMs ? restMs : Math.max(preciseBelowMs, Math.floor(restMs - 1))
    await new Promise<void>((resolve) => scheduler.after(delayMs, resolve))
  }
}
