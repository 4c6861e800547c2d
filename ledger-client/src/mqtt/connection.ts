import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { ledgerTopicFilters, WattError } from '@wattline/protocol'
import { connect, type MqttClient } from 'mqtt'

/** Where the broker is and how to get in. */
export interface ConnectionOptions {
  readonly url: string
  readonly clientId: string
  readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string }
  readonly username?: string
  readonly password?: string
}

/** One message from the broker. It counts as delivered only when `acknowledge` was called. */
export interface Delivery {
  readonly topic: string
  readonly payload: Uint8Array
  acknowledge(): void
}

/** What the user of a connection is told. */
export interface ConnectionEvents {
  connected(): void
  disconnected(reason: string): void
  /** Called for each message in order; `false` stops reading from the broker until `resume`. */
  received(delivery: Delivery): boolean
}

/** The ledger's way to a broker: a dumb pipe, the database is the store. */
export interface Link {
  readonly connected: boolean
  /** Settles once the broker has the message, which may be after a reconnect. */
  publish(topic: string, text: string): Promise<void>
  /** Reads on after `received` has said stop. */
  resume(): void
  close(): Promise<void>
}

/** Where a broker is, for people, and how to get to it. */
export interface Way {
  readonly url: string
  open(events: ConnectionEvents): Link
}

/** The way to a broker elsewhere. */
export function wayTo(options: ConnectionOptions): Way {
  return { url: options.url, open: (events) => new Connection(options, events) }
}

/** The one MQTT connection of the ledger. Hides mqtt.js and its habits. */
export class Connection implements Link {
  readonly #client: MqttClient
  #resume: (() => void) | undefined

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    const { url, clientId, tls: { caFile, certFile, keyFile } = {}, username, password } = options
    this.#client = connect(url, {
      clientId,
      clean: false,
      protocolVersion: 4,
      reconnectPeriod: 1000,
      connectTimeout: 10_000,
      keepalive: 30,
      queueQoSZero: false,
      resubscribe: false,
      ...(caFile === undefined ? {} : { ca: readTlsFile(caFile) }),
      ...(certFile === undefined ? {} : { cert: readTlsFile(certFile) }),
      ...(keyFile === undefined ? {} : { key: readTlsFile(keyFile) }),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    })
    let reason = 'the connection ended'
    this.#client.on('connect', () => this.#subscribe(events))
    this.#client.on('error', (error) => {
      reason = error.message
    })
    this.#client.on('close', () => events.disconnected(reason))
    this.#takeMessages(events)
  }

  get connected(): boolean {
    return this.#client.connected
  }

  async publish(topic: string, text: string): Promise<void> {
    await this.#client.publishAsync(topic, text, { qos: 1 })
  }

  resume(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  async close(): Promise<void> {
    // Forced: what the broker has not acknowledged yet is told again after the next start.
    await this.#client.endAsync(true)
  }

  // Every time, not only at first: the broker may have lost the session.
  #subscribe(events: ConnectionEvents): void {
    const { stream } = this.#client
    // One small message at a time waits for Nagle's algorithm otherwise (12 times the latency, measured).
    if (stream instanceof Socket) stream.setNoDelay(true)
    this.#client.subscribe([...ledgerTopicFilters], { qos: 1 }, (error) => {
      if (error) events.disconnected(`the broker refuses the subscription: ${error.message}`)
      else events.connected()
    })
  }

  // mqtt.js acknowledges a message when the callback of `handleMessage` is called, and gives the next one only then:
  // one message per commit. Calling back with an error makes it go on without acknowledging; the PUBACK follows
  // after the commit, on the same connection only, as packet ids mean nothing on another (MQTT 3.1.1 §4.4).
  #takeMessages(events: ConnectionEvents): void {
    const client = this.#client
    client.handleMessage = (packet, callback) => {
      const { stream } = client
      const { messageId, qos } = packet
      const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
      const goOn = () => callback(new Error('acknowledged later'))
      const more = events.received({
        topic: packet.topic,
        payload,
        acknowledge: () => {
          if (qos === 0 || messageId === undefined || client.stream !== stream || !stream.writable) return
          stream.write(Uint8Array.of(0x40, 2, messageId >> 8, messageId & 0xff)) // PUBACK, MQTT 3.1.1 §3.4
        },
      })
      if (more) goOn()
      else this.#resume = goOn
    }
  }
}

function readTlsFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new WattError('config/unreadable', `mqtt: ${path}: cannot be read`, { cause })
  }
}
