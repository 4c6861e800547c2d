import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { type Clock, WattError } from '@wattline/protocol'
import { RPCClient, RPCServer } from 'ocpp-rpc'
import { errorFields, type Log } from '../log.ts'
import type { Store } from '../store/database.ts'
import { Admission, type StationTerms } from './admission.ts'
import { certificateNameOf, type Front, openFront, refuseUpgrade, type UpgradeRequest } from './front.ts'
import { Intake, type StationCall } from './intake.ts'
import type { OcppConfig } from './ocpp-config.ts'
import { checkOutgoing } from './outgoing.ts'
import { StationBoard, type StationView } from './station-board.ts'
import { closeCodes, type StationAnswer, StationConnection } from './station-connection.ts'
import type { StationObserver } from './station-observer.ts'
import { StationSocket } from './station-socket.ts'
import { nameStation } from './station-url.ts'
import { type ChosenProtocol, chooseProtocol } from './subprotocol.ts'
import type { Authorizer, OcppPayload, TransactionSink } from './transaction-sink.ts'
import type { UpstreamView } from './upstream/upstream-view.ts'

/** What the charging stations' server works with. */
export interface CsmsParts {
  readonly config: OcppConfig
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly sink: TransactionSink
  readonly authorizer: Authorizer
  /** Looks at a request before it leaves; throws where a rule of this site forbids it. */
  readonly checkCall?: (stationId: string, action: string, payload: OcppPayload) => void
  /** Who else wants to know what stations do. */
  readonly observers?: readonly StationObserver[]
  /** How the stations stand upstream, by identity here. */
  readonly upstream?: () => ReadonlyMap<string, UpstreamView>
}

/** What was decided about a connection before the library sees it. */
class Entry {
  readonly stationId: string
  readonly terms: StationTerms
  readonly protocol: ChosenProtocol

  constructor(stationId: string, terms: StationTerms, protocol: ChosenProtocol) {
    this.stationId = stationId
    this.terms = terms
    this.protocol = protocol
  }
}

/** The local CSMS of the charging stations behind this gateway: OCPP 1.6J, 2.0.1 and 2.1. */
export class Csms {
  readonly #parts: CsmsParts
  readonly #admission: Admission
  readonly #intake: Intake
  readonly #board = new StationBoard()
  readonly #rpc: RPCServer
  readonly #entries = new WeakMap<IncomingMessage, Entry>()
  readonly #connections = new Map<string, StationConnection>()
  #front: Front | undefined

