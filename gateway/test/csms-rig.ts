import { connect as connectTcp, type Socket } from 'node:net'
import { type Clock, decodeWith } from '@wattline/protocol'
import { type ClientOptions, WebSocket } from 'ws'
import type { Log } from '../src/log.ts'
import { Csms, type CsmsParts } from '../src/ocpp/csms.ts'
import { type OcppConfig, ocppShape } from '../src/ocpp/ocpp-config.ts'
import type { Authorizer, TransactionMessage, TransactionSink } from '../src/ocpp/transaction-sink.ts'
import { SessionSink } from '../src/sessions/session-sink.ts'
import { openStore, type Store } from '../src/store/database.ts'
import { HandClock, makeTempFolder } from './signing-rig.ts'

type AsyncTeardown = (action: () => unknown) => void

/** Who may charge in these tests: everybody but one. */
export const blockedToken = 'BLOCKED'
export const testAuthorizer: Authorizer = {
  authorize: ({ idToken }) => ({ status: idToken === blockedToken ? 'Blocked' : 'Accepted' }),
}

/** For tests: sessions of which nothing is signed. */
export function makeTestSink(store: Store, clock: Clock): SessionSink {
  return new SessionSink({ store, clock, authorizer: testAuthorizer, signer: { sign: () => {} } })
}

interface LogLine extends Record<string, unknown> {
  readonly level: string
  readonly event: string
}

/** For tests: a log that is kept. */
export class KeptLog implements Log {
  readonly lines: LogLine[] = []
  readonly #waiting = new Set<() => void>()

  error = (event: string, fields = {}) => this.#keep('error', event, fields)
  warn = (event: string, fields = {}) => this.#keep('warn', event, fields)
  info = (event: string, fields = {}) => this.#keep('info', event, fields)
  debug = (event: string, fields = {}) => this.#keep('debug', event, fields)

  /** The nth line of an event, as soon as it is there. */
  async line(event: string, count = 1): Promise<LogLine> {
    for (;;) {
      const found = this.lines.filter((line) => line.event === event)[count - 1]
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  #keep(level: string, event: string, fields: object): void {
    this.lines.push({ level, event, ...fields })
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}

export interface FrameRow {
  readonly number: number
  readonly action: string
  readonly message_id: string
  readonly frame: string
  readonly outcome: string
  readonly notes: string
}

export interface CsmsRig {
  readonly csms: Csms
  readonly config: OcppConfig
  readonly log: KeptLog
  readonly clock: HandClock
  readonly store: Store
  readonly port: number
  readonly tlsPort: number
  readonly dataDir: string
  frames(): readonly FrameRow[]
}

export interface CsmsRigOptions {
  readonly sink?: (store: Store) => TransactionSink
  readonly dataDir?: string
  /** Stands in the place of the usual parts. */
  readonly parts?: (usual: Pick<CsmsParts, 'clock' | 'log'>) => Partial<CsmsParts>
}

/** For tests: the stations' server on free ports, with a real database. */
export async function startCsms(
  teardown: AsyncTeardown,
  config: object = {},
  options: CsmsRigOptions = {},
): Promise<CsmsRig> {
  const { sink, dataDir = makeTempFolder(teardown) } = options
  const store = openStore(dataDir)
  const log = new KeptLog()
  const clock = new HandClock()
  const decoded = decodeWith(ocppShape, { host: '127.0.0.1', port: 0, ...config }, 'test', 'config/invalid')
  const csms = new Csms({
    config: decoded,
    store,
    clock,
    log,
    sink: sink?.(store) ?? makeTestSink(store, clock),
    authorizer: testAuthorizer,
    ...options.parts?.({ clock, log }),
  })
  await csms.start()
  teardown(async () => {
    await csms.stop()
    store.close()
  })
  const [port = 0, tlsPort = 0] = csms.ports
  const frames = () => store.db.prepare('SELECT * FROM ocpp_frames ORDER BY number').all() as FrameRow[]
  return { csms, config: decoded, log, clock, store, port, tlsPort, dataDir, frames }
}

/** What a station gets: `[3, id, payload]` and the like. */
export type Message = [type: number, id: unknown, ...rest: unknown[]]

/** For tests: a station that says what it is told to, byte for byte. */
export class RawStation {
  readonly socket: WebSocket
  readonly received: Message[] = []
  readonly #waiting = new Set<() => void>()
  #closed: { code: number; reason: string } | undefined

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: Buffer) => {
      this.received.push(JSON.parse(data.toString()))
      this.#wake()
    })
    socket.on('close', (code, reason) => {
      this.#closed = { code, reason: reason.toString() }
      this.#wake()
    })
    socket.on('error', () => {})
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }

  async #until<T>(look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  /** The nth message that came, as soon as it is there. */
  message(count: number): Promise<Message> {
    return this.#until(() => {
      if (this.received.length < count && this.#closed !== undefined) throw new Error(`closed: ${this.#closed.code}`)
      return this.received[count - 1]
    })
  }

  closed(): Promise<{ code: number; reason: string }> {
    return this.#until(() => this.#closed)
  }

  /** Sends a text and gives the message that comes next. */
  async ask(text: string): Promise<Message> {
    const count = this.received.length + 1
    this.socket.send(text)
    return await this.message(count)
  }

  async call(action: string, payload: unknown, id: unknown = 'm1'): Promise<Message> {
    return await this.ask(JSON.stringify([2, id, action, payload]))
  }
}

