import type { Clock } from '@wattline/protocol'
import { fieldsOf } from '../ocpp/json-place.ts'
import type {
  Authorisation,
  Authorizer,
  EventAnswer,
  IdTokenVerdict,
  OcppPayload,
  StartAnswer,
  StatusMessage,
  TransactionMessage,
  TransactionSink,
} from '../ocpp/transaction-sink.ts'
import type { Store } from '../store/database.ts'
import { OcppJournal } from '../store/ocpp-journal.ts'
import { SessionStore } from '../store/sessions.ts'
import {
  type ChargingEvent,
  type EventSource,
  readMeterValues,
  readStart,
  readStop,
  readTransactionEvent,
} from './charging-event.ts'
import { isPlace, SessionMachine } from './session-machine.ts'
import type { SessionSigner } from './session-signer.ts'

/** What the sink works with. */
export interface SessionSinkParts {
  readonly store: Store
  readonly clock: Clock
  readonly authorizer: Authorizer
  readonly signer: SessionSigner
}

/** OCPP 2.x TriggerReasonEnumType. */
const endingReasons: readonly string[] = ['StopAuthorized', 'Deauthorized', 'RemoteStop']

/** What is kept of the past. */
export interface SessionRetention {
  readonly beforeMs: number
}

/** Sessions beyond this are forgotten, oldest first. */
const mostSessions = 100_000
const chunk = 1_000
/** What waits this long for the begin of its transaction waits in vain. */
const waitingMs = 7 * 86_400_000

/** Makes sessions of what stations tell of transactions, and has their registers signed. */
export class SessionSink implements TransactionSink {
  readonly #parts: SessionSinkParts
  readonly #books: SessionStore
  readonly #journal: OcppJournal
  readonly #machine: SessionMachine

  constructor(parts: SessionSinkParts) {
    this.#parts = parts
    this.#books = new SessionStore(parts.store)
    this.#journal = new OcppJournal(parts.store)
    this.#machine = new SessionMachine(this.#books)
  }

  start(message: TransactionMessage): StartAnswer {
    const event = readStart(this.#toSource(message))
    const { stationId, connectorId, startKey = '' } = event
    // Put aside like what cannot be read: nobody could say whose energy it is.
    if (!isPlace(connectorId)) {
      this.#take(message, event)
      return { transactionId: message.frame, verdict: { status: 'Invalid' } }
    }
    const known = this.#books.findStart(stationId, startKey)
    // The same answer to the same start: a code that opens once would be refused the second time.
    if (known?.answered !== undefined) {
      this.#take(message, event)
      return { transactionId: known.id, verdict: known.answered.verdict }
    }
    const idToken = String(message.payload['idTag'])
    const authorisation = this.#authorize(message, { idToken, connectorId, attempt: message.contentHash })
    const session = this.#take(message, event, authorisation)
    return { transactionId: session?.id ?? message.frame, verdict: toVerdict(authorisation) }
  }

  stop(message: TransactionMessage): EventAnswer {
    const { idTag } = message.payload
    const authorisation = typeof idTag === 'string' ? this.#authorize(message, { idToken: idTag }) : undefined
    const session = this.#take(message, readStop(this.#toSource(message)), authorisation)
    return {
      ...(session === undefined ? {} : { transactionId: session.id }),
      ...(authorisation === undefined ? {} : { verdict: toVerdict(authorisation) }),
    }
  }

  meterValues(message: TransactionMessage): void {
    // Sent again, its values are no news to the register.
    this.#take(message, readMeterValues(this.#toSource(message, false)))
  }

  event(message: TransactionMessage): EventAnswer {
    const event = readTransactionEvent(this.#toSource(message))
    const { idToken, type } = fieldsOf(message.payload['idToken']) ?? {}
    if (typeof idToken !== 'string') {
      this.#take(message, event)
      return {}
    }
    const known = this.#books.findTransaction(event.stationId, event.transaction ?? '')
    if (known?.answered?.contentHash === event.contentHash) {
      this.#take(message, event)
      return { verdict: known.answered.verdict }
    }
    // A token that ends a session is only asked about, also where the end is told later.
    const ends = event.kind === 'end' || endingReasons.includes(String(message.payload['triggerReason']))
    const connectorId = ends ? undefined : (event.connectorId ?? known?.connectorId)
    const attempt = event.transaction
    const authorisation = this.#authorize(message, { idToken, type: String(type), connectorId, attempt })
    this.#take(message, event, ends && event.kind !== 'end' ? undefined : authorisation)
    return { verdict: toVerdict(authorisation) }
  }

  status({ stationId, payload }: StatusMessage): void {
    const { connectorId, evseId, status, connectorStatus, timestamp } = payload
    if ((status ?? connectorStatus) !== 'Available') return
    const claimedAt = typeof timestamp === 'string' ? Date.parse(timestamp) : this.#parts.clock.now()
    this.#machine.tellAvailable({ stationId, connectorId: Number(evseId ?? connectorId) }, claimedAt)
  }

  /** Ends what nobody will end, and forgets what is old. Bounded: call it again and again. */
  tidy({ beforeMs }: SessionRetention): void {
    const { store, clock, signer } = this.#parts
    const now = clock.now()
    store.write(() => {
      for (const reading of this.#machine.settle(now)) signer.sign(reading)
      for (const frame of this.#books.dropWaiting(now - waitingMs, chunk)) {
        this.#journal.quarantine(frame, ['the begin of its transaction never came'])
      }
      this.#books.prune({ beforeMs, most: mostSessions, chunk })
    })
  }

  #take(message: TransactionMessage, event: ChargingEvent, authorisation?: Authorisation) {
    const { session, readings, refused } = this.#machine.take(event, authorisation)
    for (const reading of readings) this.#parts.signer.sign(reading)
    if (refused !== undefined) this.#journal.quarantine(message.frame, [...message.mended, refused])
    return session
  }

  #authorize(
    { stationId, payload }: TransactionMessage,
    token: { idToken: string; type?: string; connectorId?: number | undefined; attempt?: string | undefined },
  ): Authorisation {
    const { connectorId, attempt, ...rest } = token
    const begins = connectorId !== undefined && isPlace(connectorId)
    return this.#parts.authorizer.authorize({
      stationId,
      ...rest,
      ...(begins ? { connectorId, ...readReservation(payload) } : {}),
      // Names the start: what opens once opens it once.
      ...(begins && attempt !== undefined ? { attempt } : {}),
    })
  }

  #toSource({ mended: _, ...message }: TransactionMessage, mayRepeat = true): EventSource {
    const isRepeat = mayRepeat && this.#journal.wasTakenBefore(message.contentHash, message.frame)
    return { ...message, clockStatus: this.#parts.clock.status(), isRepeat }
  }
}

function readReservation({ reservationId }: OcppPayload): { reservationId?: number } {
  return typeof reservationId === 'number' ? { reservationId } : {}
}

// Whose account pays is nobody's affair at the station.
function toVerdict({ driver: _, ...verdict }: Authorisation): IdTokenVerdict {
  return verdict
}
