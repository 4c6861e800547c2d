import { isTransactionAction, type OcppVersion, WattError } from '@wattline/protocol'
import { createRPCError, type RPCClient } from 'ocpp-rpc'
// Node does not find these among the exports of the package's own index.
import { RPCError, TimeoutError } from 'ocpp-rpc/lib/errors.js'
import { NOREPLY } from 'ocpp-rpc/lib/symbols.js'
import { errorFields, type Log } from '../log.ts'
import type { StationTerms } from './admission.ts'
import type { StationStanding } from './authority/station-certificates.ts'
import { CallRefused } from './call-refused.ts'
import type { Intake, StationCall } from './intake.ts'
import { checkOutgoing, findAnswerFaults } from './outgoing.ts'
import { Pace } from './pace.ts'
import type { StationSocket } from './station-socket.ts'

/** OCPP leaves 4000 to 4999 to us (RFC 6455 §7.4.2). */
export const closeCodes = { replaced: 4001, protocol: 1002, goingAway: 1001, tryAgain: 1013 } as const

/** What one connection is made of. Nothing of it outlives the connection. */
export interface ConnectionParts {
  readonly stationId: string
  readonly version: OcppVersion
  readonly terms: StationTerms
  readonly address: string
  readonly client: RPCClient
  readonly socket: StationSocket
  readonly intake: Intake
  readonly log: Log
  readonly messagesPerSecond: number
  readonly pingMs: number
  /** A station that answers no ping is taken for gone after this long without a word. */
  readonly silenceMs: number
}

/** What a station answered, and what is wrong with it: some answer in their own way, and mean it well. */
export interface StationAnswer {
  readonly payload: unknown
  readonly faults: readonly string[]
}

const burstSeconds = 4
const mostUnanswered = 2

/** One connection of one station: a thin layer over ocpp-rpc, which pairs requests and answers. */
export class StationConnection {
  readonly stationId: string
  readonly version: OcppVersion
  readonly address: string
  readonly #parts: ConnectionParts
  readonly #pace: Pace
  readonly #pinging: NodeJS.Timeout
  #heardAt = performance.now()
  #hasPonged = false
  #hasSpoken = false
  /** Requests of ours in a row that got no answer, and nothing else came meanwhile. */
  #unanswered = 0

