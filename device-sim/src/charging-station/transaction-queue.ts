import type { Timers } from '../timers.ts'
import type { DurableState, QueuedEvent } from './durable-state.ts'
import type { Payload, Reply } from './rpc.ts'

export interface Request {
  readonly action: string
  readonly payload: Payload
}

export interface TransactionQueueOptions {
  readonly state: DurableState
  readonly timers: Timers
  readonly encode: (event: QueuedEvent) => readonly Request[]
  readonly send: (request: Request) => Promise<Reply>
  readonly isOnline: () => boolean
  /** How often one message is tried, and the base of the waits between (OCPP 1.6 §3.7.1). */
  readonly attempts: () => number
  readonly retryIntervalMs: () => number
  /** What the CSMS calls the transaction, if its answer says so. */
  readonly givenId: (reply: Payload) => number | undefined
  readonly onAnswered: (event: QueuedEvent, reply: Payload) => void
  readonly onDropped: (event: QueuedEvent, why: string) => void
}

type Outcome = { readonly kind: 'done'; readonly replies: readonly Payload[] } | Exclude<Reply, { kind: 'result' }>

/**
 * The messages of all transactions, in the order in which they happened. One leaves the queue when the CSMS has
 * answered it, or when it has refused it as often as it may; a cut of the line counts as nothing.
 */
export class TransactionQueue {
  readonly #options: TransactionQueueOptions
  #busy = false
  #stopped = false
  #cancelRetry: (() => void) | undefined

  constructor(options: TransactionQueueOptions) {
    this.#options = options
  }

  /** Nothing is sent, changed or told any more. */
  stop(): void {
    this.#stopped = true
    this.#cancelRetry?.()
  }

  async flush(): Promise<void> {
    if (this.#busy || this.#cancelRetry !== undefined) return
    this.#busy = true
    try {
      while (!this.#stopped && this.#options.isOnline()) {
        const [event] = this.#options.state.now.queue
        if (event === undefined) return
        const outcome = await this.#sendAll(event)
        if (this.#stopped || outcome.kind === 'lost') return
        if (outcome.kind === 'done') this.#settle(event, outcome.replies)
        else if (this.#refused(event, outcome.kind === 'error' ? outcome.code : outcome.problem) === 'wait') return
      }
    } finally {
      this.#busy = false
    }
  }

  async #sendAll(event: QueuedEvent): Promise<Outcome> {
    const replies: Payload[] = []
    for (const request of this.#options.encode(event)) {
      const reply = await this.#options.send(request)
      if (reply.kind !== 'result') return reply
      replies.push(reply.payload)
    }
    return { kind: 'done', replies }
  }

  #settle(event: QueuedEvent, replies: readonly Payload[]): void {
    const { state, givenId } = this.#options
    const { [event.transactionId]: before, ...others } = state.now.givenIds
    const given = replies.map(givenId).find((id) => id !== undefined) ?? before
    const keeps = given !== undefined && event.eventType !== 'Ended'
    state.change({
      queue: state.now.queue.slice(1),
      givenIds: keeps ? { ...others, [event.transactionId]: given } : others,
    })
    for (const reply of replies) this.#options.onAnswered(event, reply)
  }

  #refused(event: QueuedEvent, why: string): 'wait' | 'go on' {
    const { state, timers, attempts, retryIntervalMs, onDropped } = this.#options
    const tried = event.attempts + 1
    const rest = state.now.queue.slice(1)
    if (tried >= attempts()) {
      state.change({ queue: rest })
      onDropped(event, why)
      return 'go on'
    }
    state.change({ queue: [{ ...event, attempts: tried }, ...rest] })
    this.#cancelRetry = timers.after(retryIntervalMs() * tried, () => {
      this.#cancelRetry = undefined
      void this.flush()
    })
    return 'wait'
  }
}
