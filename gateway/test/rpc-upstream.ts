import { createServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { RPCServer } from 'ocpp-rpc'
import type { OcppPayload } from '../src/ocpp/transaction-sink.ts'
import { FakeUpstream, type Received } from './upstream-rig.ts'

type AsyncTeardown = (action: () => unknown) => void

export interface RpcUpstreamOptions {
  readonly protocols?: string[]
  /** Certificate, key, and who signs the stations' certificates. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer }
  /** Says why a station is turned away. */
  readonly judge?: (
    identity: string,
    password: Buffer | undefined,
    certificateName: string | undefined,
  ) => string | undefined
}

interface StationClient {
  readonly identity: string
  call(action: string, payload: object): Promise<unknown>
  close(options: object): Promise<unknown>
  handle(handler: (call: { messageId: string; method: string; params: OcppPayload }) => OcppPayload): void
}

/** For tests: an operator's CSMS made by others, strict about every schema, on a real socket. */
export class RpcUpstream {
  readonly received: Received[] = []
  readonly clients = new Map<string, StationClient>()
  /** What breaks OCPP in the eyes of the library. */
  readonly faults: string[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #scheme: string
  readonly #usual = new FakeUpstream()

  private constructor(server: Server, rpc: RPCServer, scheme: string) {
    this.#server = server
    this.#scheme = scheme
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket.on('close', () => this.#sockets.delete(socket)))
    })
    server.on('upgrade', (request, socket, head) => void rpc.handleUpgrade(request, socket as Socket, head))
    rpc.on('client', (client: StationClient & NodeJS.EventEmitter) => {
      const { identity } = client
      this.clients.set(identity, client)
      client.on('strictValidationFailure', ({ method, error }: { method: string; error: Error }) =>
        this.faults.push(`${method}: ${error.message}`),
      )
      client.on('badMessage', ({ error }: { error: Error }) => this.faults.push(error.message))
      client.on('close', () => {
        if (this.clients.get(identity) === client) this.clients.delete(identity)
      })
      client.handle(({ messageId, method, params }) => {
        const request = { identity, messageId, action: method, payload: params }
        this.received.push(request)
        return this.#usual.usualAnswer(request)
      })
    })
  }

  static async start(teardown: AsyncTeardown, options: RpcUpstreamOptions = {}): Promise<RpcUpstream> {
    const { protocols = ['ocpp1.6', 'ocpp2.0.1'], tls, judge } = options
    const rpc = new RPCServer({ protocols, strictMode: protocols, pingIntervalMs: 0 })
    rpc.auth((accept, reject, { identity, password, request }) => {
      const { socket } = request
      const name = socket instanceof TLSSocket && socket.authorized ? socket.getPeerCertificate().subject.CN : undefined
      const reason = judge?.(identity, password, typeof name === 'string' ? name : undefined)
      if (reason === undefined) accept()
      else reject(401, reason)
    })
    const server =
      tls === undefined ? createServer() : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false })
    const upstream = new RpcUpstream(server, rpc, tls === undefined ? 'ws' : 'wss')
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    teardown(() => {
      upstream.cut()
      return new Promise((resolve) => server.close(resolve))
    })
    return upstream
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}/ocpp`
  }

  /** The line is gone. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  of(action: string, identity?: string): readonly Received[] {
    return this.received.filter((one) => one.action === action && (identity === undefined || one.identity === identity))
  }

  usualAnswer(request: Received): OcppPayload {
    return this.#usual.usualAnswer(request)
  }
}
