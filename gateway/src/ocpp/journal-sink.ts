import type { Store } from '../store/database.ts'
import { OcppJournal } from '../store/ocpp-journal.ts'
import { fieldsOf } from './json-place.ts'
import type { Authorizer, EventAnswer, StartAnswer, TransactionMessage, TransactionSink } from './transaction-sink.ts'

/**
 * Answers transaction messages from the journal alone: everything is kept, a start that comes again gets the
 * transaction that it got first, and nothing is concluded about energy.
 */
export class JournalSink implements TransactionSink {
  readonly #journal: OcppJournal
  readonly #authorizer: Authorizer

  constructor(store: Store, authorizer: Authorizer) {
    this.#journal = new OcppJournal(store)
    this.#authorizer = authorizer
  }

  start({ stationId, payload, contentHash, frame }: TransactionMessage): StartAnswer {
    const { idTag, connectorId, reservationId } = payload
    const verdict = this.#authorizer.authorize({
      stationId,
      idToken: String(idTag),
      connectorId: Number(connectorId),
      ...(typeof reservationId === 'number' ? { reservationId } : {}),
      attempt: contentHash,
    })
    return { transactionId: this.#journal.firstOf(contentHash) ?? frame, verdict }
  }

  stop({ stationId, payload }: TransactionMessage): EventAnswer {
    const { idTag } = payload
    if (typeof idTag !== 'string') return {}
    return { verdict: this.#authorizer.authorize({ stationId, idToken: idTag }) }
  }

  meterValues(): void {
    // kept in the journal
  }

  event({ stationId, payload }: TransactionMessage): EventAnswer {
    const { idToken, type } = fieldsOf(payload['idToken']) ?? {}
    if (typeof idToken !== 'string') return {}
    const presented = { stationId, idToken, type: String(type) }
    const { id: evseId } = fieldsOf(payload['evse']) ?? {}
    // A card that ends a session, or is told once more, begins none.
    const begins = payload['eventType'] === 'Started' || payload['triggerReason'] === 'Authorized'
    if (!begins || typeof evseId !== 'number') return { verdict: this.#authorizer.authorize(presented) }
    const { transactionId } = fieldsOf(payload['transactionInfo']) ?? {}
    const attempt = String(transactionId)
    return { verdict: this.#authorizer.authorize({ ...presented, connectorId: evseId, attempt }) }
  }
}
