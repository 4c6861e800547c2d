import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** How a line fails: told at once, or with nothing but silence until it is back. */
export type CutManner = 'reset' | 'silent'

/** For tests: a line to a port on this machine that can be cut at any moment. What is under way then is gone. */
export class CuttableLink {
  readonly #server: Server
  readonly #targetPort: number
  readonly #pairs = new Map<Socket, Socket>()
  #cut: CutManner | undefined

  private constructor(server: Server, targetPort: number) {
    this.#server = server
    this.#targetPort = targetPort
    server.on('connection', (near) => this.#join(near))
  }

  static async open(targetPort: number): Promise<CuttableLink> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new CuttableLink(server, targetPort)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  cut(manner: CutManner): void {
    this.#cut = manner
    if (manner === 'reset') this.#drop()
    for (const [near, far] of this.#pairs) {
      near.unpipe(far)
      far.unpipe(near)
    }
  }

  /** Connections of before are not taken up again, as after a router's restart. */
  heal(): void {
    this.#cut = undefined
    this.#drop()
  }

  async close(): Promise<void> {
    this.#drop()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #join(near: Socket): void {
    if (this.#cut === 'reset') {
      near.destroy()
      return
    }
    const far = connect(this.#targetPort, '127.0.0.1')
    this.#pairs.set(near, far)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.setNoDelay(true)
      // Either end going takes the other along; an error is followed by 'close'.
      one.on('error', () => {})
      one.on('close', () => {
        this.#pairs.delete(near)
        other.destroy()
      })
      if (this.#cut === undefined) one.pipe(other)
    }
  }

  #drop(): void {
    for (const [near, far] of this.#pairs) {
      near.destroy()
      far.destroy()
    }
    this.#pairs.clear()
  }
}
