import { WattError } from '@wattline/protocol'
import type { Transport } from '../modbus/bus-config.ts'
import { isSilence } from '../modbus/bus-errors.ts'
import type { Connection, WireRequest } from '../modbus/connection.ts'
import type { SerialFormat } from '../modbus/rtu-framing.ts'
import { type Scheduler, waitUntil } from '../modbus/scheduler.ts'
import type { LineTally } from './line-tally.ts'
import { probeMs } from './scan-plan.ts'
import { isLevel, type TurnRecorder } from './traffic.ts'

/** What became of one question. */
export type Outcome =
  | { readonly kind: 'words'; readonly words: readonly number[]; readonly latencyMs: number }
  /** It refused: somebody is there. */
  | { readonly kind: 'refused' }
  /** Bytes came, too late or not as the answer. */
  | { readonly kind: 'garbled' }
  | { readonly kind: 'silent' }

export interface ProberOptions {
  readonly transport: Transport
  readonly scheduler: Scheduler
  /** Undefined behind a socket: then the line's speed is not ours to know. */
  readonly format: SerialFormat | undefined
  readonly recorder: TurnRecorder
  readonly tally: LineTally
  readonly abort: AbortSignal
}

// Some meters restart when they are asked too fast, or lose every second request.
const gapMs = 25
// How long an answer that has begun may take to end.
const tailMs = 60

/** Asks one question at a time on one connection. It only ever reads registers. */
export class LineProber {
  readonly #options: ProberOptions
  readonly #answeredAt = new Map<number, number>()
  #connection: Connection | undefined

  constructor(options: ProberOptions) {
    this.#options = options
    options.recorder.onTurn = (turn) => options.tally.take(turn)
  }

  get tally(): LineTally {
    return this.#options.tally
  }

  async open(): Promise<void> {
    const { transport, abort } = this.#options
    this.#connection ??= await transport.connect(() => {
      this.#connection = undefined
    }, abort)
  }

  /** Whether anybody is there: waits `waitMs` for an answer to begin. */
  async probe(request: WireRequest, waitMs: number): Promise<Outcome> {
    const { format } = this.#options
    return await this.#ask(request, format === undefined ? waitMs : probeMs(format, waitMs))
  }

  /** Reads, waiting `waitMs` beside the time that the answer itself takes; asks again what came garbled or not at all. */
  async read(request: WireRequest, waitMs: number, tries = 1): Promise<Outcome> {
    const timeoutMs = waitMs + this.#options.transport.wireMs(request.count)
    let outcome: Outcome = { kind: 'silent' }
    for (let attempt = 0; attempt < tries; attempt++) {
      await waitUntil(this.#options.scheduler, (this.#answeredAt.get(request.unitId) ?? 0) + gapMs)
      outcome = await this.#ask(request, timeoutMs)
      if (outcome.kind === 'words' || outcome.kind === 'refused') break
    }
    return outcome
  }

  /** Hears the line while nobody is asked. */
  async listen(ms: number): Promise<void> {
    const { scheduler, recorder } = this.#options
    recorder.endTurn()
    await waitUntil(scheduler, scheduler.now() + ms)
    recorder.endTurn()
  }

  async close(): Promise<void> {
    this.#options.recorder.endTurn()
    await this.#connection?.end(new WattError('bus/closed', 'the scan is over', { retryable: true }))
    this.#connection = undefined
  }

  async #ask(request: WireRequest, timeoutMs: number): Promise<Outcome> {
    this.#options.abort.throwIfAborted()
    await this.open()
    const connection = this.#connection
    if (connection === undefined) throw new WattError('bus/closed', 'the connection was lost', { retryable: true })
    try {
      const { words, elapsedMs } = await connection.exchange(request, timeoutMs)
      this.#answeredAt.set(request.unitId, this.#options.scheduler.now())
      const wireMs = this.#options.transport.wireMs(request.count)
      return { kind: 'words', words, latencyMs: Math.max(0, elapsedMs - wireMs) }
    } catch (error) {
      if (!(error instanceof WattError) || error.code === 'bus/closed') throw error
      if (error.code === 'bus/exception' && !isSilence(error)) {
        this.#answeredAt.set(request.unitId, this.#options.scheduler.now())
        return { kind: 'refused' }
      }
      return error.code === 'bus/exception' ? { kind: 'silent' } : await this.#giveUp(connection, error)
    }
  }

  async #giveUp(connection: Connection, error: WattError): Promise<Outcome> {
    const cameBytes = error.code === 'bus/frame' && !this.#options.recorder.heard.every(isLevel)
    const { reconnect } = await connection.giveUp(cameBytes ? tailMs : 0)
    // Modbus TCP takes an answer that nobody waits for any more for a fault of the server.
    if (reconnect && !this.#options.transport.keepsLateAnswers) await this.#reconnect(connection, error)
    return { kind: cameBytes ? 'garbled' : 'silent' }
  }

  async #reconnect(connection: Connection, error: WattError): Promise<void> {
    await connection.end(error)
    this.#connection = undefined
  }
}
