import type { OcppVersion } from '@wattline/protocol'
import { WebSocket } from 'ws'
import { readFrame } from './frames.ts'

/** A request as it came over the wire. */
export interface WireCall {
  /** As the station wrote it. */
  readonly id: unknown
  /** Undefined where it cannot be read. */
  readonly payload: unknown
  readonly frame: string
}

/** What the socket tells besides what it passes on to the library. */
export interface SocketEvents {
  /** Something came in: a message, a ping or a pong. */
  heard(what: 'message' | 'sign-of-life'): void
  /** Tells how long to wait before the next message is read, in ms; 0 for no wait. */
  pace(): number
  sent(action: string, payload: unknown, frame: string): void
  odd(event: 'ignored' | 'refused' | 'answer-refused', reason: string, frame: string): void
}

// How the library begins what answers a request that came in here under an id of ours.
const answerStart = /^\[([34]),"(\d+)"/

/**
 * The WebSocket between a station and ocpp-rpc. The library knows three message types, wants texts as ids, and mixes up
 * two requests with one id. So each request gets an id of ours on its way in and its own back on its way out; what the
 * library has no word for ends here.
 */
export class StationSocket extends WebSocket {
  #version: OcppVersion | undefined
  #events: SocketEvents | undefined
  #nextId = 1
  readonly #calls = new Map<string, WireCall>()

  /** Without this, everything that comes is dropped: nobody has asked for the station yet. */
  watch(version: OcppVersion, events: SocketEvents): void {
    this.#version = version
    this.#events = events
  }

  get localAddress(): string | undefined {
    const raw: unknown = Reflect.get(this, '_socket')
    const address: unknown = typeof raw === 'object' && raw !== null ? Reflect.get(raw, 'localAddress') : undefined
    return typeof address === 'string' ? address : undefined
  }

  /** The request that was passed on under this id, until it is answered. */
  callOf(innerId: string): WireCall | undefined {
    return this.#calls.get(innerId)
  }

  // ws has no other place where a message could be changed before the library gets it.
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'ping' || event === 'pong') this.#events?.heard('sign-of-life')
    if (event !== 'message') return super.emit(event, ...args)
    const [data, isBinary] = args
    const inner = this.#translate(String(data))
    this.#slowDown()
    // The library asks it for its text only, which a text gives as well.
    return inner === undefined ? true : super.emit('message', inner, isBinary)
  }

  #translate(text: string): string | undefined {
    const [version, events] = [this.#version, this.#events]
    if (version === undefined || events === undefined) return undefined
    events.heard('message')
    const frame = readFrame(text, version)
    switch (frame.kind) {
      case 'call': {
        const innerId = String(this.#nextId++)
        this.#calls.set(innerId, { id: frame.id, payload: frame.payload, frame: text })
        // The payload waits here: a message of a hundred samples is parsed once.
        return `[2,"${innerId}",${JSON.stringify(frame.action)},{}]`
      }
      case 'answer':
        return frame.text
      case 'send':
        events.sent(frame.action, frame.payload, text)
        return undefined
      case 'refused':
        events.odd('refused', frame.reason, text)
        super.send(JSON.stringify([4, frame.id, frame.code, frame.reason, {}]))
        return undefined
      default:
        events.odd(frame.kind, frame.reason, text)
        return undefined
    }
  }

  // A station that floods is read more slowly: TCP makes it wait, and nobody else.
  #slowDown(): void {
    const waitMs = this.#events?.pace() ?? 0
    if (waitMs === 0 || this.isPaused) return
    this.pause()
    setTimeout(() => this.resume(), waitMs)
  }

  // Everything that leaves is text made by the library: a request of ours, or an answer under an id of ours.
  override send(data: string, ...rest: unknown[]): void {
    const [start = '', type, innerId = ''] = answerStart.exec(data) ?? []
    const call = this.#calls.get(innerId)
    this.#calls.delete(innerId)
    const outer = call === undefined ? data : `[${type},${JSON.stringify(call.id)}${data.slice(start.length)}`
    // The socket may have closed while the answer was made: the station asks again.
    if (this.readyState === WebSocket.OPEN) Reflect.apply(super.send, this, [outer, ...rest])
  }
}
