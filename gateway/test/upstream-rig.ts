import { setImmediate as nextTurn } from 'node:timers/promises'
import { decodeWith, type OcppVersion, WattError } from '@wattline/protocol'
import { FakeScheduler } from '../src/modbus/fake-scheduler.ts'
import { Intake } from '../src/ocpp/intake.ts'
import type { OcppPayload } from '../src/ocpp/transaction-sink.ts'
import type { LocalRules } from '../src/ocpp/upstream/local-rules.ts'
import { Upstream } from '../src/ocpp/upstream/upstream.ts'
import { upstreamShape } from '../src/ocpp/upstream/upstream-config.ts'
import { type Dial, UpstreamRefusal, type WireEvents, type WireTarget } from '../src/ocpp/upstream/wire.ts'
import { openStore, type Store } from '../src/store/database.ts'
import { KeptLog, makeTestSink, testAuthorizer } from './csms-rig.ts'
import { HandClock, makeTempFolder } from './signing-rig.ts'

type AsyncTeardown = (action: () => unknown) => void

export interface UpstreamRigOptions {
  readonly dial: Dial
  readonly dataDir?: string
  readonly clock?: HandClock
  readonly scheduler?: FakeScheduler
  readonly config?: object
  readonly rules?: Partial<LocalRules>
}

/** A command as a station got it. */
export interface StationCommand {
  readonly stationId: string
  readonly action: string
  readonly payload: OcppPayload
}

/** For tests: everything between what stations say and an operator's CSMS, without the stations' sockets. */
export class UpstreamRig {
  readonly store: Store
  readonly clock: HandClock
  readonly scheduler: FakeScheduler
  readonly log = new KeptLog()
  readonly upstream: Upstream
  readonly dataDir: string
  /** What stations were asked, and what they answer. */
  readonly commands: StationCommand[] = []
  answerOfStation: (command: StationCommand) => unknown = () => ({ status: 'Accepted' })
  readonly #intake: Intake
  #messages = 0

  constructor(teardown: AsyncTeardown, options: UpstreamRigOptions) {
    const { dial, config, rules, dataDir } = options
    this.clock = options.clock ?? new HandClock()
    this.scheduler = options.scheduler ?? new FakeScheduler()
    this.dataDir = dataDir ?? makeTempFolder(teardown)
    this.store = openStore(this.dataDir)
    const given = { url: 'ws://csms.test/ocpp', ...config }
    this.upstream = new Upstream({
      config: decodeWith(upstreamShape, given, 'test', 'config/invalid'),
      localStations: [],
      heartbeatSeconds: 300,
      store: this.store,
      clock: this.clock,
      scheduler: this.scheduler,
      log: this.log,
      dial,
      authorizer: testAuthorizer,
      rules: { objectionTo: () => undefined, mostAmps: () => undefined, ...rules },
      random: () => 0.5,
      callStation: async (stationId, action, payload) => {
        const command = { stationId, action, payload }
        this.commands.push(command)
        return { payload: await this.answerOfStation(command), faults: [] }
      },
    })
    this.#intake = new Intake({
      store: this.store,
      clock: this.clock,
      sink: this.upstream.sinkOver(makeTestSink(this.store, this.clock)),
      authorizer: testAuthorizer,
      heartbeatSeconds: 300,
      onDoubt: () => {},
      onMessage: (call, payload) => this.upstream.heard(call, payload),
    })
    this.upstream.start()
    teardown(() => this.close())
  }

  /** A station says something; gives the gateway's answer. */
  async say(stationId: string, version: OcppVersion, action: string, payload: object): Promise<OcppPayload> {
    const messageId = `m${this.#messages++}`
    const frame = JSON.stringify([2, messageId, action, payload])
    return await this.#intake.answer({ stationId, version, action, messageId, payload, frame, timeZone: 'UTC' })
  }

  /** Lets real sockets do their work, without any time passing for the gateway. */
  async until(isDone: () => boolean): Promise<void> {
    while (!isDone()) await nextTurn()
  }

  /** Lets time pass, for timers and for the clock. */
  async advance(ms: number): Promise<void> {
    this.clock.nowMs += ms
    await this.scheduler.advance(ms)
  }

  async close(): Promise<void> {
    if (!this.store.db.open) return
    await this.upstream.stop()
    this.store.close()
  }

  /** As kill -9 leaves it: nothing is said any more, and nothing is stored. */
  kill(): void {
    this.store.close()
  }
}

/** A request as it came to upstream. */
export interface Received {
  readonly identity: string
  readonly messageId: string
  readonly action: string
  readonly payload: OcppPayload
}

/** For tests: an operator's CSMS without sockets, which can fail in every way. */
export class FakeUpstream {
  readonly received: Received[] = []
  readonly targets: WireTarget[] = []
  isReachable = true
  /** What becomes of the next request: undefined to answer it. */
  fate: (request: Received) => 'lost' | 'answer-lost' | { readonly refused: string } | undefined = () => undefined
  answer: (request: Received) => OcppPayload
  readonly #events = new Map<string, WireEvents>()
  readonly #transactions = new Map<string, number>()

  constructor() {
    this.answer = (request) => this.usualAnswer(request)
  }

  /** Connections by identity. */
  get connected(): readonly string[] {
    return [...this.#events.keys()]
  }

  readonly dial: Dial = async (target, events) => {
    this.targets.push(target)
    if (!this.isReachable) throw new WattError('upstream/unreachable', 'no route', { retryable: true })
    const { identity } = target
    this.#events.set(identity, events)
    const end = (reason: string) => {
      if (this.#events.get(identity) !== events) return
      this.#events.delete(identity)
      events.ended(reason)
    }
    return {
      call: async (messageId, action, payload) => {
        const request = { identity, messageId, action, payload: structuredClone(payload) }
        const fate = this.fate(request)
        const gone = new WattError('upstream/unreachable', 'the connection ended', { retryable: true })
        if (fate === 'lost') {
          end('cut')
          throw gone
        }
        this.received.push(request)
        if (fate === 'answer-lost') {
          end('cut')
          throw gone
        }
        if (fate !== undefined) throw new UpstreamRefusal('InternalError', fate.refused)
        return this.answer(request)
      },
      close: end,
    }
  }

  /** Cuts every connection. */
  cut(): void {
    for (const [identity, events] of this.#events) {
      this.#events.delete(identity)
      events.ended('cut')
    }
  }

  /** Asks a station for something, as the operator does. */
  async ask(identity: string, action: string, payload: unknown): Promise<OcppPayload> {
    const events = this.#events.get(identity)
    if (events === undefined) throw new Error(`${identity} is not connected`)
    return await events.answer({ action, payload })
  }

  of(action: string, identity?: string): readonly Received[] {
    return this.received.filter((one) => one.action === action && (identity === undefined || one.identity === identity))
  }

  /** The same start gets the same number, whatever its message id. */
  usualAnswer({ action, identity, payload }: Received): OcppPayload {
    switch (action) {
      case 'BootNotification':
        return { status: 'Accepted', interval: 600, currentTime: '2027-01-15T08:00:00Z' }
      case 'Heartbeat':
        return { currentTime: '2027-01-15T08:00:00Z' }
      case 'StartTransaction': {
        const key = `${identity} ${JSON.stringify(payload)}`
        const id = this.#transactions.get(key) ?? 9_000_000 + this.#transactions.size
        this.#transactions.set(key, id)
        return { transactionId: id, idTagInfo: { status: 'Accepted' } }
      }
      default:
        return {}
    }
  }
}
