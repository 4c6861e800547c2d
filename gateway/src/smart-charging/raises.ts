import type { Charger } from './charger.ts'

/** A household's loads come and go: more is given only when it was there all the time. */
const waitMs = 10_000
/** What is hardly worth a message waits longer. */
const waitForLittleMs = 60_000
const littleA = 1
/** A vehicle that was paused starts only for good: contactors and vehicles suffer from each start. */
const waitToStartMs = 60_000
/** So that a wrong guess about what flows shows while it is still small. */
const mostAtOnceA = 6

/** When a charger may be given more, and how much. */
export class Raises {
  readonly #waiting = new Map<Charger, { sinceMs: number; leastA: number }>()

  /** The current that may be offered now instead of `nowA`, which is not more than was wanted all the time. */
  next(charger: Charger, nowA: number, wantedA: number, nowMs: number): number {
    if (wantedA <= nowA + 0.05) {
      this.#waiting.delete(charger)
      return nowA
    }
    const waiting = this.#waiting.get(charger) ?? { sinceMs: nowMs, leastA: wantedA }
    waiting.leastA = Math.min(waiting.leastA, wantedA)
    this.#waiting.set(charger, waiting)
    const neededMs = nowA === 0 ? waitToStartMs : waiting.leastA - nowA < littleA ? waitForLittleMs : waitMs
    if (nowMs - waiting.sinceMs < neededMs) return nowA
    return Math.min(waiting.leastA, Math.max(nowA + mostAtOnceA, charger.setup.minCurrentA))
  }

  done(charger: Charger): void {
    this.#waiting.delete(charger)
  }
}
