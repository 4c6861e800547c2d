import { type Clock, isTransactionAction, type OcppVersion, WattError } from '@wattline/protocol'
import { errorFields, type Log } from '../../log.ts'
import type { Scheduler } from '../../modbus/scheduler.ts'
import type { Store } from '../../store/database.ts'
import { swapSetting } from '../../store/settings.ts'
import { UpstreamLatest } from '../../store/upstream-latest.ts'
import { type UpstreamMessage, UpstreamQueue } from '../../store/upstream-queue.ts'
import { UpstreamTransactions } from '../../store/upstream-transactions.ts'
import type { StationCall } from '../intake.ts'
import { fieldsOf } from '../json-place.ts'
import type { StationAnswer } from '../station-connection.ts'
import type { StationObserver } from '../station-observer.ts'
import type { Authorizer, OcppPayload, TransactionSink } from '../transaction-sink.ts'
import { TurnBatch } from '../turn-batch.ts'
import { BackOff, defaultBackOff } from './back-off.ts'
import { CommandGate } from './commands.ts'
import { hashContent } from './content-hash.ts'
import { mapProfileReport, toUpstreamId } from './id-mapping.ts'
import type { LocalRules } from './local-rules.ts'
import { UpstreamTargets } from './targets.ts'
import type { UpstreamConfig } from './upstream-config.ts'
import { UpstreamLink } from './upstream-link.ts'
import { UpstreamSink } from './upstream-sink.ts'
import type { UpstreamView } from './upstream-view.ts'
import { isReport, requestIdOf, subjectOf, wayUp, withTime } from './what-goes-up.ts'
import type { Dial } from './wire.ts'

/** What the way upstream works with. */
export interface UpstreamParts {
  readonly config: UpstreamConfig
  /** Identities of `ocpp.stations`. */
  readonly localStations: readonly string[]
  readonly heartbeatSeconds: number
  readonly store: Store
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly log: Log
  readonly dial: Dial
  readonly authorizer: Authorizer
  readonly rules: LocalRules
  /** Between 0 and 1; spreads attempts to connect. */
  random(): number
  callStation(stationId: string, action: string, payload: OcppPayload): Promise<StationAnswer>
}

/** Where nobody is listed, whoever knocks may invent identities without end. */
const mostLinks = 1_000
/** Of what tells of no energy: a station that reports without end must not fill the disk. */
const mostNotices = 1_000
/** Connectors, and a few others. */
const mostSubjects = 200
const pruneChunk = 2_000

/** An operator's CSMS: the stations appear there as they are, and it misses nothing. */
export class Upstream implements StationObserver {
  readonly #parts: UpstreamParts
  readonly #targets: UpstreamTargets
  readonly #queue: UpstreamQueue
  readonly #transactions: UpstreamTransactions
  readonly #latest: UpstreamLatest
  readonly #gate: CommandGate
  readonly #batch: TurnBatch
  readonly #links = new Map<string, UpstreamLink>()
  readonly #full = new Set<string>()
  #isStarted = false

  /** Reads passwords and certificates; throws where one is missing. Nothing is open before `start`. */
  constructor(parts: UpstreamParts) {
    this.#parts = parts
    const { store, config } = parts
    this.#targets = new UpstreamTargets(config, parts.localStations)
    this.#queue = new UpstreamQueue(store)
    this.#transactions = new UpstreamTransactions(store)
    this.#latest = new UpstreamLatest(store)
    this.#batch = new TurnBatch(store)
    this.#gate = new CommandGate({ ...parts, allow: config.allow, transactions: this.#transactions })
    store.write(() => {
      if (!swapSetting(store, 'upstream-host', new URL(config.url).hostname)) return
      this.#latest.renewAll()
      this.#transactions.forgetNumbers()
    })
  }

