import type { Timers } from './timers.ts'

/** Time that stands still until it is moved. */
export class VirtualTimers implements Timers {
  #nowMs = 0
  #waiting: { readonly atMs: number; readonly run: () => void }[] = []

  now(): number {
    return this.#nowMs
  }

  after(ms: number, run: () => void): () => void {
    const entry = { atMs: this.#nowMs + ms, run }
    this.#waiting.push(entry)
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== entry)
    }
  }

  /** Moves time ahead and runs what falls due, in order. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (let next = this.#takeDue(endMs); next !== undefined; next = this.#takeDue(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.run()
    }
    this.#nowMs = endMs
  }

  #takeDue(endMs: number) {
    const [first] = this.#waiting.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)
    this.#waiting = this.#waiting.filter((entry) => entry !== first)
    return first
  }
}
