/** How long to wait between two attempts to connect. */
export interface BackOffTiming {
  readonly firstMs: number
  readonly longestMs: number
}

export const defaultBackOff: BackOffTiming = { firstMs: 1_000, longestMs: 300_000 }

/**
 * Doubles with each failure, and is spread over its upper half: an operator's CSMS that comes back must not meet every
 * station of every site in one second.
 */
export class BackOff {
  readonly #timing: BackOffTiming
  readonly #random: () => number
  #failures = 0

  constructor(timing: BackOffTiming, random: () => number) {
    this.#timing = timing
    this.#random = random
  }

  /** The pause before the next attempt. */
  next(): number {
    const { firstMs, longestMs } = this.#timing
    const full = Math.min(longestMs, firstMs * 2 ** Math.min(this.#failures++, 30))
    return (full * (1 + this.#random())) / 2
  }

  /** The other side works. */
  reset(): void {
    this.#failures = 0
  }
}