  constructor(parts: ConnectionParts) {
    this.#parts = parts
    this.stationId = parts.stationId
    this.version = parts.version
    this.address = parts.address
    const { client, socket, messagesPerSecond, pingMs } = parts
    this.#pace = new Pace(messagesPerSecond, messagesPerSecond * burstSeconds, () => performance.now())
    socket.watch(parts.version, {
      heard: (what) => {
        this.#heardAt = performance.now()
        if (what === 'message') this.#unanswered = 0
      },
      pace: () => this.#pace.take(),
      sent: (action, payload, frame) => void this.#takeSend(action, payload, frame),
      odd: (event, reason, frame) => {
        const fields = { station: this.stationId, reason, bytes: frame.length }
        parts.log[event === 'ignored' ? 'debug' : 'warn'](`ocpp.frame.${event}`, fields)
      },
    })
    socket.on('pong', () => {
      this.#hasPonged = true
    })
    client.on('socketError', (error: unknown) =>
      parts.log.info('ocpp.station.socket', { station: this.stationId, ...errorFields(error) }),
    )
    client.handle(async ({ messageId = '', method = '' }) => await this.#answer(messageId, method))
    this.#pinging = setInterval(() => this.#checkLife(), pingMs)
    client.once('close', () => clearInterval(this.#pinging))
  }

  /** What it has shown of itself. */
  get standing(): StationStanding {
    return { version: this.version, ...this.#parts.terms }
  }

  /** Our own address on this connection. */
  get localAddress(): string | undefined {
    return this.#parts.socket.localAddress
  }

  /** Gives whether this is the first message on this connection. */
  noteMessage(): boolean {
    const isFirst = !this.#hasSpoken
    this.#hasSpoken = true
    return isFirst
  }

  /** Milliseconds since the station last said anything, a pong included. */
  silentMs(): number {
    return performance.now() - this.#heardAt
  }

  /** Sends a request, after checking it; one at a time, as OCPP-J demands. */
  async call(action: string, payload: unknown): Promise<StationAnswer> {
    const { version, client, stationId } = this.#parts
    const fields = checkOutgoing(version, action, payload)
    try {
      const answer = await client.call(action, fields)
      return { payload: answer, faults: findAnswerFaults(version, action, answer) }
    } catch (error) {
      const translated = toStationError(error, stationId, action)
      if (translated instanceof WattError && translated.code === 'station/silent') this.#noteUnanswered()
      throw translated
    }
  }

  /** Ends the connection; what the station has not been told, it asks again. */
  close(code: number, reason: string): void {
    clearInterval(this.#pinging)
    // Resolves with the closing frame of the station, which may never come: ws gives up by itself.
    void this.#parts.client.close({ code, reason }).catch(() => {}) // closed already
  }

  // Some stations hang after a request that they do not understand, and go on answering pings: only a new connection
  // wakes them up.
  #noteUnanswered(): void {
    this.#unanswered++
    if (this.#unanswered < mostUnanswered) return
    this.#parts.log.info('ocpp.station.hung', { station: this.stationId, unanswered: this.#unanswered })
    this.#parts.socket.terminate()
  }

  // Some stations never answer a ping. One that has done so once is expected to go on; of another the silence must be
  // longer than its heartbeats are apart.
  #checkLife(): void {
    const { pingMs, silenceMs, socket, log } = this.#parts
    if (this.silentMs() > (this.#hasPonged ? 2.5 * pingMs : silenceMs)) {
      log.info('ocpp.station.silent', { station: this.stationId, silentMs: Math.round(this.silentMs()) })
      socket.terminate()
      return
    }
    if (socket.readyState === socket.OPEN) socket.ping()
  }

  async #answer(innerId: string, action: string) {
    const { socket, log } = this.#parts
    const wire = socket.callOf(innerId)
    const call = this.#toCall(action, wire?.payload, wire?.frame ?? '', String(wire?.id ?? ''))
    try {
      return { ...(await this.#parts.intake.answer(call)) }
    } catch (error) {
      if (error instanceof CallRefused) {
        log.info('ocpp.call.refused', { station: this.stationId, action, reason: error.message })
        throw createRPCError(error.code, error.message, {})
      }
      log.error('ocpp.call.failed', { station: this.stationId, action, ...errorFields(error) })
      if (!isTransactionAction(action)) throw createRPCError('InternalError', '', {})
      // Not stored, so it must not count as delivered; and a CALLERROR would use up the station's attempts. Without a
      // connection it keeps its queue.
      this.close(closeCodes.tryAgain, 'cannot store now')
      return NOREPLY
    }
  }

  async #takeSend(action: string, payload: unknown, frame: string): Promise<void> {
    try {
      await this.#parts.intake.takeSend(this.#toCall(action, payload, frame, ''))
    } catch (error) {
      this.#parts.log.error('ocpp.send.failed', { station: this.stationId, action, ...errorFields(error) })
    }
  }

  #toCall(action: string, payload: unknown, frame: string, messageId: string): StationCall {
    const { stationId, version, terms } = this.#parts
    return { stationId, version, timeZone: terms.timeZone, action, payload, frame, messageId }
  }
}

function toStationError(cause: unknown, stationId: string, action: string): unknown {
  if (cause instanceof TimeoutError) {
    return new WattError('station/silent', `${stationId} did not answer ${action} in time`, { cause, retryable: true })
  }
  if (cause instanceof RPCError) {
    const words = [cause.rpcErrorCode, cause.message].filter((word) => word !== '').join(': ')
    return new WattError('station/refused', `${stationId} refused ${action}: ${words}`, { cause })
  }
  const message = `${stationId} went away before it answered ${action}`
  return new WattError('station/offline', message, { cause, retryable: true })
}