/** Connects a station; rejects with the status and words of a refusal. */
export async function connectStation(
  url: string,
  protocols: string[] = ['ocpp1.6'],
  options: ClientOptions = {},
): Promise<RawStation> {
  const socket = new WebSocket(url, protocols, options)
  const station = new RawStation(socket)
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
    socket.once('unexpected-response', (_request, response) => {
      let text = ''
      response.on('data', (chunk) => (text += String(chunk)))
      response.on('end', () => reject(new Error(`${response.statusCode}: ${text}`)))
    })
  })
  return station
}

export interface RawTcp {
  readonly socket: Socket
  /** Everything that came until the end, or until a text is in it. */
  until(text?: string): Promise<Buffer>
}

/** For tests: a handshake written by hand. */
export async function openTcp(port: number, text: string): Promise<RawTcp> {
  const socket = connectTcp(port, '127.0.0.1')
  let all = Buffer.alloc(0)
  let ended = false
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const one of waiting) one()
    waiting.clear()
  }
  socket.on('data', (chunk) => {
    all = Buffer.concat([all, chunk])
    wake()
  })
  socket.on('close', () => {
    ended = true
    wake()
  })
  socket.on('error', () => {})
  socket.write(text)
  return {
    socket,
    until: async (wanted) => {
      while (!ended && (wanted === undefined || !all.includes(wanted))) {
        await new Promise<void>((resolve) => waiting.add(resolve))
      }
      return all
    },
  }
}

/** The head of a handshake; lines can be left out or added. */
export function upgradeHead(path: string, lines: readonly string[] = ['Connection: Upgrade']): string {
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
  return `${[`GET ${path} HTTP/1.1`, 'Host: x', 'Upgrade: websocket', key, 'Sec-WebSocket-Version: 13', ...lines].join('\r\n')}\r\n\r\n`
}

/** A server, and a station that is connected to it. */
export async function startStation(
  t: { teardown: AsyncTeardown },
  version = 'ocpp1.6',
  config = {},
  options: CsmsRigOptions = {},
) {
  const csms = await startCsms(t.teardown, config, options)
  const station = await connectStation(`ws://127.0.0.1:${csms.port}/CP1`, [version])
  return { ...csms, station }
}

/** A sink that keeps what it gets. */
export function watchedSink(seen: TransactionMessage[]): CsmsRigOptions {
  return {
    sink: (store) => {
      const sink = makeTestSink(store, new HandClock())
      const watch =
        <T>(work: (message: TransactionMessage) => T) =>
        (message: TransactionMessage) => {
          seen.push(message)
          return work(message)
        }
      return {
        start: watch((message) => sink.start(message)),
        stop: watch((message) => sink.stop(message)),
        meterValues: watch((message) => sink.meterValues(message)),
        event: watch((message) => sink.event(message)),
      }
    },
  }
}
