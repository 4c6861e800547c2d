import { WattError } from '@wattline/protocol'
import type { Connection } from './connection.ts'
import type { Scheduler } from './scheduler.ts'

export interface ReconnectorOptions {
  readonly busId: string
  /** Connects once; `onEnd` is called if the other side ends it. */
  readonly connect: (onEnd: (error: WattError) => void, abort: AbortSignal) => Promise<Connection>
  readonly scheduler: Scheduler
  readonly firstDelayMs: number
  readonly longestDelayMs: number
  readonly onState: (state: 'up' | 'down', reason?: WattError) => void
}

/** Keeps one connection alive: connects, and connects again with growing pauses after it was lost. */
export class Reconnector {
  readonly #options: ReconnectorOptions
  readonly #abort = new AbortController()
  #live: Connection | undefined
  #attempt: Promise<void> | undefined
  #failures = 0
  #wasLive = false
  #reason: WattError
  #cancelTimer: () => void = () => {}
  #connections = 0
  #state: 'up' | 'down' | 'unknown' = 'unknown'

  constructor(options: ReconnectorOptions) {
    this.#options = options
    this.#reason = closed(options.busId, 'is not connected yet')
    this.#connect()
  }

  /** How often a connection was made; a change means that something else may hang on the bus now. */
  get connections(): number {
    return this.#connections
  }

  /** The live connection, once an attempt under way has ended; or throws why there is none. */
  async acquire(): Promise<Connection> {
    // Servers close idle connections: the first request after that need not wait for the pause to end.
    if (this.#live === undefined && this.#wasLive) this.#connect()
    await this.#attempt
    if (this.#live === undefined) throw this.#reason
    return this.#live
  }

  /** Tells that the connection works, so that its next loss is answered at once. */
  proven(): void {
    this.#failures = 0
  }

  /** Replaces the live connection at once: what the old one still brings meets nobody. */
  async renew(reason: WattError): Promise<void> {
    const old = this.#live
    if (old === undefined) return
    this.#live = undefined
    await old.end(reason)
    this.#connect()
  }

  async close(): Promise<void> {
    if (this.#abort.signal.aborted) return
    this.#reason = closed(this.#options.busId, 'was closed')
    this.#abort.abort(this.#reason)
    this.#cancelTimer()
    await this.#attempt
    const live = this.#live
    this.#live = undefined
    await live?.end(this.#reason)
  }

  #connect(): void {
    if (this.#abort.signal.aborted || this.#attempt !== undefined) return
    this.#cancelTimer()
    this.#wasLive = false
    this.#attempt = this.#tryOnce().finally(() => {
      this.#attempt = undefined
    })
  }

  async #tryOnce(): Promise<void> {
    let connection: Connection | undefined
    let lost: WattError | undefined
    const onEnd = (error: WattError) => {
      lost = error
      if (connection !== undefined) this.#lost(connection, error)
    }
    try {
      connection = await this.#options.connect(onEnd, this.#abort.signal)
    } catch (error) {
      this.#retryLater(error instanceof WattError ? error : closed(this.#options.busId, 'cannot connect', error))
      return
    }
    this.#live = connection
    this.#connections++
    this.#tell('up')
    if (lost !== undefined) this.#lost(connection, lost)
  }

  #lost(connection: Connection, error: WattError): void {
    void connection.end(error)
    if (connection !== this.#live) return
    this.#live = undefined
    this.#wasLive = true
    this.#retryLater(error)
  }

  #retryLater(reason: WattError): void {
    if (this.#abort.signal.aborted) return
    this.#reason = reason
    this.#tell('down', reason)
    const { firstDelayMs, longestDelayMs, scheduler } = this.#options
    const delayMs = Math.min(firstDelayMs * 2 ** this.#failures, longestDelayMs)
    this.#failures = Math.min(this.#failures + 1, 30)
    this.#cancelTimer = scheduler.after(delayMs, () => this.#connect())
  }

  #tell(state: 'up' | 'down', reason?: WattError): void {
    if (state === this.#state) return
    this.#state = state
    this.#options.onState(state, reason)
  }
}

function closed(busId: string, what: string, cause?: unknown): WattError {
  return new WattError('bus/closed', `bus ${busId} ${what}`, { retryable: true, cause })
}
