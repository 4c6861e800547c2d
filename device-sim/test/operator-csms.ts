import type { AddressInfo } from 'node:net'
import { RPCServer } from 'ocpp-rpc'

/** A request as it came. One that is sent again comes again. */
export interface Received {
  readonly identity: string
  readonly messageId: string
  readonly action: string
  readonly payload: Readonly<Record<string, unknown>>
  /** What it was answered, whether or not that arrived. */
  readonly answer: Readonly<Record<string, unknown>>
}

interface Client {
  readonly identity: string
  readonly protocol: string
  on(event: string, run: (...args: never[]) => void): void
  handle(run: (call: { messageId: string; method: string; params: Record<string, unknown> }) => object): void
}

const protocols = ['ocpp1.6', 'ocpp2.0.1', 'ocpp2.1']

/** For tests: the CSMS of an operator, on a real socket and made by others; it is strict where its schemas work. */
export class OperatorCsms {
  readonly received: Received[] = []
  /** What breaks OCPP in its eyes. */
  readonly faults: string[] = []
  readonly #server = new RPCServer({ protocols, strictMode: ['ocpp1.6', 'ocpp2.0.1'], pingIntervalMs: 0 })
  readonly #numbers = new Map<string, number>()
  #atNext: () => void = () => {}
  #port = 0

  constructor() {
    this.#server.auth((accept) => accept())
    this.#server.on('client', (client: Client) => {
      const { identity, protocol } = client
      client.on('strictValidationFailure', ({ method, error }: { method: string; error: Error }) =>
        this.faults.push(`${identity}: ${method}: ${error.message}`),
      )
      client.handle(({ messageId, method, params }) => {
        const answer = this.#answer(protocol, identity, method, params)
        this.#atNext()
        this.received.push({ identity, messageId, action: method, payload: params, answer })
        return answer
      })
    })
  }

  async start(): Promise<this> {
    const server = await this.#server.listen(0, '127.0.0.1')
    this.#port = (server.address() as AddressInfo).port
    return this
  }

  /** Does something as soon as a message has come and before its answer leaves, or after this long without one. */
  atNextMessage(run: () => void, mostMs: number): Promise<void> {
    return new Promise((resolve) => {
      const once = () => {
        clearTimeout(timer)
        this.#atNext = () => {}
        run()
        resolve()
      }
      const timer = setTimeout(once, mostMs)
      this.#atNext = once
    })
  }

  get port(): number {
    return this.#port
  }

  stop(): Promise<void> {
    return this.#server.close({ force: true })
  }

  // The same start gets the same number, whatever its message id.
  #answer(protocol: string, identity: string, action: string, payload: Received['payload']): Received['answer'] {
    const currentTime = new Date().toISOString()
    if (action === 'BootNotification') return { currentTime, interval: 300, status: 'Accepted' }
    if (action === 'Heartbeat') return { currentTime }
    if (protocol !== 'ocpp1.6') return 'idToken' in payload ? { idTokenInfo: { status: 'Accepted' } } : {}
    if (action !== 'StartTransaction') return {}
    const start = `${identity} ${JSON.stringify(payload)}`
    const transactionId = this.#numbers.get(start) ?? 9_000_000 + this.#numbers.size
    this.#numbers.set(start, transactionId)
    return { transactionId, idTagInfo: { status: 'Accepted' } }
  }
}
