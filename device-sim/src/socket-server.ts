import { createServer, type Server, type Socket } from 'node:net'
import { WattError } from '@wattline/protocol'

/** Takes what one client sends; `end` calls off what is still under way to it. */
export interface Connection {
  receive(bytes: Uint8Array): void
  end(): void
}

export interface SocketServerOptions {
  readonly host: string
  /** 0 takes any free port, and keeps it for as long as the program runs. */
  readonly port: number
  readonly connect: (socket: Socket) => Connection
}

/** A TCP port that serves any number of clients at once. */
export class SocketServer {
  readonly #options: SocketServerOptions
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #port: number

  constructor(options: SocketServerOptions) {
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

  /** Sends to every client. */
  write(bytes: Uint8Array): void {
    for (const socket of this.#sockets) socket.write(bytes)
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
    const connection = this.#options.connect(socket)
    socket.on('data', (bytes) => connection.receive(bytes))
    // A client that breaks off is its own affair; 'close' follows.
    socket.on('error', () => {})
    socket.on('close', () => {
      connection.end()
      this.#sockets.delete(socket)
    })
  }
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
