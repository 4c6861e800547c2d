import { createServer, type Server, type Socket } from 'node:net'
import { WattError } from '@wattline/protocol'
import { type Answer, type AnswerRequest, encodeException, exceptionCodes } from './pdu.ts'
import { RtuServer } from './rtu-server.ts'
import type { Timers } from './timers.ts'

export interface TcpServerOptions {
  readonly host: string
  /** 0 takes any free port, and keeps it for as long as the program runs. */
  readonly port: number
  readonly transport: 'tcp' | 'rtuOverTcp'
  /** Whether a meter with that unit id hangs here. */
  readonly hasUnit: (unitId: number) => boolean
  readonly answer: AnswerRequest
  readonly timers: Timers
}

/** Takes what one client sends; `end` calls off the answers that are still under way. */
interface Connection {
  receive(bytes: Uint8Array): void
  end(): void
}

/** Modbus TCP, or RTU frames inside a TCP connection. Serves any number of clients at once. */
export class TcpServer {
  readonly #options: TcpServerOptions
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #port: number

  constructor(options: TcpServerOptions) {
    this.#options = options
    this.#port = options.port
  }

  /** The port that is really listened on. */
  get port(): number {
    return this.#port
  }

  async start(): Promise<void> {
    const server = createServer({ noDelay: true }, (socket) => this.#accept(socket))
    this.#server = server
    this.#port = await listen(server, this.#options.host, this.#port)
  }

  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    const connection = this.#options.transport === 'tcp' ? this.#serveMbap(socket) : this.#serveRtu(socket)
    socket.on('data', (bytes) => connection.receive(bytes))
    // A client that breaks off is its own affair; 'close' follows.
    socket.on('error', () => {})
    socket.on('close', () => {
      connection.end()
      this.#sockets.delete(socket)
    })
  }

  #serveRtu(socket: Socket): Connection {
    const { answer, timers } = this.#options
    const server = new RtuServer({ answer, timers, write: (bytes) => void socket.write(bytes) })
    return { receive: (bytes) => server.receive(bytes), end: () => server.close() }
  }

  #serveMbap(socket: Socket): Connection {
    let rest: Uint8Array = new Uint8Array()
    const pending = new Set<() => void>()
    return {
      receive: (bytes) => {
        rest = this.#takeRequests(Uint8Array.of(...rest, ...bytes), socket, pending)
      },
      end: () => {
        for (const cancel of pending) cancel()
      },
    }
  }

  // Modbus Messaging on TCP/IP V1.0b §3.1.3: transaction id, protocol 0, length of what follows, unit id, PDU.
  #takeRequests(bytes: Uint8Array, socket: Socket, pending: Set<() => void>): Uint8Array {
    const view = new DataView(bytes.buffer)
    let at = 0
    while (bytes.length - at >= 8) {
      const length = view.getUint16(at + 4)
      if (view.getUint16(at + 2) !== 0 || length < 2 || length > 254) {
        socket.destroy()
        return new Uint8Array()
      }
      if (bytes.length - at < 6 + length) break
      this.#handle(bytes.slice(at, at + 6 + length), socket, pending)
      at += 6 + length
    }
    return bytes.slice(at)
  }

  #handle(request: Uint8Array, socket: Socket, pending: Set<() => void>): void {
    const answer = this.#answer(request[6] ?? 0, request.subarray(7))
    if (answer === undefined) return
    const bytes = encodeMbap(request, answer)
    const cancel = this.#options.timers.after(answer.delayMs, () => {
      pending.delete(cancel)
      socket.write(bytes)
    })
    pending.add(cancel)
  }

  // Modbus Messaging on TCP/IP V1.0b: behind a gateway, a unit that nobody has is told with exception 11.
  #answer(unitId: number, pdu: Uint8Array): Answer | undefined {
    if (this.#options.hasUnit(unitId)) return this.#options.answer(unitId, pdu)
    return { pdu: encodeException(pdu[0] ?? 0, exceptionCodes.gatewayTargetFailedToRespond), delayMs: 0 }
  }
}

function encodeMbap(request: Uint8Array, { pdu, damage }: Answer): Uint8Array {
  const length = pdu.length + 1
  const frame = Uint8Array.of(...request.subarray(0, 4), length >> 8, length & 0xff, request[6] ?? 0, ...pdu)
  return damage === 'truncated' ? frame.subarray(0, Math.ceil(frame.length / 2)) : frame
}

/** Listens, and tells a port that is taken from other reasons. */
export function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'EADDRINUSE' ? 'port/occupied' : 'port/missing'
      reject(new WattError(code, `${host}:${port}: ${cause.message}`, { cause }))
    })
    server.listen({ host, port }, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}
