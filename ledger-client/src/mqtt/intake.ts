import { type PointId, parseTopic, WattError } from '@wattline/protocol'
import type { LedgerEngine } from '../engine.ts'
import type { Health } from '../health.ts'
import type { Logger } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Answer, Outcome } from '../pipeline.ts'
import type { Receipts } from '../receipts.ts'
import { toMessage } from '../store/intake.ts'
import type { Delivery, Link, Way } from './connection.ts'

const limits = {
  /** Messages and bytes that wait in memory for their commit; beyond, nothing more is read from the broker. */
  queueLength: 2000,
  queueBytes: 8 * 1024 * 1024,
  /** Messages that one commit stores. */
  batch: 500,
  /** Receipts on their way to the broker. */
  receiptsInFlight: 100,
  /** Metering points that are remembered as having had messages left out. */
  shedPoints: 10_000,
  /** Answers that wait for the broker; beyond, those that nobody has enrolled get none: their names are anybody's to invent. */
  answers: 2000,
} as const
const retryMs = 1000

/** The parts that the intake joins together. */
export interface IntakeParts {
  readonly engine: LedgerEngine
  readonly receipts: Receipts
  readonly health: Health
  readonly metrics: Metrics
  readonly log: Logger
  /** Called once where going on makes no sense: the database is damaged, or an invariant is broken. */
  fatal(error: unknown): void
}

/**
 * Bytes in, receipts out. Each message is stored, then acknowledged, then processed, then answered; whatever is cut in
 * between is made up for at the next start, as the database holds what was acknowledged and a gateway sends again what
 * no receipt answered.
 */
export class MqttIntake {
  readonly #parts: IntakeParts
  readonly #link: Link
  readonly #queue: Delivery[] = []
  readonly #answers = new Map<PointId, Answer>()
  readonly #shed = new Set<PointId>()
  readonly #known = new Set<PointId>()
  #queueBytes = 0
  #inFlight = 0
  #scheduled = false
  #stopped = false
  #told = false
  #othersWrote = false
  #retry: NodeJS.Timeout | undefined
  readonly #watch: NodeJS.Timeout

