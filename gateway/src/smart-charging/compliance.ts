import type { Outcome, Pending } from './charger.ts'
import { activeStyles, defaultStyles, type ProfileStyle } from './profile.ts'

/** A form is given up after this many refusals: one may only mean that the transaction has just ended. */
const refusalsPerStyle = 2
const tryAgainMs = 600_000
/** What a station may take above its limit before we say that it ignores it: its own meter, and how it rounds. */
const toleranceA = 2
const toleranceShare = 0.15
const blameAfterMs = 20_000

/** What one station accepts of charging profiles, learned from its answers and from what it does. */
export class Compliance {
  readonly #isAlone: boolean
  readonly #leastA: number
  #defaults: readonly ProfileStyle[] = []
  #actives: readonly ProfileStyle[] = []
  #refusals = 0
  /** How a pause is told: some refuse a limit of 0, and some every limit below 6 A. */
  #pauseA = 0
  #tooMuchSinceMs: number | undefined
  #ignores = false
  #gaveUpAtMs: number | undefined

  constructor(isAlone: boolean, leastA: number) {
    this.#isAlone = isAlone
    this.#leastA = leastA
    this.forget()
  }

  /** A new connection: its firmware may be another. */
  forget(): void {
    // A limit of the whole station would bind its other connectors too.
    this.#defaults = defaultStyles.filter((style) => this.#isAlone || style.purpose !== 'ChargingStationMaxProfile')
    this.#actives = this.#toActives(undefined)
    this.#refusals = 0
    this.#pauseA = 0
    this.#tooMuchSinceMs = undefined
    this.#ignores = false
    this.#gaveUpAtMs = undefined
  }

  #toActives(accepted: ProfileStyle | undefined): readonly ProfileStyle[] {
    return activeStyles(accepted).filter((style) => this.#isAlone || style.purpose !== 'ChargingStationMaxProfile')
  }

  /** Whether it does what it is told, as far as is known. */
  get obeys(): boolean {
    return this.#gaveUpAtMs === undefined
  }

  /** Whether it takes more than it was allowed. */
  get ignoresLimits(): boolean {
    return this.#ignores
  }

  /** Whether a charging session can be paused by a limit. */
  get canPause(): boolean {
    return this.#pauseA < this.#leastA
  }

  /** The next form to try for the limit that holds without us. */
  get defaultStyle(): ProfileStyle | undefined {
    return this.#defaults[0]
  }

  /** The next form to try for the limit of the moment. */
  activeStyle(at = 0): ProfileStyle | undefined {
    return this.#actives[at]
  }

  /** How a limit is told to it. */
  toldAs(limitA: number): number {
    return limitA === 0 ? this.#pauseA : limitA
  }

  /** After a while it is tried again, from the beginning. */
  reconsider(nowMs: number): void {
    if (this.#gaveUpAtMs !== undefined && nowMs - this.#gaveUpAtMs >= tryAgainMs) this.forget()
  }

  measured(current: number, allowedA: number, nowMs: number): void {
    const isTooMuch = current > allowedA + Math.max(toleranceA, allowedA * toleranceShare)
    this.#tooMuchSinceMs = isTooMuch ? (this.#tooMuchSinceMs ?? nowMs) : undefined
    if (this.#tooMuchSinceMs === undefined || nowMs - this.#tooMuchSinceMs < blameAfterMs) return
    this.#ignores = true
    this.#gaveUpAtMs ??= nowMs
  }

  answered({ purpose, style, offer }: Pending, outcome: Outcome, nowMs: number): void {
    if (outcome === 'lost') return
    if (outcome === 'unsupported') {
      this.#gaveUpAtMs = nowMs
      return
    }
    if (outcome === 'accepted') {
      this.#refusals = 0
      if (purpose === 'default') this.#actives = this.#toActives(style)
      return
    }
    if (offer.limitA < this.#leastA && this.canPause) {
      // The form may be right and the 0 too little.
      this.#pauseA = this.#pauseA === 0 ? 1 : this.#leastA
      return
    }
    this.#refusals += 1
    if (this.#refusals < refusalsPerStyle) return
    this.#refusals = 0
    this.#pauseA = 0
    if (purpose === 'default') this.#defaults = this.#defaults.slice(1)
    else this.#actives = this.#actives.slice(1)
    if (this.#actives.length === 0) this.#gaveUpAtMs = nowMs
  }
}
