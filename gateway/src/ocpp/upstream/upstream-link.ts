import { randomUUID } from 'node:crypto'
import { type OcppVersion, WattError } from '@wattline/protocol'
import { errorFields } from '../../log.ts'
import type { LatestMessage, UpstreamLatest } from '../../store/upstream-latest.ts'
import { CallRefused } from '../call-refused.ts'
import { fieldsOf } from '../json-place.ts'
import type { OcppPayload } from '../transaction-sink.ts'
import type { BackOff } from './back-off.ts'
import type { CommandGate } from './commands.ts'
import { type DeliveryParts, MessageDelivery } from './message-delivery.ts'
import { Sleeper } from './sleeper.ts'
import { type StationTarget, withVersion } from './targets.ts'
import type { LinkState } from './upstream-view.ts'
import { requestIdOf } from './what-goes-up.ts'
import { type Dial, UpstreamRefusal, type Wire, type WireCall } from './wire.ts'

/** What one station's connection upstream is made of. */
export interface LinkParts extends DeliveryParts {
  readonly target: StationTarget
  readonly latest: UpstreamLatest
  readonly gate: CommandGate
  readonly dial: Dial
  readonly backOff: BackOff
  readonly heartbeatMs: number
}

/** A station that is away for less than this is not told to be away: many connect anew at every little thing. */
const graceMs = 60_000
/** OCPP leaves it to the station where upstream gives no interval. */
const bootRetryMs = 60_000
const longestIntervalMs = 86_400_000
/** OCPP-J: one request at a time. Some systems do not wait; they must not fill the memory. */
const mostCommands = 10
const mostPassingCharacters = 500_000
const mostRequests = 100

/** One station as it appears upstream: connects, says what the station said, and takes commands. */
export class UpstreamLink {
  readonly #parts: LinkParts
  readonly #sleeper: Sleeper
  readonly #delivery: MessageDelivery
  readonly #running: Promise<void>
  readonly #stopping = new AbortController()
  #state: LinkState = 'idle'
  #reason: string | undefined
  #wire: Wire | undefined
  #stationVersion: OcppVersion | undefined
  /** Until when a station that went away still counts as there. */
  #lingersUntil = Number.NEGATIVE_INFINITY
  #heartbeatMs: number
  #heartbeatAt = 0
  /** Upstream wants to hear nothing before this. */
  #holdUntil = Number.NEGATIVE_INFINITY
  #passing: { readonly action: string; readonly payload: OcppPayload; readonly size: number }[] = []
  readonly #requests = new Set<number>()
  #commands = 0

  constructor(parts: LinkParts) {
    this.#parts = parts
    this.#heartbeatMs = parts.heartbeatMs
    this.#sleeper = new Sleeper(parts.scheduler)
    this.#delivery = new MessageDelivery(parts)
    this.#running = this.#run()
  }

  get state(): LinkState {
    return this.#state
  }

  /** Why it is not connected, in words. */
  get reason(): string | undefined {
    return this.#reason
  }

  /** The station is there, and speaks this version. */
  stationConnected(version: OcppVersion): void {
    this.#stationVersion = version
    this.#lingersUntil = Number.POSITIVE_INFINITY
    this.wake()
  }

  stationGone(): void {
    this.#lingersUntil = this.#parts.scheduler.now() + graceMs
    this.wake()
  }

  /** There may be something to send. */
  wake(): void {
    this.#sleeper.wake()
  }

