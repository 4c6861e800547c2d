import { WattError } from '@wattline/protocol'
import { type BusConfig, type BusTuning, defaultTuning, makeTransport, type Transport } from './bus-config.ts'
import { isGivenUp, isLengthRefusal, isSilence } from './bus-errors.ts'
import type { Connection, WireRequest } from './connection.ts'
import { DeviceTiming } from './device-timing.ts'
import type { LineTap } from './line-tap.ts'
import type { WireCost } from './planner.ts'
import { mostRegisters, ReadLengths } from './read-lengths.ts'
import { Reconnector } from './reconnector.ts'
import type { Scheduler } from './scheduler.ts'

/** One read of consecutive registers. */
export interface ReadRequest {
  readonly unitId: number
  readonly functionCode: 3 | 4
  /** Zero-based PDU address. */
  readonly address: number
  /** Registers wanted, and returned. */
  readonly count: number
  /**
   * The bus may ask for up to so many registers and drop the rest: it varies the length from read to read, so
   * that a late answer to an earlier one does not fit. Eight more than `count` give the full protection.
   */
  readonly maxCount?: number
  /** How long this device wants to be left alone after its last answer. */
  readonly minGapMs?: number
  /** What goes before the others when several wait, and what only when nobody else does. In the middle when absent. */
  readonly priority?: 'first' | 'last'
  /** Overrides the device's adaptive timeout, for probing. */
  readonly timeoutMs?: number
}

/** Reads registers of the devices on one line or behind one address. */
export interface RegisterBus {
  /** How often the bus has connected: a change means that something else may hang on it now. */
  readonly connections: number
  /** Throws `bus/timeout`, `bus/frame`, `bus/exception`, `bus/closed`, `port/missing` or `port/occupied`; never another request's answer. */
  read(request: ReadRequest): Promise<readonly number[]>
  /** What reading a device costs on the wire, as far as it is known: the planner's measure. */
  cost(unitId: number): WireCost
  /** Rejects everything that is pending and frees the port. */
  close(): Promise<void>
}

export interface BusDeps {
  readonly scheduler: Scheduler
  /** Told when the port or socket comes and goes. */
  readonly onState?: (state: 'up' | 'down', reason?: WattError) => void
  readonly tuning?: Partial<BusTuning>
  /** Sees every byte that goes by. */
  readonly tap?: LineTap
}

/** Opens a bus. It connects by itself, now and after every loss; until then its reads are rejected. */
export function openBus(config: BusConfig, deps: BusDeps): RegisterBus {
  return new QueuedBus(config, deps)
}

interface Job {
  readonly request: ReadRequest
  readonly resolve: (words: readonly number[]) => void
  readonly reject: (error: WattError) => void
}

interface ReadyJob {
  readonly job: Job
  readonly wire: WireRequest
}

class QueuedBus implements RegisterBus {
  readonly #id: string
  readonly #scheduler: Scheduler
  readonly #tuning: BusTuning
  readonly #transport: Transport
  readonly #reconnector: Reconnector
  readonly #timing: DeviceTiming
  readonly #lengths: ReadLengths
  readonly #quietFrom = new Map<number, number>()
  readonly #queue: Job[] = []
  #current: Job | undefined
  #isServing = false
  #isClosed = false
  #wake: () => void = () => {}

