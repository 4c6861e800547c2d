import { readFileSync } from 'node:fs'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import type { MqttConfig } from '../config.ts'
import { toStorageError } from '../store/storage-errors.ts'

/** What a pipe reports. */
export interface PipeEvents {
  /** The broker has taken the connection and the subscription. */
  opened(): void
  received(topic: string, payload: Uint8Array): void
  /** The connection is gone, or did not come to be; another attempt follows. */
  closed(reason: string): void
}

/** A connection to the broker that comes back by itself. Nothing is kept for later: that is the outbox's work. */
export interface Pipe {
  readonly open: boolean
  /** Publishes at QoS 1 while the connection is open, else does nothing. `taken` runs at the broker's PUBACK. */
  publish(topic: string, payload: string | Uint8Array, taken?: () => void): void
  close(): Promise<void>
}

/** What a pipe connects to. */
export interface PipeSettings {
  readonly config: MqttConfig
  readonly clientId: string
  readonly topicFilter: string
  /** The pause before the next attempt; it doubles up to the longest. */
  readonly firstPauseMs: number
  readonly longestPauseMs: number
}

const keepaliveSeconds = 30
const connectWithinMs = 10_000
const goodbyeWithinMs = 500

/**
 * Opens the pipe. Each attempt is a new client of mqtt.js: its own store would send old packets again after a
 * reconnect, and loses some when the connection breaks meanwhile; a new client has nothing to send again.
 */
export function openPipe(settings: PipeSettings, events: PipeEvents): Pipe {
  let client: MqttClient | undefined
  let timer: NodeJS.Timeout | undefined
  let open = false
  let ended = false
  let pauseMs = settings.firstPauseMs
  const retry = (reason: string) => {
    client = undefined
    open = false
    if (ended) return
    // Half to whole of the pause: many gateways that lost one broker must not come back in step.
    timer = setTimeout(attempt, pauseMs * (0.5 + Math.random() / 2))
    pauseMs = Math.min(pauseMs * 2, settings.longestPauseMs)
    events.closed(reason)
  }
  const attempt = () => {
    client = startClient(settings, {
      ...events,
      opened: () => {
        open = true
        pauseMs = settings.firstPauseMs
        events.opened()
      },
      closed: retry,
    })
  }
  timer = setTimeout(attempt, 0)
  return {
    get open() {
      return open
    },
    publish: (topic, payload, taken) => {
      if (!open || client === undefined) return
      const bytes = typeof payload === 'string' ? payload : Buffer.from(payload)
      client.publish(topic, bytes, { qos: 1 }, (error) => {
        if (error === undefined || error === null) taken?.()
      })
    },
    close: async () => {
      const wasOpen = open
      ended = true
      open = false
      clearTimeout(timer)
      if (client === undefined) return
      if (wasOpen) await sayGoodbye(client)
      else hangUp(client)
    },
  }
}

// Runs one client until its connection ends, and tells so exactly once.
function startClient({ config, clientId, topicFilter }: PipeSettings, events: PipeEvents): MqttClient | undefined {
  let client: MqttClient
  try {
    client = connect(config.url, toOptions(config, clientId))
  } catch (error) {
    events.closed(reasonOf(toStorageError(error, config.url)))
    return undefined
  }
  let over = false
  const finish = (reason: string) => {
    if (over) return
    over = true
    client.end(true)
    events.closed(reason)
  }
  client.on('connect', () => {
    // Nagle's algorithm holds a small packet back until the last one is answered.
    if ('setNoDelay' in client.stream && typeof client.stream.setNoDelay === 'function') client.stream.setNoDelay(true)
    client.subscribe(topicFilter, { qos: 1 }, (error, granted) => {
      const refused = granted?.some(({ qos }) => qos > 2) === true
      if (over) return
      if (error !== null || refused) finish(error === null ? `no right to subscribe to ${topicFilter}` : error.message)
      else events.opened()
    })
  })
  client.on('message', (topic, payload) => {
    if (!over) events.received(topic, payload)
  })
  client.on('error', (error) => finish(reasonOf(error)))
  client.on('close', () => finish('the connection was closed'))
  return client
}

function toOptions({ username, passwordFile, tls }: MqttConfig, clientId: string): IClientOptions {
  const file = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path))
  const files = {
    password: file(passwordFile),
    ca: file(tls?.caFile),
    cert: file(tls?.certFile),
    key: file(tls?.keyFile),
  }
  return {
    clientId,
    protocolVersion: 4,
    clean: false,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    // The cache holds a buffer for each of 65,536 numbers: ten megabytes that a small board can use better.
    writeCache: false,
    keepalive: keepaliveSeconds,
    connectTimeout: connectWithinMs,
    ...(username === undefined ? {} : { username }),
    ...(files.password === undefined ? {} : { password: files.password.toString('utf8').replace(/\r?\n$/, '') }),
    ...(files.ca === undefined ? {} : { ca: files.ca }),
    ...(files.cert === undefined ? {} : { cert: files.cert }),
    ...(files.key === undefined ? {} : { key: files.key }),
  }
}

// A polite end waits for the broker's answers, so that nothing is sent twice without need; but not for long.
function sayGoodbye(client: MqttClient): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      hangUp(client)
      resolve()
    }, goodbyeWithinMs)
    client.end(false, {}, () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

// Once it is asked to end, mqtt.js ignores being asked again; without its socket it has to.
function hangUp(client: MqttClient): void {
  client.end(true)
  client.stream.destroy()
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message === '' && 'code' in error ? String(error.code) : error.message
}
