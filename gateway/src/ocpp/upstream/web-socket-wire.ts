import { WattError } from '@wattline/protocol'
import { WebSocket } from 'ws'
import type { Scheduler } from '../../modbus/scheduler.ts'
import { CallRefused } from '../call-refused.ts'
import { readFrame } from '../frames.ts'
import { type Dial, UpstreamRefusal, type Wire, type WireEvents, type WireTarget } from './wire.ts'

interface Waiting {
  readonly action: string
  resolve(answer: unknown): void
  reject(error: unknown): void
  stopTimer(): void
}

const handshakeMs = 20_000
/** Without any sign of life for so many pings the other side is taken for gone. */
const missedPings = 2.5

/** Connects over WebSocket. */
export function makeWebSocketDial(scheduler: Scheduler): Dial {
  return (target, events, giveUp) =>
    new Promise((resolve, reject) => {
      const socket = openSocket(target)
      const abort = () => socket.terminate()
      giveUp.addEventListener('abort', abort, { once: true })
      socket.once('close', () => giveUp.removeEventListener('abort', abort))
      const refuse = (reason: string, cause?: unknown) => {
        const options = { retryable: true, ...(cause === undefined ? {} : { cause }) }
        reject(new WattError('upstream/unreachable', `${target.identity}: ${reason}`, options))
      }
      socket.once('unexpected-response', (request, response) => {
        refuse(`upstream answered ${response.statusCode ?? '?'} ${response.statusMessage ?? ''}`.trim())
        request.destroy()
      })
      socket.on('error', (error) => refuse(toWords(error, target), error))
      // A settled promise takes no second verdict.
      socket.once('close', (code, reason) => refuse(`closed at once: ${code} ${String(reason)}`.trim()))
      socket.once('open', () => resolve(new WebSocketWire(socket, target, events, scheduler)))
    })
}

function openSocket({ url, version, identity, password, tls, maxMessageBytes }: WireTarget): WebSocket {
  const name = Buffer.from(`${identity}:`)
  return new WebSocket(url, [version], {
    handshakeTimeout: handshakeMs,
    maxPayload: maxMessageBytes,
    perMessageDeflate: { threshold: 1024, clientNoContextTakeover: true, serverNoContextTakeover: true },
    ...tls,
    ...(password === undefined
      ? {}
      : { headers: { authorization: `Basic ${Buffer.concat([name, password]).toString('base64')}` } }),
  })
}

function toWords(error: Error, { version }: WireTarget): string {
  // ws has no code for it: OCPP-J closes such a connection, and so do we.
  const isProtocol = /subprotocol/i.test(error.message)
  return isProtocol ? `upstream does not speak ${version}` : error.message
}

/**
 * One connection to an operator's CSMS. The ids of requests are given from outside, so that a request which is sent again
 * is the same one, byte for byte; that is why ocpp-rpc, which makes up its own, is not used for this side.
 */
class WebSocketWire implements Wire {
  readonly #socket: WebSocket
  readonly #target: WireTarget
  readonly #events: WireEvents
  readonly #scheduler: Scheduler
  readonly #waiting = new Map<string, Waiting>()
  #heardAt: number
  #stopPinging: () => void = () => {}
  #reason = ''
  #hasEnded = false

  constructor(socket: WebSocket, target: WireTarget, events: WireEvents, scheduler: Scheduler) {
    this.#socket = socket
    this.#target = target
    this.#events = events
    this.#scheduler = scheduler
    this.#heardAt = scheduler.now()
    const heard = () => {
      this.#heardAt = scheduler.now()
    }
    socket.on('message', (data) => {
      heard()
      this.#take(String(data))
    })
    socket.on('pong', heard).on('ping', heard)
    socket.once('close', (code, reason) => this.#end(this.#reason || `closed: ${code} ${String(reason)}`.trim()))
    this.#pingLater()
  }

  call(messageId: string, action: string, payload: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const stopTimer = this.#scheduler.after(this.#target.callTimeoutMs, () => {
        this.#waiting.delete(messageId)
        const message = `${this.#target.identity}: upstream did not answer ${action} in time`
        reject(new WattError('upstream/silent', message, { retryable: true }))
      })
      this.#waiting.set(messageId, { action, resolve, reject, stopTimer })
      this.#send([2, messageId, action, payload])
    })
  }

  close(reason: string): void {
    this.#reason ||= reason
    // ws ends it by itself where the other side does not answer.
    this.#socket.close(1000, reason.slice(0, 120))
    this.#end(reason)
  }

  #send(message: unknown): void {
    // What is not sent gets no answer, and ends with the connection.
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message))
  }

  #end(reason: string): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#stopPinging()
    const message = `${this.#target.identity}: the connection ended before the answer`
    for (const { reject, stopTimer, action } of this.#waiting.values()) {
      stopTimer()
      reject(new WattError('upstream/unreachable', `${message} to ${action}: ${reason}`, { retryable: true }))
    }
    this.#waiting.clear()
    this.#events.ended(reason)
  }

  #pingLater(): void {
    const { pingMs } = this.#target
    this.#stopPinging = this.#scheduler.after(pingMs, () => {
      if (this.#scheduler.now() - this.#heardAt > missedPings * pingMs) {
        this.#reason = 'upstream answers no ping'
        this.#socket.terminate()
        return
      }
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping()
      this.#pingLater()
    })
  }

  #take(text: string): void {
    const frame = readFrame(text, this.#target.version)
    switch (frame.kind) {
      case 'call':
        void this.#answer(frame.id, frame.action, frame.payload)
        return
      case 'answer':
        this.#takeAnswer(JSON.parse(frame.text))
        return
      case 'refused':
        this.#send([4, frame.id, frame.code, frame.reason, {}])
        return
      default: // Nothing that is answered.
    }
  }

  #takeAnswer([type, id, first, second]: unknown[]): void {
    const waiting = this.#waiting.get(String(id))
    if (waiting === undefined) return
    this.#waiting.delete(String(id))
    waiting.stopTimer()
    if (type === 3) waiting.resolve(first)
    else waiting.reject(new UpstreamRefusal(String(first).slice(0, 50), String(second ?? '').slice(0, 255)))
  }

  async #answer(messageId: unknown, action: string, payload: unknown): Promise<void> {
    try {
      this.#send([3, messageId, await this.#events.answer({ action, payload })])
    } catch (error) {
      const [code, reason] = error instanceof CallRefused ? [error.code, error.message] : ['InternalError', '']
      this.#send([4, messageId, code, reason, {}])
    }
  }
}
