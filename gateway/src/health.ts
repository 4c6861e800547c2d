import type { ErrorCode, ReadingState } from '@wattline/protocol'

/** One thing that is not as it should be. */
export interface HealthReason {
  readonly code: ErrorCode | ReadingState
  /** A bus, a metering point, `mqtt` or `storage`. */
  readonly where: string
  readonly message: string
}

/** `degraded` heals by itself or concerns one part; `failing` means that nothing is signed. */
export type HealthState = 'ok' | 'degraded' | 'failing'

export interface HealthReport {
  readonly status: HealthState
  readonly reasons: readonly HealthReason[]
}

/** Without these a gateway does not do its work at all. */
const fatal: readonly string[] = ['storage/full', 'storage/corrupt']

/** What is wrong at the moment: one reason per place at most, the latest. */
export class Health {
  readonly #reasons = new Map<string, HealthReason>()

  /** Notes what is wrong at a place. Returns whether that is news. */
  raise(reason: HealthReason): boolean {
    const before = this.#reasons.get(reason.where)
    this.#reasons.set(reason.where, reason)
    return before?.code !== reason.code
  }

  /** Notes that a place is well. Returns the reason that is gone, if there was one. */
  clear(where: string): HealthReason | undefined {
    const before = this.#reasons.get(where)
    this.#reasons.delete(where)
    return before
  }

  report(): HealthReport {
    const reasons = [...this.#reasons.values()]
    const failing = reasons.some(({ code }) => fatal.includes(code))
    return { status: failing ? 'failing' : reasons.length > 0 ? 'degraded' : 'ok', reasons }
  }
}