  /** Reads the password files; throws where one is missing. Nothing is open before `start`. */
  constructor(parts: CsmsParts) {
    this.#parts = parts
    const { config, clock } = parts
    this.#admission = new Admission(config)
    this.#intake = new Intake({
      ...parts,
      heartbeatSeconds: config.heartbeatSeconds,
      onDoubt: (call, outcome, notes) => this.#tellDoubt(call, outcome, notes),
      onMessage: (call, payload, answer) => this.#heard(call, payload, answer),
    })
    this.#rpc = new RPCServer({
      // Ours: the library ends a connection whose station answers no ping.
      pingIntervalMs: 0,
      callTimeoutMs: config.callTimeoutSeconds * 1000,
      callConcurrency: 1,
      wssOptions: webSocketOptions(config.maxMessageBytes),
    })
    this.#rpc.on('error', (error: unknown) => parts.log.warn('ocpp.server', errorFields(error)))
    this.#rpc.on('client', (client: unknown) => this.#take(client))
    this.#rpc.auth((accept, reject, { request }) => {
      const entry = this.#entries.get(request)
      if (entry === undefined) return reject(400, 'unexpected request')
      const { protocol } = entry
      // Without a common version the handshake is completed without the header, and the connection closed then
      // (OCPP-J 1.6 §3.1.2, 2.x part 4 §3.1.4).
      accept({ entry, at: clock.now() }, protocol.ok ? (protocol.header ?? false) : false)
    })
  }

  /** Opens the ports. */
  async start(): Promise<void> {
    this.#front = await openFront(this.#parts.config, (upgrade) => this.#admit(upgrade))
    const { host, tls } = this.#parts.config
    const [port, tlsPort] = this.#front.ports
    this.#parts.log.info('ocpp.started', {
      url: `ws://${host}:${port}`,
      ...(tls && { tlsUrl: `wss://${host}:${tlsPort}` }),
    })
  }

  /** Ports in use: plain, then TLS where there is one. */
  get ports(): readonly number[] {
    return this.#front?.ports ?? []
  }

  /** Takes leave of every station; what came until now is stored. */
  async stop(): Promise<void> {
    for (const connection of this.#connections.values()) connection.close(closeCodes.goingAway, 'the gateway stops')
    this.#intake.flush()
    // The closing frames leave in this turn.
    await new Promise((resolve) => setImmediate(resolve))
    await this.#front?.close()
  }

  /** Every station seen since the start, also those that were turned away. */
  stations(): readonly StationView[] {
    return this.#board.list(this.#parts.upstream?.())
  }

  /** Sends a request to a station that is connected. */
  async call(stationId: string, action: string, payload: unknown): Promise<StationAnswer> {
    const connection = this.#connections.get(stationId)
    if (connection !== undefined) {
      this.#parts.checkCall?.(stationId, action, checkOutgoing(connection.version, action, payload))
      return await connection.call(action, payload)
    }
    const isKnown = this.#board.list().some(({ id }) => id === stationId)
    throw isKnown
      ? new WattError('station/offline', `${stationId} is not connected`, { retryable: true })
      : new WattError('station/unknown', `no station '${stationId}' has connected since the start`)
  }

  // URL, identity and proof are judged here: the library ends the process on a URL that cannot be decoded.
  #admit({ request, socket, head }: UpgradeRequest): void {
    const refuse = (id: string, status: number, reason: string) => {
      this.#tellRefusal(id, reason, socket)
      refuseUpgrade(socket, status, reason)
    }
    const named = nameStation(request.url ?? '/')
    if (!named.ok) {
      refuse(nameless, 400, named.reason)
      return
    }
    const { stationId } = named
    const admitted = this.#admission.check({
      stationId,
      authorization: request.headers.authorization,
      isTls: socket instanceof TLSSocket,
      certificateName: certificateNameOf(socket),
    })
    if (!admitted.ok) {
      refuse(stationId, admitted.status, admitted.reason)
      return
    }
    const protocol = chooseProtocol(readOffer(request), admitted.versionIfNone)
    this.#entries.set(request, new Entry(stationId, admitted, protocol))
    request.url = `/${encodeURIComponent(stationId)}`
    this.#rpc.handleUpgrade(request, socket, head).catch((error: unknown) => {
      this.#parts.log.warn('ocpp.upgrade.failed', { station: stationId, ...errorFields(error) })
      socket.destroy()
    })
  }

  #take(client: unknown): void {
    const session: unknown = client instanceof RPCClient ? Reflect.get(client, 'session') : undefined
    const entry: unknown = typeof session === 'object' && session !== null ? Reflect.get(session, 'entry') : undefined
    const socket: unknown = client instanceof RPCClient ? Reflect.get(client, '_ws') : undefined
    if (!(client instanceof RPCClient && entry instanceof Entry && socket instanceof StationSocket)) {
      throw new Error('ocpp-rpc is not the version that this was written for')
    }
    const { stationId, terms, protocol } = entry
    const address = addressOf(socket)
    if (!protocol.ok) {
      this.#tellRefusal(stationId, protocol.reason, address)
      void client.close({ code: closeCodes.protocol, reason: protocol.reason.slice(0, 120) }).catch(() => {})
      return
    }
    const { config, clock, log } = this.#parts
    const connection = new StationConnection({
      stationId,
      version: protocol.version,
      timeZone: terms.timeZone,
      address,
      client,
      socket,
      intake: this.#intake,
      log,
      messagesPerSecond: config.messagesPerSecond,
      pingMs: config.pingSeconds * 1000,
      silenceMs: (2 * config.heartbeatSeconds + config.pingSeconds) * 1000,
    })
    client.once('close', ({ code }: { code?: unknown }) => this.#gone(connection, code))
    // The newest wins: a station whose old connection died without a word must not wait for us to notice.
    this.#connections.get(stationId)?.close(closeCodes.replaced, 'replaced by a newer connection')
    this.#connections.set(stationId, connection)
    this.#board.connected(stationId, { version: protocol.version, address, at: clock.now() })
    for (const observer of this.#parts.observers ?? []) observer.connected(stationId, protocol.version)
    log.info('ocpp.station.connected', { station: stationId, version: protocol.version, address })
  }

  #gone(connection: StationConnection, code: unknown): void {
    const { stationId } = connection
    const isLatest = this.#connections.get(stationId) === connection
    this.#parts.log.info('ocpp.station.disconnected', { station: stationId, code, replaced: !isLatest })
    if (!isLatest) return
    this.#connections.delete(stationId)
    this.#board.disconnected(stationId)
    for (const observer of this.#parts.observers ?? []) observer.disconnected(stationId)
  }

  #heard(call: StationCall, payload: OcppPayload, answer: OcppPayload | undefined): void {
    for (const observer of this.#parts.observers ?? []) observer.heard(call, payload, answer)
    this.#board.heard(call, payload, this.#parts.clock.now())
    const { type, timestamp } = payload
    if (call.action === 'SecurityEventNotification') {
      this.#parts.log.warn('ocpp.station.security', { station: call.stationId, type, timestamp })
    }
  }

  #tellDoubt({ stationId, action }: StationCall, outcome: 'mended' | 'quarantined', notes: readonly string[]): void {
    const fields = { station: stationId, action, notes: notes.slice(0, 10) }
    this.#parts.log[outcome === 'mended' ? 'debug' : 'warn'](`ocpp.message.${outcome}`, fields)
  }

  #tellRefusal(stationId: string, reason: string, from: Socket | string): void {
    const address = typeof from === 'string' ? from : (from.remoteAddress ?? '')
    const isNews = this.#board.refused(stationId, reason, this.#parts.clock.now())
    this.#parts.log[isNews ? 'warn' : 'debug']('ocpp.station.refused', { station: stationId, address, reason })
  }
}

/** Stands for all who do not say which station they are: no identity may look like this. */
const nameless = '?'

type LibraryOptions = NonNullable<NonNullable<ConstructorParameters<typeof RPCServer>[0]>['wssOptions']>

function webSocketOptions(maxPayload: number): LibraryOptions {
  const options: Omit<LibraryOptions, 'WebSocket'> = {
    noServer: true,
    maxPayload,
    // OCPP 2.x part 4 demands it of us. Without a context that is kept it costs no memory per station.
    perMessageDeflate: { threshold: 1024, serverNoContextTakeover: true, clientNoContextTakeover: true },
  }
  // The type asks for the static parts of ws as well, which nobody uses.
  Reflect.set(options, 'WebSocket', StationSocket)
  return options
}

function addressOf(socket: StationSocket): string {
  const raw: unknown = Reflect.get(socket, '_socket')
  const address: unknown = typeof raw === 'object' && raw !== null ? Reflect.get(raw, 'remoteAddress') : undefined
  return typeof address === 'string' ? address : ''
}

function readOffer(request: IncomingMessage): ReadonlySet<string> {
  const names = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  return new Set(names.filter((name) => name !== ''))
}
