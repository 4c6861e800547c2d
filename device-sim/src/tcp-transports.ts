import type { Socket } from 'node:net'
import { type Answer, type AnswerRequest, encodeException, exceptionCodes } from './pdu.ts'
import { RtuServer } from './rtu-server.ts'
import type { Connection } from './socket-server.ts'
import { TimerSet, type Timers } from './timers.ts'

export interface TransportOptions {
  /** Whether a meter with that unit id hangs here. */
  readonly hasUnit: (unitId: number) => boolean
  readonly answer: AnswerRequest
  readonly timers: Timers
}

// A TCP connection has no pace: what is no frame after so long is none.
const silenceMs = 20

/** RTU frames inside a TCP connection. */
export function serveRtu(socket: Socket, { answer, timers }: TransportOptions): Connection {
  const running = new TimerSet(timers)
  const server = new RtuServer({
    answer,
    timers: running,
    silenceMs,
    send: (frames) => {
      for (const frame of frames) sendAfter(frame.answer, running, () => socket.write(frame.bytes))
    },
  })
  return { receive: (bytes) => server.receive(bytes), end: () => running.cancelAll() }
}

/** Modbus TCP. */
export function serveMbap(socket: Socket, options: TransportOptions): Connection {
  let rest: Uint8Array = new Uint8Array()
  const running = new TimerSet(options.timers)
  const handle = (request: Uint8Array) => {
    for (const answer of answerMbap(request[6] ?? 0, request.subarray(7), options)) {
      const bytes = encodeMbap(request, answer)
      sendAfter(answer, running, () => socket.write(bytes))
    }
  }
  return {
    receive: (bytes) => {
      const taken = takeRequests(Uint8Array.of(...rest, ...bytes))
      for (const request of taken.requests) handle(request)
      rest = taken.rest
      if (taken.broken) socket.destroy()
    },
    end: () => running.cancelAll(),
  }
}

// Modbus Messaging on TCP/IP V1.0b §3.1.3: transaction id, protocol 0, length of what follows, unit id, PDU.
function takeRequests(bytes: Uint8Array): { requests: readonly Uint8Array[]; rest: Uint8Array; broken: boolean } {
  const view = new DataView(bytes.buffer)
  const requests: Uint8Array[] = []
  let at = 0
  while (bytes.length - at >= 8) {
    const length = view.getUint16(at + 4)
    if (view.getUint16(at + 2) !== 0 || length < 2 || length > 254) {
      return { requests, rest: new Uint8Array(), broken: true }
    }
    if (bytes.length - at < 6 + length) break
    requests.push(bytes.slice(at, at + 6 + length))
    at += 6 + length
  }
  return { requests, rest: bytes.slice(at), broken: false }
}

// Modbus Messaging on TCP/IP V1.0b: behind a gateway, a unit that nobody has is told with exception 11.
function answerMbap(unitId: number, pdu: Uint8Array, { hasUnit, answer }: TransportOptions): readonly Answer[] {
  if (hasUnit(unitId)) return answer(unitId, pdu)
  return [{ pdu: encodeException(pdu[0] ?? 0, exceptionCodes.gatewayTargetFailedToRespond), delayMs: 0 }]
}

function sendAfter({ delayMs, repeatAfterMs }: Answer, timers: TimerSet, send: () => void): void {
  timers.after(delayMs, send)
  if (repeatAfterMs !== undefined) timers.after(delayMs + repeatAfterMs, send)
}

function encodeMbap(request: Uint8Array, { pdu, damage }: Answer): Uint8Array {
  const length = pdu.length + 1
  const frame = Uint8Array.of(...request.subarray(0, 4), length >> 8, length & 0xff, request[6] ?? 0, ...pdu)
  return damage === 'truncated' ? frame.subarray(0, Math.ceil(frame.length / 2)) : frame
}
