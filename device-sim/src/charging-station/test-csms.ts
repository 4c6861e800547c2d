import type { AddressInfo } from 'node:net'
import { RPCServer } from 'ocpp-rpc'

/** Tests over real sockets: a small CSMS made with ocpp-rpc, which is not ours. */

export interface Call {
  readonly action: string
  readonly params: Readonly<Record<string, unknown>>
}

export interface ServerClient {
  readonly identity: string | undefined
  readonly protocol: string | undefined
  call(action: string, params: object): Promise<unknown>
  close(options: { code?: number; force?: boolean }): Promise<unknown>
  on(event: string, run: (...args: never[]) => void): void
  handle(run: (call: { method?: string; params?: Record<string, unknown> }) => Promise<Record<string, unknown>>): void
}

export class TestCsms {
  readonly calls: Call[] = []
  readonly clients: ServerClient[] = []
  readonly passwords: (string | undefined)[] = []
  readonly extensions: string[] = []
  readonly #server: InstanceType<typeof RPCServer>
  readonly #numbers = new Map<string, number>()
  #waiting: (() => void)[] = []
  url = ''

  constructor(options: { readonly password?: string; readonly pingIntervalMs?: number } = {}) {
    this.#server = new RPCServer({
      protocols: ['ocpp1.6', 'ocpp2.0.1', 'ocpp2.1'],
      strictMode: ['ocpp1.6', 'ocpp2.0.1'],
      pingIntervalMs: options.pingIntervalMs ?? 30_000,
      wssOptions: { perMessageDeflate: true },
    })
    this.#server.auth((accept, reject, handshake) => {
      const password = handshake.password?.toString()
      this.passwords.push(password)
      this.extensions.push(String(handshake.headers['sec-websocket-extensions'] ?? ''))
      if (options.password !== undefined && password !== options.password) reject(401, 'wrong password')
      else accept()
    })
    this.#server.on('client', (client: ServerClient) => {
      this.clients.push(client)
      client.handle(async ({ method = '', params = {} }) => {
        this.calls.push({ action: method, params })
        this.#wake()
        return this.#answer(client.protocol ?? '', method, params)
      })
      client.on('disconnect', () => this.#wake())
      this.#wake()
    })
  }

  async start(): Promise<this> {
    const server = await this.#server.listen(0, '127.0.0.1')
    const { port } = server.address() as AddressInfo
    this.url = `ws://127.0.0.1:${port}`
    return this
  }

  stop(): Promise<void> {
    return this.#server.close({ force: true })
  }

  of(...actions: string[]): readonly Call[] {
    return this.calls.filter(({ action }) => actions.includes(action))
  }

  /** Resolves when something has become true; the test's own time limit ends what never does. */
  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
      })
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #answer(protocol: string, action: string, params: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const currentTime = new Date().toISOString()
    if (action === 'BootNotification') return { currentTime, interval: 300, status: 'Accepted' }
    if (action === 'Heartbeat') return { currentTime }
    if (protocol !== 'ocpp1.6') {
      return action === 'Authorize' || 'idToken' in params ? { idTokenInfo: { status: 'Accepted' } } : {}
    }
    const idTagInfo = { status: 'Accepted' }
    if (action !== 'StartTransaction')
      return action === 'Authorize' || action === 'StopTransaction' ? { idTagInfo } : {}
    const content = JSON.stringify(params)
    const transactionId = this.#numbers.get(content) ?? this.#numbers.size + 1
    this.#numbers.set(content, transactionId)
    return { idTagInfo, transactionId }
  }
}
