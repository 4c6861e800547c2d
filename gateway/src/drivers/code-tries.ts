/** Wrong codes within a minute, after which none is looked at for the rest of it. */
const mostTries = 10
const windowMs = 60_000

/**
 * Slows down whoever tries codes at one place. Counted apart for each way that codes come: strangers who hold their
 * cards to a station must not lock out the holder who starts by remote.
 */
export class CodeTries {
  readonly #elapsedMs: () => number
  readonly #failures = new Map<string, { sinceMs: number; count: number }>()

  constructor(elapsedMs: () => number) {
    this.#elapsedMs = elapsedMs
  }

  mayTry(permit: number, way: string): boolean {
    return (this.#recent(permit, way)?.count ?? 0) < mostTries
  }

  failed(permit: number, way: string): void {
    const recent = this.#recent(permit, way)
    if (recent === undefined) this.#failures.set(`${permit}/${way}`, { sinceMs: this.#elapsedMs(), count: 1 })
    else recent.count += 1
  }

  #recent(permit: number, way: string) {
    const now = this.#elapsedMs()
    for (const [key, { sinceMs }] of this.#failures) if (now - sinceMs >= windowMs) this.#failures.delete(key)
    return this.#failures.get(`${permit}/${way}`)
  }
}
