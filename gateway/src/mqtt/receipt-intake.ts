import {
  bytesToAscii,
  type GatewayId,
  makePointId,
  maxMessageLength,
  type PointId,
  type PublicKey,
  parsePublicKey,
  parseReceipt,
  parseTopic,
  type Receipt,
  WattError,
} from '@wattline/protocol'
import { makeOpensslVerifier } from '../identity/openssl-verifier.ts'
import type { Store } from '../store/database.ts'
import { keepLedgerKey, loadLedgerKey } from '../store/settings.ts'

/** Whose receipts are read. */
export interface ReceiptIntakeParts {
  readonly store: Store
  readonly gatewayId: GatewayId
  readonly points: readonly PointId[]
  /** SPKI hex, where the configuration names the ledger. */
  readonly ledgerKey: string | undefined
}

/** Takes receipts from the wire and checks them against the one ledger that is trusted (SPEC-74). */
export class ReceiptIntake {
  readonly #parts: ReceiptIntakeParts
  readonly #verifier = makeOpensslVerifier()
  #trusted: PublicKey | undefined
  #kept: boolean

  constructor(parts: ReceiptIntakeParts) {
    this.#parts = parts
    const configured = parts.ledgerKey === undefined ? undefined : parsePublicKey(parts.ledgerKey)
    this.#trusted = configured ?? loadLedgerKey(parts.store)
    this.#kept = this.#trusted !== undefined
  }

  /** Reads one message, or throws what is wrong with it. The first good receipt decides which ledger is trusted. */
  read(topic: string, payload: Uint8Array): Receipt {
    const parsed = parseTopic(topic)
    if (parsed?.kind !== 'receipt' || parsed.gatewayId !== this.#parts.gatewayId) {
      throw new WattError('receipt/invalid', `topic '${topic.slice(0, 200)}': a receipt for this gateway expected`)
    }
    if (payload.length > maxMessageLength) {
      throw new WattError(
        'message/oversized',
        `receipt of ${payload.length} bytes, at most ${maxMessageLength} expected`,
      )
    }
    const receipt = parseReceipt(bytesToAscii(payload) ?? '', this.#trusted, this.#verifier)
    const point = makePointId(parsed.gatewayId, parsed.meterId)
    if (receipt.point !== point || !this.#parts.points.includes(point)) {
      throw new WattError('receipt/invalid', `receipt for '${receipt.point}' on the topic of '${point}'`)
    }
    this.#trusted ??= receipt.ledger
    return receipt
  }

  /** Makes the trust durable. Part of the transaction that books the first receipt. */
  keep(): void {
    if (this.#kept || this.#trusted === undefined) return
    keepLedgerKey(this.#parts.store, this.#trusted)
  }

  /** The transaction is done. Returns the ledger's key where it was kept just now. */
  kept(): PublicKey | undefined {
    const met = this.#kept ? undefined : this.#trusted
    this.#kept = this.#trusted !== undefined
    return met
  }
}
