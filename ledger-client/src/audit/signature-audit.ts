import {
  asciiToBytes,
  type ParsedOcmf,
  type PublicKey,
  type SignatureVerifier,
  type Verdict,
  verifyParsed,
} from '@wattline/protocol'
import type { Database, Statement } from '../store/database.ts'
import { isForesighted } from '../verifiers/two-threads.ts'
import type { SealAudit } from './seal-audit.ts'

/** A record, as far as it matters whether its signature is checked. */
export interface SignedRow {
  readonly id: bigint
  readonly epoch: bigint
  readonly sequence: bigint
}

/**
 * SPEC-54: decides whose signature is checked. The last record of each epoch is signed by the epoch's key, and names
 * its predecessor by hash, and so on: one signature authenticates the epoch. That says nothing of the other records'
 * own signatures, so they are checked too, unless a seal shows that the text is the one that was accepted.
 */
export class SignatureAudit {
  readonly #verifier: SignatureVerifier
  readonly #seals: SealAudit
  readonly #every: boolean
  readonly #readHeads: Statement<[number], { epoch: bigint; sequence: bigint | null }>
  #heads: ReadonlyMap<bigint, bigint | null> = new Map()
  signatures = 0
  byHash = 0

  constructor(
    parts: { readonly db: Database; readonly verifier: SignatureVerifier; readonly seals: SealAudit },
    { every }: { readonly every: boolean },
  ) {
    this.#verifier = parts.verifier
    this.#seals = parts.seals
    this.#every = every
    this.#readHeads = parts.db.prepareWide(
      `SELECT epoch, (SELECT max(sequence) FROM record WHERE record.point = epoch.point AND record.epoch = epoch.epoch)
       AS sequence FROM epoch WHERE point = ?`,
    )
  }

  /** Goes on with another metering point. */
  begin(point: number): void {
    this.#heads = new Map(this.#readHeads.all(point).map(({ epoch, sequence }) => [epoch, sequence]))
  }

  /** Says which records come next, with their keys, to a verifier that checks several at once. */
  foresee(coming: readonly (readonly [row: SignedRow, parsed: ParsedOcmf, key: PublicKey])[]): void {
    const verifier = this.#verifier
    if (!isForesighted(verifier)) return
    const due = coming.filter(([row]) => this.isDue(row))
    verifier.foresee(
      due.map(([, { payload, signature }, publicKey]) => ({ payload: asciiToBytes(payload), signature, publicKey })),
    )
  }

  /** Whether a record's own signature is to be checked. */
  isDue(row: SignedRow): boolean {
    return this.#every || this.#heads.get(row.epoch) === row.sequence || !this.#seals.isIntact(Number(row.id))
  }

  /** Checks a record, or leaves it to those that follow it. */
  check(row: SignedRow, parsed: ParsedOcmf, key: PublicKey): Verdict {
    if (this.isDue(row)) return this.verify(parsed, key)
    this.byHash++
    return { ok: true, parsed }
  }

  /** Checks a signature in any case. */
  verify(parsed: ParsedOcmf, key: PublicKey): Verdict {
    this.signatures++
    return verifyParsed(parsed, key, this.#verifier)
  }
}
