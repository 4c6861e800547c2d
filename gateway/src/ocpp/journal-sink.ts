import { JournalSessions } from '../drivers/running-sessions.ts'
import type { Store } from '../store/database.ts'
import { OcppJournal } from '../store/ocpp-journal.ts'
import { fieldsOf } from './json-place.ts'
import type { Authorizer, EventAnswer, StartAnswer, TransactionMessage, TransactionSink } from './transaction-sink.ts'

/** OCPP 2.x TriggerReasonEnumType. */
const endingReasons: readonly string[] = ['StopAuthorized', 'Deauthorized', 'RemoteStop']

/**
 * Answers transaction messages from the journal alone: everything is kept, a start that comes again gets the
 * transaction that it got first, and nothing is concluded about energy.
 */
export class JournalSink implements TransactionSink {
  readonly #journal: OcppJournal
  readonly #authorizer: Authorizer
  readonly #sessions: JournalSessions

  constructor(store: Store, authorizer: Authorizer) {
    this.#journal = new OcppJournal(store)
    this.#authorizer = authorizer
    this.#sessions = new JournalSessions(store)
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
    // A card that ends a session begins none. Later messages of a transaction may leave out where it is.
    const ends = payload['eventType'] === 'Ended' || endingReasons.includes(String(payload['triggerReason']))
    const attempt = String(fieldsOf(payload['transactionInfo'])?.['transactionId'])
    const connectorId = fieldsOf(payload['evse'])?.['id'] ?? this.#sessions.of(stationId, attempt)?.place.connectorId
    if (ends || typeof connectorId !== 'number') return { verdict: this.#authorizer.authorize(presented) }
    return { verdict: this.#authorizer.authorize({ ...presented, connectorId, attempt }) }
  }
}
