import type { Charger } from './charger.ts'

interface Turn {
  /** Since when it charges in this turn. */
  sinceMs: number | undefined
  /** When its last turn ended; those who never had one come first. */
  endedMs: number
}

/** Whose turn it is where not all can have their least: each charges for a while, then makes way. */
export class Turns {
  readonly #turnMs: number
  readonly #turns = new Map<Charger, Turn>()

  constructor(turnMs: number) {
    this.#turnMs = turnMs
  }

  /** Those in their turn, the longest first, then those who have waited longest. */
  order(chargers: readonly Charger[], nowMs: number): readonly Charger[] {
    const inTurn = (charger: Charger) => {
      const sinceMs = this.#turns.get(charger)?.sinceMs
      return sinceMs !== undefined && nowMs - sinceMs < this.#turnMs
    }
    const rank = (charger: Charger) => {
      const { sinceMs, endedMs = 0 } = this.#turns.get(charger) ?? {}
      return inTurn(charger) ? (sinceMs ?? 0) : sinceMs === undefined ? endedMs : nowMs
    }
    return chargers.toSorted(
      (a, b) => Number(inTurn(b)) - Number(inTurn(a)) || rank(a) - rank(b) || (a.setup.key < b.setup.key ? -1 : 1),
    )
  }

  /** Notes who got something. */
  served(active: readonly Charger[], isServed: (charger: Charger) => boolean, nowMs: number): void {
    for (const charger of this.#turns.keys()) if (!active.includes(charger)) this.#turns.delete(charger)
    for (const charger of active) {
      const turn = this.#turns.get(charger) ?? { sinceMs: undefined, endedMs: 0 }
      this.#turns.set(charger, turn)
      const isOver = turn.sinceMs !== undefined && nowMs - turn.sinceMs >= this.#turnMs
      if (!isServed(charger)) {
        if (turn.sinceMs !== undefined) turn.endedMs = nowMs
        turn.sinceMs = undefined
      } else if (turn.sinceMs === undefined || isOver) turn.sinceMs = nowMs
    }
  }
}
