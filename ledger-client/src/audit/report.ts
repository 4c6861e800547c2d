import type { ErrorCode } from '@wattline/protocol'

/** One thing that is wrong, and where. */
export interface Fault {
  /** `<point>@<epoch>/<sequence>`, `entry <n>`, `account <name>`, `point <name>`, `records`, `journal` or `file`. */
  readonly place: string
  readonly code: ErrorCode
  readonly message: string
}

/** The operator, by the journal, and what carries that signature (SPEC-157). */
export interface OperatorReport {
  /** SPKI of the key that counts now; null where none was ever pinned. */
  readonly key: string | null
  readonly signedActs: number
  /** Acts from before the first key: they stay as they are, and nobody can tell who did them. */
  readonly unsignedActs: number
}

/** What a full check found. */
export interface AuditReport {
  readonly ok: boolean
  /** The first one comes first; at most a hundred. */
  readonly faults: readonly Fault[]
  readonly counts: {
    readonly points: number
    readonly records: number
    readonly entries: number
    readonly accounts: number
    readonly anchors: number
  }
  readonly operator?: OperatorReport
  /** What the records' authenticity rests on (SPEC-54). */
  readonly checks: {
    /** Records whose own signature was checked: each epoch's last, and all whose text no seal covers. */
    readonly signatures: number
    /** Records that are authentic because a checked one names them by hash, and whose text is as it was sealed. */
    readonly byHash: number
    /** Signed heads and receipts that the ledger was compared with. */
    readonly witnesses: number
  }
}

/** Gathers faults up to a limit. */
export class Faults {
  readonly found: Fault[] = []
  readonly #limit: number

  constructor(limit = 100) {
    this.#limit = limit
  }

  /** Nothing more is taken: looking on is of no use. */
  get isFull(): boolean {
    return this.found.length >= this.#limit
  }

  add(place: string, code: ErrorCode, message: string): void {
    if (!this.isFull) this.found.push({ place, code, message })
  }
}
