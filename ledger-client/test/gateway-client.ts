import { setTimeout as sleep } from 'node:timers/promises'
import {
  formatHello,
  formatTopic,
  type PointId,
  type PublicKey,
  parsePointId,
  parseReceipt,
  type Receipt,
} from '@wattline/protocol'
import { connectAsync, type MqttClient } from 'mqtt'
import type { Message } from './rig.ts'

interface Teardown {
  teardown(fn: () => unknown): void
}

/** A gateway's end of the wire: publishes, and gathers receipts that the ledger's key has signed. */
export class GatewayClient {
  readonly #client: MqttClient
  readonly #ledgerKey: PublicKey
  readonly receipts: Receipt[] = []
  readonly #waiting = new Set<() => void>()

  constructor(client: MqttClient, ledgerKey: PublicKey) {
    this.#client = client
    this.#ledgerKey = ledgerKey
    client.on('error', () => {}) // brokers come and go in these tests
    client.on('message', (_topic, payload) => {
      this.receipts.push(parseReceipt(payload.toString('latin1'), this.#ledgerKey))
      for (const check of this.#waiting) check()
    })
  }

  async send(...messages: readonly Message[]): Promise<void> {
    // A message that is lost with its connection is sent again by whoever waits for its receipt.
    await Promise.allSettled(
      messages.map(({ topic, payload }) => this.#client.publishAsync(topic, Buffer.from(payload), { qos: 1 })),
    )
  }

  /**
   * Says hello, as after each connect (SPEC-74), and gives what it is answered with. It says so again while nothing comes:
   * after a restart of the broker it may be there before the subscription is.
   */
  async greet(point: PointId): Promise<Receipt> {
    const topic = formatTopic({ kind: 'hello', gatewayId: parsePointId(point).gatewayId })
    const payload = new TextEncoder().encode(formatHello({ gatewayVersion: 'test', points: [point] }))
    const after = this.receipts.length
    const answer = this.receipt((receipt) => this.receipts.indexOf(receipt) >= after && receipt.point === point)
    for (;;) {
      await this.send({ topic, payload })
      const receipt = await Promise.race([answer, sleep(500)])
      if (receipt !== undefined) return receipt
    }
  }

  /** The first receipt, of those here and those to come, that is asked for. */
  receipt(wanted: (receipt: Receipt) => boolean): Promise<Receipt> {
    return new Promise((resolve) => {
      const check = () => {
        const found = this.receipts.find(wanted)
        if (found === undefined) return
        this.#waiting.delete(check)
        resolve(found)
      }
      this.#waiting.add(check)
      check()
    })
  }
}

/** Connects as a gateway. */
export async function connectGateway(
  t: Teardown,
  url: string,
  { id = 'gw-1', ledgerKey }: { readonly id?: string; readonly ledgerKey: PublicKey },
): Promise<GatewayClient> {
  const client = await connectAsync(url, { clientId: id, clean: false, reconnectPeriod: 100, protocolVersion: 4 })
  t.teardown(() => client.endAsync(true))
  const gateway = new GatewayClient(client, ledgerKey)
  await client.subscribeAsync(`wattline/v1/${id}/+/receipt`, { qos: 1 })
  return gateway
}