  constructor(config: BusConfig, { scheduler, onState, tuning, tap }: BusDeps) {
    this.#id = config.id
    this.#scheduler = scheduler
    this.#tuning = { ...defaultTuning, ...tuning }
    this.#timing = new DeviceTiming(this.#tuning)
    this.#transport = makeTransport(config, scheduler, tap === undefined ? {} : { tap })
    this.#lengths = new ReadLengths(this.#transport.keepsLateAnswers ? this.#tuning.repeatHorizonMs : 0)
    this.#reconnector = new Reconnector({
      busId: config.id,
      connect: this.#transport.connect,
      scheduler,
      firstDelayMs: this.#tuning.reconnectMs,
      longestDelayMs: this.#tuning.longestReconnectMs,
      onState: (state, reason) => {
        if (state === 'up') this.#timing.forgive()
        onState?.(state, reason)
      },
    })
  }

  get connections(): number {
    return this.#reconnector.connections
  }

  async read(request: ReadRequest): Promise<readonly number[]> {
    const refusal = this.#refuse(request)
    if (refusal !== undefined) throw refusal
    return await new Promise((resolve, reject) => {
      this.#enqueue({ request, resolve, reject })
      this.#wake()
      if (!this.#isServing) void this.#serveAll()
    })
  }

  cost(unitId: number): WireCost {
    return this.#transport.cost(this.#timing.latencyMs(unitId))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const error = new WattError('bus/closed', `bus ${this.#id} was closed`, { retryable: true })
    this.#current?.reject(error)
    for (const job of this.#queue.splice(0)) job.reject(error)
    this.#wake()
    await this.#reconnector.close()
  }

  #refuse(request: ReadRequest): WattError | undefined {
    const { unitId, address, count, timeoutMs } = request
    const where = `bus ${this.#id}, unit ${unitId}`
    // What a device tells of itself leads here too: a SunSpec map's lengths may point anywhere.
    if (count < 1 || count > mostRegisters || address < 0 || address + count > 0x1_0000) {
      return new WattError('reading/out-of-range', `${where}: cannot read ${count} registers at ${address}`)
    }
    const refuse = (code: 'bus/closed' | 'bus/timeout', what: string) =>
      new WattError(code, `${where}: ${what}`, { retryable: true })
    if (this.#isClosed) return refuse('bus/closed', 'the bus was closed')
    if (this.#queue.length >= this.#tuning.queueLimit) {
      return refuse('bus/timeout', `${this.#queue.length} requests wait already`)
    }
    const restMs = this.#timing.restUntilMs(unitId) - this.#scheduler.now()
    if (timeoutMs !== undefined || restMs <= 0) return undefined
    return refuse('bus/timeout', `does not answer; asked again in ${Math.ceil(restMs / 1000)} s, to spare the others`)
  }

  async #serveAll(): Promise<void> {
    this.#isServing = true
    while (this.#queue.length > 0) {
      const next = this.#takeReady()
      if (next === undefined) await this.#pause()
      else await this.#serve(next)
    }
    this.#isServing = false
  }

  // In order, except that a device that must be left alone for a while does not hold up the others.
  #takeReady(): ReadyJob | undefined {
    const now = this.#scheduler.now()
    for (const [i, job] of this.#queue.entries()) {
      if (this.#readyAtMs(job.request) > now) continue
      const count = this.#lengths.choose(job.request, now)
      if (count === undefined) continue
      this.#queue.splice(i, 1)
      const { unitId, functionCode, address } = job.request
      return { job, wire: { unitId, functionCode, address, count } }
    }
    return undefined
  }

  #enqueue(job: Job): void {
    const at = this.#queue.findIndex(({ request }) => rankOf(request) > rankOf(job.request))
    this.#queue.splice(at < 0 ? this.#queue.length : at, 0, job)
  }

  #readyAtMs({ unitId, minGapMs = 0 }: ReadRequest): number {
    return (this.#quietFrom.get(unitId) ?? Number.NEGATIVE_INFINITY) + minGapMs
  }

  async #pause(): Promise<void> {
    const moments = this.#queue.map(({ request }) =>
      Math.max(this.#readyAtMs(request), this.#lengths.freeAtMs(request)),
    )
    const delayMs = Math.max(1, Math.min(...moments) - this.#scheduler.now())
    await new Promise<void>((resolve) => {
      const cancel = this.#scheduler.after(delayMs, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
    this.#wake = () => {}
  }

  async #serve(ready: ReadyJob): Promise<void> {
    this.#current = ready.job
    const startedAt = this.#scheduler.now()
    let connection: Connection | undefined
    try {
      connection = await this.#reconnector.acquire()
      await this.#ask(connection, ready)
    } catch (error) {
      const failure = toWattError(error)
      if (!this.#asksAgain(ready, failure)) ready.job.reject(failure)
      if (connection !== undefined) await this.#settle({ ready, failure, connection, startedAt })
    } finally {
      this.#quietFrom.set(ready.wire.unitId, this.#scheduler.now())
      this.#current = undefined
    }
  }

  async #ask(connection: Connection, { job, wire }: ReadyJob): Promise<void> {
    const { request } = job
    const wireMs = this.#transport.wireMs(wire.count)
    const timeoutMs = wireMs + (request.timeoutMs ?? this.#timing.timeoutMs(wire.unitId))
    this.#lengths.sent(wire, this.#scheduler.now())
    const { words, elapsedMs } = await connection.exchange(wire, timeoutMs)
    this.#timing.answered(wire.unitId, Math.max(0, elapsedMs - wireMs))
    this.#lengths.answered(request, wire)
    this.#reconnector.proven()
    job.resolve(words.slice(0, request.count))
  }

  // The device knows the registers, but not that many: the exact length is asked for next.
  #asksAgain({ job, wire }: ReadyJob, failure: WattError): boolean {
    if (this.#isClosed || wire.count === job.request.count || !isLengthRefusal(failure)) return false
    this.#lengths.refused(job.request, this.#scheduler.now())
    const at = this.#queue.findIndex(({ request }) => rankOf(request) >= rankOf(job.request))
    this.#queue.splice(at < 0 ? this.#queue.length : at, 0, job)
    return true
  }

  async #settle(outcome: {
    ready: ReadyJob
    failure: WattError
    connection: Connection
    startedAt: number
  }): Promise<void> {
    const { failure, connection, startedAt } = outcome
    const { job, wire } = outcome.ready
    if (failure.code === 'bus/exception' && !isSilence(failure)) return this.#reconnector.proven()
    if (!isSilence(failure)) return
    const failedAt = this.#scheduler.now()
    const { lateMs, reconnect } = isGivenUp(failure)
      ? await connection.giveUp(Math.min(this.#timing.timeoutMs(wire.unitId) / 2, this.#tuning.longestDrainMs))
      : { lateMs: undefined, reconnect: false }
    if (isGivenUp(failure) && this.#transport.keepsLateAnswers) {
      this.#lengths.keepOut(wire, failedAt + this.#tuning.lateHorizonMs)
    }
    const nowMs = this.#scheduler.now()
    if (lateMs !== undefined) this.#timing.late(wire.unitId, lateMs - this.#transport.wireMs(wire.count))
    else {
      this.#lengths.silent(job.request, wire, nowMs)
      this.#timing.silent(wire.unitId, { spentMs: nowMs - startedAt, nowMs })
    }
    if (reconnect) await this.#reconnector.renew(failure)
  }
}

function rankOf({ priority }: ReadRequest): number {
  return priority === 'first' ? 0 : priority === 'last' ? 2 : 1
}

function toWattError(error: unknown): WattError {
  if (error instanceof WattError) return error
  throw error
}
