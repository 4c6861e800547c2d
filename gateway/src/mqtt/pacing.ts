/** How patient an uplink is. */
export interface PacingTiming {
  /** No receipt for this long: what is under way is sent again. Doubles up to the longest. */
  readonly firstResendMs: number
  readonly longestResendMs: number
}

export const defaultPacing: PacingTiming = { firstResendMs: 5_000, longestResendMs: 300_000 }

/** A ledger on a chain needs minutes to be final: waiting is for a multiple of what receipts have taken so far. */
const patience = 4

/**
 * When to send how much of one metering point. Pure: time comes in, decisions come out. While receipts come, up to
 * `window` records are under way; when they stay away, one at a time, ever more rarely, so that weeks without a ledger
 * leave little in the broker's queues; when they come back, twice as many with each.
 */
export class Pacing {
  readonly #timing: PacingTiming
  readonly #window: number
  #allowance: number
  #waitMs: number
  /** The last progress, or the first record sent after a time with nothing under way. */
  #since = 0
  #resendAllowedAt = 0
  #usualMs = 0
  #refusedMs = 0
  #heldUntil = 0
  /** New epochs since the last progress. */
  #newChains = 0

  constructor(timing: PacingTiming, window: number) {
    this.#timing = timing
    this.#window = window
    this.#allowance = window
    this.#waitMs = timing.firstResendMs
  }

  /** How many more records may go. */
  room(nowMs: number, inFlight: number): number {
    if (nowMs < this.#heldUntil) return 0
    return Math.max(0, (this.#refusedMs > 0 ? 1 : this.#allowance) - inFlight)
  }

  /** Records go out; `before` were under way already. */
  sent(nowMs: number, before: number): void {
    if (before === 0) this.#since = nowMs
  }

  /** A receipt confirmed more; `records` of it went out since the last restart, the last of them `latencyMs` ago. */
  progressed(nowMs: number, records: number, latencyMs: number | undefined): void {
    if (latencyMs !== undefined) {
      this.#usualMs = this.#usualMs === 0 ? latencyMs : 0.75 * this.#usualMs + 0.25 * latencyMs
    }
    this.#waitMs = this.#clamp(patience * this.#usualMs)
    this.#allowance = Math.min(this.#window, Math.max(2 * this.#allowance, this.#allowance + 2 * records))
    this.#since = nowMs
    this.#resendAllowedAt = 0
    this.#newChains = 0
    this.welcomed()
  }

  /** The ledger answers what is under way, without saying how far it has come: one more than that must have room. */
  answered(nowMs: number): void {
    this.#allowance = Math.min(this.#window, 2 * this.#allowance)
    this.#since = nowMs
  }

  /** Whether what is under way must be taken for lost. */
  isOverdue(nowMs: number, inFlight: number): boolean {
    return inFlight > 0 && nowMs >= this.#heldUntil && nowMs - this.#since >= this.#waitMs
  }

  /** What was under way is sent again because nothing was heard. */
  timedOut(nowMs: number): void {
    this.#allowance = 1
    this.#again(nowMs)
  }

  /** The ledger asks to send again. Returns false where that was done a moment ago: its requests cross our answer. */
  mayResend(nowMs: number): boolean {
    if (nowMs < this.#resendAllowedAt) return false
    this.#again(nowMs)
    return true
  }

  #again(nowMs: number): void {
    this.#resendAllowedAt = nowMs + this.#waitMs
    this.#waitMs = this.#clamp(2 * this.#waitMs)
    this.#since = nowMs
  }

  /** The ledger refuses the metering point: hold back. Returns false where that is so already. */
  refused(nowMs: number): boolean {
    if (nowMs < this.#heldUntil) return false
    this.#refusedMs = this.#clamp(2 * this.#refusedMs)
    this.#heldUntil = nowMs + this.#refusedMs
    return true
  }

  /** The ledger refused the chain, and a new epoch was opened: at once the first time, then ever more slowly. */
  rechained(nowMs: number): void {
    this.#newChains++
    if (this.#newChains > 1) this.refused(nowMs)
  }

  /** A receipt without a refusal: the metering point is welcome. */
  welcomed(): void {
    this.#refusedMs = 0
    this.#heldUntil = 0
  }

  /** A new connection: nothing is under way, and what was asked before is void. */
  reconnected(nowMs: number): void {
    this.#since = nowMs
    this.#resendAllowedAt = 0
    this.#heldUntil = 0
  }

  #clamp(ms: number): number {
    return Math.min(this.#timing.longestResendMs, Math.max(this.#timing.firstResendMs, ms))
  }
}
