import { hash, timingSafeEqual } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { type GatewayId, ledgerTopicFilters, makeGatewayId, parseTopic, WattError } from '@wattline/protocol'
import { Aedes, type AedesPublishPacket, type Client } from 'aedes'
import type { EmbeddedConfig } from './config.ts'
import type { ConnectionEvents, Link, Way } from './mqtt/connection.ts'

/** The largest MQTT packet that is taken; public brokers allow no more either. A longer one ends the connection. */
const maxPacketLength = 128 * 1024
/** How long a subscriber that reads nothing may hold up the others. */
const drainTimeoutMs = 5000

/** What the embedded broker tells of itself. */
export type BrokerLog = (event: string, fields: Readonly<Record<string, unknown>>) => void

/** A running broker, and the ledger's own way in. */
export interface Broker extends Way {
  readonly host: string
  readonly port: number
  close(): Promise<void>
}

/** Starts the embedded MQTT broker. */
export async function startBroker(config: EmbeddedConfig, log: BrokerLog): Promise<Broker> {
  const { host, port, credentialsFile } = config
  const gateways = credentialsFile === undefined ? undefined : readCredentials(credentialsFile)
  const access = new Access(gateways, log)
  const aedes = await Aedes.createBroker({
    concurrency: 200,
    queueLimit: 10_000,
    drainTimeout: drainTimeoutMs,
    connectTimeout: 10_000,
    maxTopicLevels: 7,
    authenticate: (client, username, secret, done) => done(null, access.admit(client, username, secret)),
    authorizePublish: (client, packet, done) => {
      packet.retain = false
      done(access.mayPublish(client, packet.topic) ? null : new Error(`may not publish on ${packet.topic}`))
    },
    authorizeSubscribe: (client, subscription, done) =>
      done(null, access.maySubscribe(client, subscription.topic) ? subscription : null),
  })
  aedes.on('clientError', (client, error) => log('broker.client.failed', { client: client.id, reason: error.message }))
  aedes.on('connectionError', (_client, error) => log('broker.connection.failed', { reason: error.message }))
  const server = createServer((socket) => {
    socket.setNoDelay(true)
    limitPackets(socket, log)
    aedes.handle(socket)
  })
  const address = await listen(server, host, port).catch(async (error: unknown) => {
    await closeAedes(aedes) // it has timers that would keep the program alive
    throw error
  })
  return {
    host,
    port: address.port,
    url: `mqtt://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    open: (events) => new InnerLink(aedes, events),
    close: () => closeBroker(aedes, server),
  }
}

function listen(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE'
      const problem = taken ? 'is in use by another program' : `cannot be listened on (${cause.code})`
      reject(new WattError('port/occupied', `mqtt.embedded: ${host}:${port} ${problem}`, { cause }))
    })
    server.listen({ host, port }, () => {
      const address = server.address()
      if (typeof address === 'object' && address !== null) resolve(address)
    })
  })
}

async function closeBroker(aedes: Aedes, server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  await closeAedes(aedes)
  await closed
}

function closeAedes(aedes: Aedes): Promise<void> {
  return new Promise((resolve) => aedes.close(() => resolve()))
}

/**
 * The ledger's link to the broker in its own process: no socket lies between them, and nothing is written and parsed once
 * more. The broker has acknowledged to a gateway what comes here before it is stored, as any broker would: that frees
 * nothing there, only a receipt does.
 */
class InnerLink implements Link {
  readonly #aedes: Aedes
  readonly #deliver: (packet: AedesPublishPacket, done: () => void) => void
  #held: (() => void)[] = []
  #closed = false
  connected = false

  constructor(aedes: Aedes, events: ConnectionEvents) {
    this.#aedes = aedes
    // The broker reads on from a gateway once its packets are taken; so many packets of all are under way at most.
    this.#deliver = ({ topic, payload }, done) => {
      if (this.#closed) return done()
      const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
      if (events.received({ topic, payload: bytes, acknowledge: () => {} })) done()
      else this.#held.push(done)
    }
    let left = ledgerTopicFilters.length
    const subscribed = () => {
      if (--left > 0 || this.#closed) return
      this.connected = true
      events.connected()
    }
    for (const filter of ledgerTopicFilters) aedes.subscribe(filter, this.#deliver, subscribed)
  }

  publish(topic: string, text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const packet = { cmd: 'publish', topic, payload: Buffer.from(text), qos: 1, retain: false, dup: false } as const
      this.#aedes.publish(packet, (error) => (error ? reject(error) : resolve()))
    })
  }

  resume(): void {
    for (const done of this.#held.splice(0)) done()
  }

  close(): Promise<void> {
    this.#closed = true
    this.connected = false
    this.resume()
    return Promise.resolve()
  }
}

/** Who may do what. Without credentials (loopback only) any client may speak for any gateway, but not for the ledger. */
class Access {
  readonly #gateways: ReadonlyMap<string, Buffer> | undefined
  readonly #log: BrokerLog
  readonly #names = new WeakMap<Client, GatewayId>()

  constructor(gateways: ReadonlyMap<string, Buffer> | undefined, log: BrokerLog) {
    this.#gateways = gateways
    this.#log = log
  }

  admit(client: Client, username: string | undefined, secret: Buffer | undefined): boolean {
    const given = digest(secret ?? '')
    // A session belongs to whoever has its client id: taking another's would cut that gateway off.
    const stolen = client.id !== username && this.#gateways?.has(client.id) === true
    const expected = this.#gateways?.get(username ?? '')
    const known = this.#gateways === undefined || (expected !== undefined && timingSafeEqual(given, expected))
    if (stolen || !known) {
      this.#log('broker.client.refused', { client: client.id, username, reason: stolen ? 'client id' : 'password' })
      return false
    }
    if (this.#gateways !== undefined) this.#names.set(client, makeGatewayId(username ?? ''))
    return true
  }

  mayPublish(client: Client | null, topic: string): boolean {
    if (client === null) return true
    const parsed = parseTopic(topic)
    if (parsed === undefined || parsed.kind === 'receipt') return false
    return this.#gateways === undefined || parsed.gatewayId === this.#names.get(client)
  }

  maySubscribe(client: Client, filter: string): boolean {
    if (this.#gateways === undefined) return true
    return filter.startsWith(`wattline/v1/${this.#names.get(client)}/`)
  }
}

function digest(secret: string | Buffer): Buffer {
  return hash('sha256', secret, 'buffer')
}

/** Reads `<gatewayId>:<password>` lines from a file that only its owner can read. */
function readCredentials(path: string): ReadonlyMap<string, Buffer> {
  let lines: string[]
  let mode: number
  try {
    mode = statSync(path).mode & 0o777
    lines = readFileSync(path, 'utf8').split('\n')
  } catch (cause) {
    throw new WattError('config/unreadable', `mqtt.embedded.credentialsFile: ${path}: cannot be read`, { cause })
  }
  if ((mode & 0o077) !== 0) {
    throw new WattError(
      'config/invalid',
      `mqtt.embedded.credentialsFile: ${path}: mode 0600 expected, got 0${mode.toString(8)}`,
    )
  }
  const entries = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    entries.map((line, index) => {
      const colon = line.indexOf(':')
      if (colon < 1 || colon === line.length - 1) {
        throw new WattError('config/invalid', `${path}: entry ${index + 1}: <gatewayId>:<password> expected`)
      }
      return [makeGatewayId(line.slice(0, colon)), digest(line.slice(colon + 1))]
    }),
  )
}

