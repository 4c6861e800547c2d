/** How much one visitor may ask for, and how many visitors are remembered. */
export interface RateLimits {
  readonly perSecond: number
  readonly burst: number
  readonly visitors: number
}

interface Bucket {
  left: number
  at: number
}

/** Counts what visitors ask for: each has a store of asks that fills up again with time. */
export class RateLimit {
  readonly #limits: RateLimits
  readonly #nowMs: () => number
  readonly #buckets = new Map<string, Bucket>()

  constructor(limits: RateLimits, nowMs: () => number) {
    this.#limits = limits
    this.#nowMs = nowMs
  }

  /** Whether a visitor may ask once more now; if so, that is counted. */
  take(visitor: string): boolean {
    const { perSecond, burst, visitors } = this.#limits
    const at = this.#nowMs()
    const known = this.#buckets.get(visitor) ?? { left: burst, at }
    // The map keeps the order of insertion: whoever asked last is forgotten last.
    this.#buckets.delete(visitor)
    const left = Math.min(burst, known.left + ((at - known.at) / 1000) * perSecond)
    this.#buckets.set(visitor, { left: left < 1 ? left : left - 1, at })
    const oldest = this.#buckets.keys().next()
    if (this.#buckets.size > visitors && oldest.done !== true) this.#buckets.delete(oldest.value)
    return left >= 1
  }
}
