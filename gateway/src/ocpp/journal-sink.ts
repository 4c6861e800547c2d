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
    const verdict = this.#authorizer.authorize({ stationId, idToken: String(payload['idTag']) })
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
    return { verdict: this.#authorizer.authorize({ stationId, idToken, type: String(type) }) }
  }
}
