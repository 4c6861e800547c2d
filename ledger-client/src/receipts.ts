import { type Clock, formatReceipt, formatTopic, type PointId, parsePointId, type Signer } from '@wattline/protocol'
import type { Answer } from './pipeline.ts'
import type { Place, Point, Registry } from './points/registry.ts'
import type { Database } from './store/database.ts'

/** How long a request to send again is left to work before it is repeated. */
const resendPauseMs = 5000

/** A receipt ready to be published. */
export interface ReceiptMessage {
  readonly point: PointId
  readonly topic: string
  readonly text: string
}

/** How far a point is final: where the journal is the ledger, up to its head. */
export type FinalPlaceOf = (point: Point) => (Place & { readonly hash: string }) | undefined

/** Makes receipts from what is committed and final (SPEC-70 to SPEC-72). */
export class Receipts {
  readonly #registry: Registry
  readonly #signer: Signer
  readonly #clock: Clock
  readonly #placeOf: FinalPlaceOf
  readonly #session: string
  readonly #asked = new Map<PointId, { readonly sequence: number; readonly at: number }>()
  #serial = 0

  constructor(
    { db, registry }: { readonly db: Database; readonly registry: Registry },
    signer: Signer,
    clock: Clock,
    placeOf: FinalPlaceOf = ({ head }) => head,
  ) {
    this.#session = beginSession(db, clock)
    this.#registry = registry
    this.#signer = signer
    this.#clock = clock
    this.#placeOf = placeOf
  }

  /** Signs what is true of a point now. */
  make(id: PointId, { resend, refusal }: Answer): ReceiptMessage {
    const point = this.#registry.get(id)
    const place = point === undefined ? undefined : this.#placeOf(point)
    const { epoch, sequence, hash } = place ?? { epoch: 0, sequence: 0, hash: '' }
    const facts = {
      point: id,
      session: this.#session,
      serial: ++this.#serial,
      epoch,
      sequence,
      hash,
      mintedWh: point?.mintedWh ?? 0n,
      burnedWh: point?.burnedWh ?? 0n,
      resend: resend && this.#maySayResend(id, sequence),
      ...(refusal === undefined ? {} : { refusal }),
    }
    const topic = formatTopic({ kind: 'receipt', ...parsePointId(id) })
    return { point: id, topic, text: formatReceipt(facts, this.#signer) }
  }

  // While a gateway sends again, later records keep arriving too early: one request is enough until the head moves
  // or the request must have been lost.
  #maySayResend(id: PointId, sequence: number): boolean {
    const before = this.#asked.get(id)
    const now = this.#clock.now()
    if (before?.sequence === sequence && Math.abs(now - before.at) < resendPauseMs) return false
    if (before === undefined && this.#asked.size >= 10_000) this.#asked.clear()
    this.#asked.set(id, { sequence, at: now })
    return true
  }
}

// Within a session receipts only grow. It is the time at which it began, so that nobody takes an earlier one for a later
// one, whatever is restored; a clock that was put back does not make it less than the one before.
function beginSession(db: Database, clock: Clock): string {
  const began = db.write(() =>
    db
      .prepare<[number], { began_at: number }>(
        `INSERT INTO receipt_session (id, began_at) VALUES (0, ?)
         ON CONFLICT (id) DO UPDATE SET began_at = max(began_at + 1, excluded.began_at) RETURNING began_at`,
      )
      .get(clock.now()),
  )
  return (began?.began_at ?? 0).toString(16).padStart(16, '0')
}