  constructor({ url, open }: Way, parts: IntakeParts) {
    this.#parts = parts
    for (const { id } of parts.engine.registry.all()) this.#known.add(id)
    parts.engine.db.onStale(() => {
      this.#othersWrote = true
    })
    parts.health.raise({ code: 'mqtt/disconnected', message: `${url}: not connected yet` })
    this.#link = open({
      connected: () => this.#connected(url),
      disconnected: (reason) => this.#disconnected(url, reason),
      received: (delivery) => this.#receive(delivery),
    })
    // What was stored before a crash is processed now; what the command line changes is noticed.
    this.#schedule()
    this.#watch = setInterval(() => this.#schedule(), retryMs)
  }

  /** Tells points how far they are: something else than a message has moved them on. */
  announce(points: readonly PointId[]): void {
    for (const id of points) this.#answer(id, { resend: false })
    this.#publish()
  }

  /** Stops at once: what is stored waits for the next start, what is not was never acknowledged. */
  async stop(): Promise<void> {
    clearInterval(this.#watch)
    clearTimeout(this.#retry)
    this.#stopped = true
    await this.#link.close()
  }

  #connected(url: string): void {
    const { health, log, engine } = this.#parts
    health.clear('mqtt/disconnected')
    log.info({ event: 'mqtt.connected', url })
    if (!this.#told) for (const { id } of engine.registry.all()) this.#answer(id, { resend: false })
    this.#told = true
    this.#publish()
  }

  #disconnected(url: string, reason: string): void {
    if (this.#stopped) return
    const { health, log } = this.#parts
    const isNew = health.raise({ code: 'mqtt/disconnected', message: `${url}: ${reason}` })
    if (isNew) log.warn({ event: 'mqtt.disconnected', url, reason })
  }

  #receive(delivery: Delivery): boolean {
    this.#queue.push(delivery)
    this.#queueBytes += delivery.payload.length
    this.#schedule()
    return this.#queue.length < limits.queueLength && this.#queueBytes < limits.queueBytes
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped || this.#retry !== undefined) return
    this.#scheduled = true
    setImmediate(() => this.#turn())
  }

  // One turn stores one batch and processes another that was stored before, in one commit: neither starves the other or
  // the sockets, and a ledger with much to do waits once for its disk and not twice.
  #turn(): void {
    this.#scheduled = false
    if (this.#stopped) return
    const { engine, health, log } = this.#parts
    try {
      this.#take()
      this.#askAgain()
      this.#greetNew()
      if (health.clear('storage/full')) log.info({ event: 'storage.recovered' })
      health.clear('storage/locked')
      if (this.#queue.length > 0 || engine.intake.waiting() > 0) this.#schedule()
      this.#publish()
    } catch (error) {
      this.#fail(error)
    }
  }

  #take(): void {
    const { engine, metrics } = this.#parts
    const batch = this.#queue.slice(0, limits.batch)
    const { shed, outcome } = engine.turn(batch.map(({ topic, payload }) => toMessage(topic, payload)))
    // The commit is done: from here on the bytes survive anything, and the broker may forget them.
    this.#queue.splice(0, batch.length)
    for (const delivery of batch) {
      this.#queueBytes -= delivery.payload.length
      delivery.acknowledge()
    }
    metrics.shed(shed.length)
    for (const { topic } of shed) this.#rememberShed(topic)
    this.#report(outcome)
    if (this.#queue.length < limits.queueLength && this.#queueBytes < limits.queueBytes) this.#link.resume()
  }

  #rememberShed(topic: string): void {
    const parsed = parseTopic(topic)
    if (parsed === undefined || parsed.kind === 'hello' || this.#shed.size >= limits.shedPoints) return
    this.#shed.add(`${parsed.gatewayId}/${parsed.meterId}` as PointId) // both parts are parsed
  }

  // A gateway whose messages were left out is asked for them once it has nothing waiting any more.
  #askAgain(): void {
    for (const id of this.#shed) {
      if (this.#parts.engine.intake.waitingOf(id.split('/')[0] ?? '') > 0) continue
      this.#shed.delete(id)
      this.#answer(id, { resend: true })
    }
  }

  #report(outcome: Outcome): void {
    const { metrics, log } = this.#parts
    metrics.processed(outcome)
    for (const { event, ...fields } of outcome.incidents) {
      if (event === 'point.certificate.taken') log.info({ event, ...fields })
      else if (event === 'program.broken') log.error({ event, ...fields })
      else log.warn({ event, ...fields })
    }
    for (const [id, answer] of outcome.answers) {
      if (this.#parts.engine.registry.get(id) !== undefined) this.#known.add(id)
      this.#answer(id, answer)
    }
  }

  #answer(id: PointId, { resend, refusal }: Answer): void {
    const before = this.#answers.get(id)
    const isMore = before === undefined && this.#answers.size >= limits.answers
    if (isMore && this.#parts.engine.registry.get(id) === undefined) return
    const told = before?.refusal ?? refusal
    const again = resend || (before?.resend ?? false)
    this.#answers.set(id, { resend: again, ...(told === undefined ? {} : { refusal: told }) })
  }

  // Receipts wait here, put together per point, while the broker is away or slow.
  #publish(): void {
    const { receipts, log } = this.#parts
    for (const [id, answer] of this.#answers) {
      if (this.#inFlight >= limits.receiptsInFlight || !this.#link.connected || this.#stopped) return
      this.#answers.delete(id)
      const { topic, text } = receipts.make(id, answer)
      this.#inFlight++
      this.#link.publish(topic, text).then(
        () => {
          this.#inFlight--
          this.#parts.metrics.receiptPublished()
          this.#publish()
        },
        (error: unknown) => {
          this.#inFlight--
          this.#answer(id, answer)
          if (!this.#stopped) log.warn({ event: 'receipt.failed', point: id, reason: String(error) })
        },
      )
    }
  }

  // A point that an operator has enrolled meanwhile has been refused so far.
  #greetNew(): void {
    if (!this.#othersWrote) return
    this.#othersWrote = false
    for (const { id } of this.#parts.engine.registry.all()) {
      if (this.#known.has(id)) continue
      this.#known.add(id)
      this.#answer(id, { resend: true })
    }
  }

  // Full or locked storage heals by itself: nothing is acknowledged meanwhile. Anything else does not heal.
  #fail(error: unknown): void {
    const { health, log, fatal } = this.#parts
    if (!(error instanceof WattError) || !error.retryable) {
      this.#stopped = true
      fatal(error)
      return
    }
    if (health.raise({ code: error.code, message: error.message })) {
      log.error({ event: 'storage.failed', code: error.code, reason: error.message })
    }
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      this.#schedule()
    }, retryMs)
  }
}
