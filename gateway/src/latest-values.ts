import type { OtherValues } from './modbus/other-values.ts'

/** The latest other values of each meter, while they are fresh: a value that could not be read again is gone. */
export class LatestValues {
  readonly #byMeter = new Map<
    string,
    { readonly values: OtherValues; readonly takenMs: number; readonly untilMs: number }
  >()
  readonly #now: () => number

  /** `now` counts monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Takes values that are read again after an interval. One round may be missed. */
  take(meterId: string, values: OtherValues, intervalSeconds: number): void {
    const takenMs = this.#now()
    this.#byMeter.set(meterId, { values, takenMs, untilMs: takenMs + 2500 * intervalSeconds })
  }

  of(meterId: string): OtherValues | undefined {
    const latest = this.#byMeter.get(meterId)
    return latest !== undefined && latest.untilMs > this.#now() ? latest.values : undefined
  }

  /** The same, where they are no older than this: for whoever acts on them. */
  within(meterId: string, ageMs: number): OtherValues | undefined {
    const latest = this.#byMeter.get(meterId)
    return latest !== undefined && this.#now() - latest.takenMs <= ageMs ? latest.values : undefined
  }
}
