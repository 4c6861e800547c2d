import type { UpstreamQueue } from '../../store/upstream-queue.ts'
import type { UpstreamTransactions } from '../../store/upstream-transactions.ts'
import type {
  EventAnswer,
  StartAnswer,
  StatusMessage,
  TransactionMessage,
  TransactionSink,
} from '../transaction-sink.ts'
import { hashContent } from './content-hash.ts'

/** What the sink works with. */
export interface UpstreamSinkParts {
  /** Says what the messages mean here. Its answers are the station's. */
  readonly inner: TransactionSink
  readonly queue: UpstreamQueue
  readonly transactions: UpstreamTransactions
  /** Whether the station appears upstream at all. */
  appears(stationId: string): boolean
  /** Whether upstream can be told at once. */
  isUp(stationId: string): boolean
  /** Something was appended, in a transaction that ends with this turn. */
  appended(stationId: string): void
  /** A message that says otherwise than one before it, and is not told upstream. */
  contradicted(message: TransactionMessage, reason: string): void
}

/**
 * Puts what stations tell of transactions into the queue for upstream, in the transaction that journals it. Upstream
 * gets each transaction once: a start that the gateway knows already, whatever its text, begins none there.
 */
export class UpstreamSink implements TransactionSink {
  readonly #parts: UpstreamSinkParts

  constructor(parts: UpstreamSinkParts) {
    this.#parts = parts
  }

  start(message: TransactionMessage): StartAnswer {
    const answer = this.#parts.inner.start(message)
    const { stationId, arrivedAt } = message
    const { transactionId } = answer
    if (this.#parts.appears(stationId) && this.#parts.transactions.begin(stationId, transactionId, arrivedAt)) {
      this.#append('StartTransaction', message, { transactionId })
    }
    return answer
  }

  stop(message: TransactionMessage): EventAnswer {
    const answer = this.#parts.inner.stop(message)
    const { stationId, payload } = message
    if (!this.#parts.appears(stationId)) return answer
    const transactionId = answer.transactionId ?? Number(payload['transactionId'])
    // One that was never begun is kept as well, and put aside when its turn comes: somebody must look at it.
    const wasNotBegun = this.#parts.transactions.find(stationId, transactionId) === undefined
    if (wasNotBegun || this.#parts.transactions.end(stationId, transactionId)) {
      this.#append('StopTransaction', message, { transactionId })
    } else {
      this.#parts.contradicted(message, 'its transaction was stopped before')
    }
    return answer
  }

  meterValues(message: TransactionMessage): void {
    this.#parts.inner.meterValues(message)
    if (!this.#parts.appears(message.stationId)) return
    const { transactionId } = message.payload
    this.#append('MeterValues', message, typeof transactionId === 'number' ? { transactionId } : {})
  }

  event(message: TransactionMessage): EventAnswer {
    const answer = this.#parts.inner.event(message)
    if (this.#parts.appears(message.stationId)) this.#append('TransactionEvent', message, {})
    return answer
  }

  status(message: StatusMessage): void {
    // Upstream has it as one of the messages that tell of no energy.
    this.#parts.inner.status?.(message)
  }

  #append(action: string, message: TransactionMessage, ids: { readonly transactionId?: number }): void {
    const { stationId, version, arrivedAt, frame, payload, mended } = message
    // An event that was sent while the line was up, and again after it had been down, is one event.
    const { offline: _, ...asAlways } = payload
    const isNew = this.#parts.queue.append({
      stationId,
      version,
      action,
      contentHash: action === 'TransactionEvent' ? hashContent(action, asAlways) : message.contentHash,
      arrivedAt,
      content: mended.length === 0 ? { frame } : { payload },
      ...ids,
      isLate: !this.#parts.isUp(stationId),
    })
    if (isNew) this.#parts.appended(stationId)
  }
}