  /** Sends something that is of use now or never. */
  pass(action: string, payload: OcppPayload): void {
    if (this.#wire === undefined) return
    const size = JSON.stringify(payload).length
    const sum = this.#passing.reduce((total, one) => total + one.size, size)
    if (sum > mostPassingCharacters) {
      this.#parts.log.warn('ocpp.upstream.dropped', {
        station: this.#parts.stationId,
        action,
        reason: 'too much at once',
      })
      return
    }
    this.#passing.push({ action, payload, size })
    this.wake()
  }

  /** Whether upstream has asked for a report under this id. */
  hasAsked(requestId: number | undefined): boolean {
    return requestId !== undefined && this.#requests.has(requestId)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    // What is under way gets no answer, and is sent again after the next start.
    this.#wire?.close('the gateway stops')
    this.wake()
    await this.#running
  }

  async #run(): Promise<void> {
    const { scheduler, backOff, log, stationId, target } = this.#parts
    while (!this.#stopping.signal.aborted) {
      this.#sleeper.reset()
      try {
        const version = this.#wantedVersion()
        if (version === undefined) {
          this.#become('idle')
          await this.#sleeper.sleep()
        } else {
          await this.#serve(version)
        }
      } catch (error) {
        const isNews = this.#state !== 'unreachable'
        this.#become('unreachable', error instanceof Error ? error.message : String(error))
        const pauseMs = backOff.next()
        const isOurs = error instanceof WattError && error.code.startsWith('upstream/')
        const fields = {
          station: stationId,
          identity: target.identity,
          pauseMs: Math.round(pauseMs),
          ...errorFields(error),
        }
        log[!isOurs ? 'error' : isNews ? 'warn' : 'debug']('ocpp.upstream.unreachable', fields)
        const until = scheduler.now() + pauseMs
        while (!this.#stopping.signal.aborted && scheduler.now() < until) {
          this.#sleeper.reset()
          await this.#sleeper.sleep(until - scheduler.now())
        }
      }
    }
  }

  #become(state: LinkState, reason?: string): void {
    this.#state = state
    this.#reason = reason
  }

  // What waits goes first, in the version in which it came. Nothing waits and the station is away: upstream sees it away.
  #wantedVersion(): OcppVersion | undefined {
    const { queue, stationId, scheduler } = this.#parts
    const head = queue.head(stationId)
    if (head !== undefined) return head.version
    return scheduler.now() < this.#lingersUntil ? this.#stationVersion : undefined
  }

  async #serve(version: OcppVersion): Promise<void> {
    const { dial, target, scheduler, log, stationId } = this.#parts
    if (this.#state !== 'unreachable') this.#become('connecting')
    let ended: string | undefined
    const events = {
      answer: async (call: WireCall) => await this.#answer(version, call),
      ended: (reason: string) => {
        ended = reason
        this.wake()
      },
    }
    const wire = await dial(withVersion(target, version), events, this.#stopping.signal)
    try {
      if (this.#stopping.signal.aborted) return
      this.#wire = wire
      this.#become('connected')
      this.#heartbeatAt = scheduler.now() + this.#heartbeatMs
      log.info('ocpp.upstream.connected', { station: stationId, identity: target.identity, version })
      while (!this.#stopping.signal.aborted && this.#wantedVersion() === version) {
        this.#sleeper.reset()
        if (ended !== undefined)
          throw new WattError('upstream/unreachable', `${target.identity}: ${ended}`, { retryable: true })
        if (!(await this.#sendNext(wire, version))) await this.#sleeper.sleep(this.#untilNext(version))
      }
    } finally {
      this.#wire = undefined
      this.#passing = []
      this.#requests.clear()
      wire.close('nothing more to say')
    }
  }

  /** Sends the next message; false where there is none for now. */
  async #sendNext(wire: Wire, version: OcppVersion): Promise<boolean> {
    const { queue, latest, stationId, scheduler } = this.#parts
    const now = scheduler.now()
    if (now < this.#holdUntil) return false
    const news = latest.pending(stationId, version)
    if (news !== undefined) {
      await this.#tellLatest(wire, news)
      return true
    }
    const head = now < this.#delivery.retryAt ? undefined : queue.head(stationId)
    if (head !== undefined && head.version === version) {
      await this.#delivery.deliver(head, (payload) => this.#call(wire, head.messageId, head.action, payload))
      return true
    }
    const passing = this.#passing.shift()
    if (passing !== undefined) {
      await this.#tell(wire, passing.action, passing.payload)
      return true
    }
    if (now < this.#heartbeatAt) return false
    await this.#tell(wire, 'Heartbeat', {})
    return true
  }

  #untilNext(version: OcppVersion): number {
    const { scheduler, queue, stationId } = this.#parts
    const now = scheduler.now()
    if (now < this.#holdUntil) return this.#holdUntil - now
    const moments = [this.#heartbeatAt, this.#lingersUntil]
    if (queue.head(stationId)?.version === version) moments.push(this.#delivery.retryAt)
    return Math.max(0, Math.min(...moments.filter((moment) => moment > now)) - now)
  }

  // Everything that is said tells upstream that the station is there: a heartbeat is due after silence only.
  async #call(wire: Wire, messageId: string, action: string, payload: OcppPayload): Promise<unknown> {
    const { scheduler, backOff } = this.#parts
    try {
      const answer = await wire.call(messageId, action, payload)
      backOff.reset()
      return answer
    } catch (error) {
      // A refusal is an answer as well.
      if (error instanceof UpstreamRefusal) backOff.reset()
      throw error
    } finally {
      this.#heartbeatAt = scheduler.now() + this.#heartbeatMs
    }
  }

  /** Says what is not worth saying twice; gives the answer, undefined where upstream refused it. */
  async #tell(wire: Wire, action: string, payload: OcppPayload): Promise<unknown> {
    const { log, stationId } = this.#parts
    try {
      return await this.#call(wire, randomUUID(), action, payload)
    } catch (error) {
      if (!(error instanceof UpstreamRefusal)) throw error
      log.info('ocpp.upstream.refused', { station: stationId, action, reason: error.message })
      return undefined
    }
  }

  async #tellLatest(wire: Wire, { number, action, payload }: LatestMessage): Promise<void> {
    const { latest, store, stationId, scheduler, log } = this.#parts
    const answer = fieldsOf(await this.#tell(wire, action, payload))
    if (action !== 'BootNotification') {
      latest.delivered(number)
      return
    }
    const { status, interval } = answer ?? {}
    const intervalMs =
      typeof interval === 'number' && interval > 0 ? Math.min(interval * 1000, longestIntervalMs) : undefined
    if (status !== 'Accepted') {
      // OCPP 1.6 §4.2, OCPP 2.x B02 and B03: nothing but the next BootNotification, after the interval.
      this.#holdUntil = scheduler.now() + (intervalMs ?? bootRetryMs)
      log.warn('ocpp.upstream.boot', { station: stationId, status: String(status ?? 'refused') })
      return
    }
    this.#heartbeatMs = intervalMs ?? this.#parts.heartbeatMs
    this.#heartbeatAt = scheduler.now() + this.#heartbeatMs
    store.write(() => {
      latest.delivered(number)
      latest.renewStatus(stationId)
    })
  }

  async #answer(version: OcppVersion, { action, payload }: WireCall): Promise<OcppPayload> {
    const { gate, stationId, log } = this.#parts
    if (action === 'TriggerMessage' && fieldsOf(payload)?.['requestedMessage'] === 'Heartbeat') {
      this.#heartbeatAt = this.#parts.scheduler.now()
      this.wake()
      return { status: 'Accepted' }
    }
    if (this.#lingersUntil < Number.POSITIVE_INFINITY || this.#stationVersion !== version) {
      throw new CallRefused('GenericError', 'the station is not connected')
    }
    if (this.#commands >= mostCommands) throw new CallRefused('GenericError', 'too many requests at once')
    this.#commands++
    try {
      this.#noteRequest(requestIdOf(payload))
      return await gate.pass({ stationId, version, action, payload })
    } catch (error) {
      if (error instanceof CallRefused) throw error
      log.error('ocpp.upstream.command.failed', { station: stationId, action, ...errorFields(error) })
      throw new CallRefused('InternalError', '')
    } finally {
      this.#commands--
    }
  }

  #noteRequest(id: number | undefined): void {
    if (id === undefined) return
    this.#requests.add(id)
    const [oldest] = this.#requests
    if (this.#requests.size > mostRequests && oldest !== undefined) this.#requests.delete(oldest)
  }
}
