import { hash } from 'node:crypto'
import {
  type Clock,
  isTransactionAction,
  type OcppVersion,
  ocppActions,
  type TransactionAction,
  WattError,
} from '@wattline/protocol'
import type { Store } from '../store/database.ts'
import { type FrameOutcome, OcppJournal } from '../store/ocpp-journal.ts'
import { answerOrdinary, type CertificateDesk, canAnswerAnything, isServed } from './answers.ts'
import { CallRefused } from './call-refused.ts'
import { type MendedRequest, mendRequest } from './mend.ts'
import { answerTransaction, answerUnread } from './transaction-answers.ts'
import type { Authorizer, OcppPayload, TransactionMessage, TransactionSink } from './transaction-sink.ts'
import { TurnBatch } from './turn-batch.ts'

/** One request of a station. */
export interface StationCall {
  readonly stationId: string
  readonly version: OcppVersion
  readonly action: string
  readonly messageId: string
  readonly payload: unknown
  /** The text as it came. */
  readonly frame: string
  readonly timeZone: string
}

/** What the intake works with. */
export interface IntakeParts {
  readonly store: Store
  readonly clock: Clock
  readonly sink: TransactionSink
  readonly authorizer: Authorizer
  readonly heartbeatSeconds: number
  readonly certificates?: CertificateDesk | undefined
  /** Something was mended, put aside or refused. */
  onDoubt(call: StationCall, outcome: 'mended' | 'quarantined', notes: readonly string[]): void
  /** A message that its schema accepts, before it is answered: the latest status of stations is made of these. */
  onMessage(call: StationCall, payload: OcppPayload, answer?: OcppPayload): void
}

/** From a station's request to its answer: read, mend or put aside, store, answer. */
export class Intake {
  readonly #parts: IntakeParts
  readonly #journal: OcppJournal
  readonly #batch: TurnBatch

  constructor(parts: IntakeParts) {
    this.#parts = parts
    this.#journal = new OcppJournal(parts.store)
    this.#batch = new TurnBatch(parts.store)
  }

  /** Commits what waits for the end of this turn. */
  flush(): void {
    this.#batch.flush()
  }

  /** Answers a request; throws `CallRefused` where the answer is a CALLERROR. */
  async answer(call: StationCall): Promise<OcppPayload> {
    const { version, action } = call
    if (!ocppActions[version].station.includes(action)) {
      throw new CallRefused('NotImplemented', `${version} has no ${action.slice(0, 50)} from a station`)
    }
    if (!isServed(action)) throw new CallRefused('NotSupported', `${action} is not served here`)
    const request = mendRequest(call)
    if (isTransactionAction(action)) return await this.#takeTransaction(call, action, request)
    if (request.ok) {
      if (request.mended.length > 0) await this.#note(call, 'mended', request.mended)
      this.#parts.onMessage(call, request.payload)
      if (action === 'StatusNotification') await this.#takeStatus(call.stationId, request.payload)
      return answerOrdinary(action, request.payload, { ...this.#parts, ...call })
    }
    await this.#note(call, 'quarantined', request.problems)
    if (!canAnswerAnything(action)) {
      throw new CallRefused(
        version === 'ocpp1.6' ? 'FormationViolation' : 'FormatViolation',
        request.problems.join('; '),
      )
    }
    // The answer does not depend on what it says; without one, many stations go no further.
    return answerOrdinary(action, {}, { ...this.#parts, ...call })
  }

  async #takeStatus(stationId: string, payload: OcppPayload): Promise<void> {
    const { sink } = this.#parts
    if (sink.status !== undefined) await this.#batch.run(() => sink.status?.({ stationId, payload }))
  }

  /** Takes what is never answered. */
  async takeSend(call: StationCall): Promise<void> {
    const request = mendRequest(call)
    if (request.ok) this.#parts.onMessage(call, request.payload)
    else await this.#note(call, 'quarantined', request.problems)
  }

  async #note(call: StationCall, outcome: 'mended' | 'quarantined', notes: readonly string[]): Promise<void> {
    this.#parts.onDoubt(call, outcome, notes)
    await this.#batch.run(() => this.#store(call, outcome, notes))
  }

  #store(call: StationCall, outcome: FrameOutcome, notes: readonly string[]) {
    const stored = { arrivedAt: this.#parts.clock.now(), contentHash: hashContent(call) }
    return { ...stored, frame: this.#journal.append({ ...call, ...stored, outcome, notes }) }
  }

  async #takeTransaction(call: StationCall, action: TransactionAction, request: MendedRequest): Promise<OcppPayload> {
    const [outcome, notes] = request.ok
      ? ([request.mended.length > 0 ? 'mended' : 'accepted', request.mended] as const)
      : (['quarantined', request.problems] as const)
    if (outcome !== 'accepted') this.#parts.onDoubt(call, outcome, notes)
    const { stationId, version } = call
    const answer = await this.#batch.run(() => {
      const stored = this.#store(call, outcome, notes)
      if (!request.ok) return answerUnread(version, action, stored.frame)
      const { payload, mended } = request
      return this.#giveToSink(call, action, { stationId, version, payload, mended, ...stored })
    })
    if (request.ok) this.#parts.onMessage(call, request.payload, answer)
    return answer
  }

  #giveToSink(call: StationCall, action: TransactionAction, message: TransactionMessage): OcppPayload {
    const { sink, store } = this.#parts
    try {
      // A savepoint: what the sink wrote before it threw is undone, the frame stays.
      return store.write(() => answerTransaction(sink, action, message))
    } catch (error) {
      // A full disk is no fault of the message: it is not answered, and comes again.
      if (error instanceof WattError && error.code.startsWith('storage/')) throw error
      const notes = [...message.mended, `not understood: ${error instanceof Error ? error.message : String(error)}`]
      this.#journal.quarantine(message.frame, notes)
      this.#parts.onDoubt(call, 'quarantined', notes)
      return answerUnread(message.version, action, message.frame)
    }
  }
}

// By content, never by message id: stations start to count anew, and send again under a new one. What cannot be read
// is told apart by its text.
function hashContent({ stationId, action, payload, frame }: StationCall): string {
  const content = payload === undefined || payload === null ? frame : JSON.stringify(payload)
  return hash('sha256', `${stationId}\n${action}\n${content}`)
}