  /** Goes on with what waits since the last run. */
  start(): void {
    this.#isStarted = true
    for (const stationId of this.#queue.stationsWaiting()) this.#linkOf(stationId)
  }

  async stop(): Promise<void> {
    this.#isStarted = false
    this.#batch.flush()
    await Promise.all([...this.#links.values()].map((link) => link.stop()))
  }

  /** The same sink, with upstream told of everything that it takes. */
  sinkOver(inner: TransactionSink): TransactionSink {
    return new UpstreamSink({
      inner,
      queue: this.#queue,
      transactions: this.#transactions,
      appears: (stationId) => this.#targets.has(stationId),
      isUp: (stationId) => this.#links.get(stationId)?.state === 'connected',
      // After this turn's commit; if that fails, there is nothing to be found.
      appended: (stationId) => void setImmediate(() => this.#linkOf(stationId)?.wake()),
      contradicted: ({ stationId, frame }, reason) =>
        this.#parts.log.info('ocpp.upstream.skipped', { station: stationId, frame, reason }),
    })
  }

  connected(stationId: string, version: OcppVersion): void {
    this.#linkOf(stationId)?.stationConnected(version)
  }

  disconnected(stationId: string): void {
    this.#links.get(stationId)?.stationGone()
  }

  heard(call: StationCall, payload: OcppPayload): void {
    const { stationId, action } = call
    const way = wayUp(action)
    if (way === 'own' || isTransactionAction(action) || !this.#targets.has(stationId)) return
    // A reservation of the gateway's own is nobody's affair upstream.
    if (action === 'ReservationStatusUpdate' && toUpstreamId(payload['reservationId']) === undefined) return
    if (way === 'kept') this.#keep(call, payload)
    else if (way === 'latest') this.#note(call, payload)
    else this.#passOn(call, payload)
  }

  views(): ReadonlyMap<string, UpstreamView> {
    const known = new Set([...this.#links.keys(), ...this.#queue.stationsWaiting()])
    return new Map(
      [...known].flatMap((stationId) => {
        const target = this.#targets.find(stationId)
        const link = this.#links.get(stationId)
        const reason = link === undefined ? 'it does not appear upstream any more' : link.reason
        const view = {
          identity: target?.identity ?? stationId,
          state: link?.state ?? 'idle',
          ...(reason === undefined ? {} : { reason }),
          ...this.#queue.counts(stationId),
        }
        return [[stationId, view] as const]
      }),
    )
  }

  /** Forgets what upstream has, and came before this time. */
  prune(beforeMs: number): void {
    this.#queue.prune(beforeMs, pruneChunk)
    this.#transactions.prune(beforeMs, pruneChunk)
  }

  #linkOf(stationId: string): UpstreamLink | undefined {
    const known = this.#links.get(stationId)
    const target = this.#targets.find(stationId)
    if (known !== undefined || target === undefined || !this.#isStarted || this.#links.size >= mostLinks) return known
    const { config, scheduler, heartbeatSeconds } = this.#parts
    const link = new UpstreamLink({
      ...this.#parts,
      stationId,
      target,
      queue: this.#queue,
      transactions: this.#transactions,
      latest: this.#latest,
      gate: this.#gate,
      scheduler,
      backOff: new BackOff(defaultBackOff, this.#parts.random),
      attempts: config.attempts,
      retryMs: config.retrySeconds * 1000,
      heartbeatMs: heartbeatSeconds * 1000,
      onVerdict: (message, status) => this.#judge(message, status),
    })
    this.#links.set(stationId, link)
    return link
  }

  // Stored before the station is answered, as it keeps them until then.
  #keep(call: StationCall, payload: OcppPayload): void {
    const { stationId, version, action } = call
    this.#attempt(call, () => {
      if (this.#queue.noticesWaiting(stationId) >= mostNotices) {
        if (!this.#full.has(stationId)) {
          this.#parts.log.warn('ocpp.upstream.dropped', {
            station: stationId,
            action,
            reason: `${mostNotices} wait already`,
          })
        }
        this.#full.add(stationId)
        return
      }
      this.#full.delete(stationId)
      this.#parts.store.write(() =>
        this.#queue.append({
          stationId,
          version,
          action,
          // Two alike at different times are two: they are told apart by what they say of time, and by message id.
          contentHash: hashContent(action, { ...payload, messageId: call.messageId }),
          arrivedAt: this.#parts.clock.now(),
          content: { payload },
          isLate: this.#links.get(stationId)?.state !== 'connected',
        }),
      )
      this.#linkOf(stationId)?.wake()
    })
  }

  #note(call: StationCall, payload: OcppPayload): void {
    const { stationId, version, action } = call
    const subject = subjectOf(action, payload)
    const entry = { stationId, subject, version, action, payload: withTime(action, payload, this.#parts.clock.now()) }
    const put = () => {
      const isKnown = this.#latest.has(stationId, subject)
      if (isKnown || this.#latest.count(stationId) < mostSubjects) this.#latest.put(entry)
    }
    this.#batch.run(put).then(
      () => this.#linkOf(stationId)?.wake(),
      (error: unknown) => this.#tellFailure(call, error),
    )
  }

  #passOn(call: StationCall, payload: OcppPayload): void {
    const { stationId, action } = call
    const link = this.#links.get(stationId)
    if (link === undefined || (isReport(action) && !link.hasAsked(requestIdOf(payload)))) return
    const mapped = action === 'ReportChargingProfiles' ? mapProfileReport(payload) : payload
    if (mapped !== undefined) link.pass(action, mapped)
  }

  // The local list decides who charges here: a verdict may come days after the fact.
  #judge(message: UpstreamMessage, status: string): void {
    const { config, log } = this.#parts
    const { stationId, action } = message
    log.warn('ocpp.upstream.verdict', { station: stationId, action, status, session: config.onRefusal })
    if (config.onRefusal === 'continue') return
    this.#stopSession(message).catch((error: unknown) =>
      log.warn('ocpp.upstream.stop.failed', { station: stationId, ...errorFields(error) }),
    )
  }

  async #stopSession({ stationId, action, transactionId, payload = {} }: UpstreamMessage): Promise<void> {
    const { callStation } = this.#parts
    if (action === 'StartTransaction' && transactionId !== undefined) {
      if (this.#transactions.find(stationId, transactionId)?.hasEnded === true) return
      await callStation(stationId, 'RemoteStopTransaction', { transactionId })
    }
    if (action === 'TransactionEvent' && payload['eventType'] !== 'Ended') {
      const { transactionId: id } = fieldsOf(payload['transactionInfo']) ?? {}
      await callStation(stationId, 'RequestStopTransaction', { transactionId: String(id) })
    }
  }

  #attempt(call: StationCall, work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#tellFailure(call, error)
    }
  }

  #tellFailure({ stationId, action }: StationCall, error: unknown): void {
    if (!(error instanceof WattError)) throw error
    this.#parts.log.error('ocpp.upstream.lost', { station: stationId, action, ...errorFields(error) })
  }
}