// The broker would gather a packet of any announced length (MQTT 3.1.1 §2.2.3: up to 256 MB) in memory before it asks
// anyone. So the lengths are read here, as the bytes pass by, and the connection ends at the first that is too long.
function limitPackets(socket: Socket, log: BrokerLog): void {
  const meter = new PacketMeter()
  const read = socket.read.bind(socket)
  socket.read = (size?: number) => {
    const chunk: unknown = read(size)
    if (!(chunk instanceof Buffer)) return chunk
    const length = meter.feed(chunk)
    if (length <= maxPacketLength) return chunk
    log('broker.packet.oversized', { remote: socket.remoteAddress, length, limit: maxPacketLength })
    socket.destroy()
    return null
  }
}

/** Follows the fixed headers in a stream of MQTT packets. */
export class PacketMeter {
  #left = 0
  #length = 0
  #shift = -1

  /** Takes the next bytes and gives the greatest packet length that was announced in them. */
  feed(chunk: Uint8Array): number {
    let greatest = 0
    let at = 0
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at)
        this.#left -= step
        at += step
      } else {
        greatest = Math.max(greatest, this.#header(chunk[at++] ?? 0))
      }
    }
    return greatest
  }

  #header(byte: number): number {
    if (this.#shift < 0) {
      this.#shift = 0 // the packet's type; its length follows
      this.#length = 0
      return 0
    }
    this.#length += (byte & 0x7f) * 2 ** this.#shift
    this.#shift += 7
    if (byte >= 0x80 && this.#shift < 28) return 0
    this.#shift = -1
    this.#left = this.#length
    return this.#length
  }
}
