import { WattError } from '@wattline/protocol'
import type { RegisterReading } from '../modbus/register-reading.ts'

/** One register as it is shown: the last words that came, how old they are, and what went wrong last. */
export interface LiveRow extends Omit<RegisterReading, 'error'> {
  /** Since the words came; absent where none ever did. */
  readonly ageMs?: number
  /** Whether this look brought the words. */
  readonly isFresh: boolean
  readonly lastError?: { readonly error: WattError; readonly ageMs: number }
}

interface Remembered {
  reading: RegisterReading
  readAtMs?: number
  lastError?: { readonly error: WattError; readonly atMs: number }
}

/** What repeated looks at one meter have brought. */
export class LiveMeter {
  readonly #rows = new Map<string, Remembered>()

  /** Takes one look; a WattError says that nothing could be asked for. */
  take(readings: readonly RegisterReading[] | WattError, nowMs: number): void {
    if (readings instanceof WattError) {
      for (const row of this.#rows.values()) row.lastError = { error: readings, atMs: nowMs }
      return
    }
    for (const reading of readings) {
      const { error, words } = reading
      const before: Remembered = this.#rows.get(reading.name) ?? { reading }
      const after = words === undefined ? before : { ...before, reading, readAtMs: nowMs }
      this.#rows.set(reading.name, error === undefined ? after : { ...after, lastError: { error, atMs: nowMs } })
    }
  }

  rows(nowMs: number): readonly LiveRow[] {
    return [...this.#rows.values()].map(({ reading: { error: _, ...reading }, readAtMs, lastError }) => ({
      ...reading,
      isFresh: readAtMs === nowMs,
      ...(readAtMs === undefined ? {} : { ageMs: nowMs - readAtMs }),
      ...(lastError === undefined ? {} : { lastError: { error: lastError.error, ageMs: nowMs - lastError.atMs } }),
    }))
  }
}
