import type { Log } from '../../log.ts'
import type { Scheduler } from '../../modbus/scheduler.ts'
import type { Store } from '../../store/database.ts'
import type { UpstreamMessage, UpstreamQueue } from '../../store/upstream-queue.ts'
import type { UpstreamTransactions } from '../../store/upstream-transactions.ts'
import { fieldsOf } from '../json-place.ts'
import type { OcppPayload } from '../transaction-sink.ts'
import { mapMessage } from './id-mapping.ts'
import { UpstreamRefusal } from './wire.ts'

/** What the delivery of a station's messages works with. */
export interface DeliveryParts {
  readonly stationId: string
  readonly store: Store
  readonly queue: UpstreamQueue
  readonly transactions: UpstreamTransactions
  readonly scheduler: Scheduler
  readonly log: Log
  readonly attempts: number
  readonly retryMs: number
  /** Upstream does not want the driver of this message, whom the gateway has accepted. */
  onVerdict(message: UpstreamMessage, status: string): void
}

/** Decides what an answer of upstream means for the message that it answers. */
export class MessageDelivery {
  readonly #parts: DeliveryParts
  /** When the message that upstream has refused may be sent again. */
  retryAt = Number.NEGATIVE_INFINITY

  constructor(parts: DeliveryParts) {
    this.#parts = parts
  }

  /** Sends a message and takes its answer; throws where there is none, and the message waits on. */
  async deliver(message: UpstreamMessage, send: (payload: OcppPayload) => Promise<unknown>): Promise<void> {
    const mapped = mapMessage(message, this.#parts.transactions)
    if (!mapped.ok) {
      this.#putAside(message, mapped.reason)
      return
    }
    try {
      this.#take(message, fieldsOf(await send(mapped.payload)))
    } catch (error) {
      // Silence is no refusal: however long it lasts, the message is sent again, and nothing else before it.
      if (!(error instanceof UpstreamRefusal)) throw error
      this.#retry(message, error.message)
    }
  }

  #take(message: UpstreamMessage, answer: OcppPayload | undefined): void {
    const { store, queue, transactions, stationId } = this.#parts
    const isStart = message.action === 'StartTransaction'
    const theirs = answer?.['transactionId']
    if (answer === undefined || (isStart && !Number.isSafeInteger(theirs))) {
      this.#retry(message, 'the answer has no transactionId')
      return
    }
    store.write(() => {
      queue.delivered(message.number)
      if (isStart && message.transactionId !== undefined)
        transactions.name(stationId, message.transactionId, Number(theirs))
    })
    const { status } = fieldsOf(answer['idTagInfo'] ?? answer['idTokenInfo']) ?? {}
    if (typeof status === 'string' && status !== 'Accepted') this.#parts.onVerdict(message, status)
  }

  // OCPP 1.6 §3.7.1, OCPP 2.x E13: the interval times the attempts made, so many times.
  #retry(message: UpstreamMessage, reason: string): void {
    const { queue, attempts, retryMs, scheduler, log, stationId } = this.#parts
    const made = message.attempts + 1
    if (made >= attempts) {
      this.#putAside(message, `refused ${made} times: ${reason}`)
      return
    }
    queue.refused(message.number)
    this.retryAt = scheduler.now() + made * retryMs
    log.warn('ocpp.upstream.refused', { station: stationId, action: message.action, attempts: made, reason })
  }

  #putAside({ number, action, messageId }: UpstreamMessage, reason: string): void {
    const { queue, log, stationId } = this.#parts
    queue.putAside(number, reason)
    log.error('ocpp.upstream.aside', { station: stationId, action, messageId, reason })
  }
}
