import {
  type Address,
  addressOf,
  type Signer,
  signTransfer,
  type TransferAct,
  type TransferFacts,
} from '@wattline/protocol'
import { Health } from '../src/health.ts'
import { startStatusServer } from '../src/http.ts'
import { Metrics } from '../src/metrics.ts'
import { openOrderDesk } from '../src/orders/desk.ts'
import { type OrderDesk, OrderPages } from '../src/orders/order-pages.ts'
import { Device, fastVerifier, openRig, type Rig, startMs, testSigner } from './rig.ts'

// A ledger with an order desk, and wallets that sign orders for it.

export const ledgerSigner = testSigner(900)

/** A wallet of the tests. */
export class TestWallet {
  readonly signer: Signer
  readonly address: Address
  readonly #ledger: Address
  nonce = 0

  constructor(number: number, ledger: Address = addressOf(ledgerSigner.publicKey)) {
    this.signer = testSigner(number)
    this.address = addressOf(this.signer.publicKey)
    this.#ledger = ledger
  }

  /** Signs the next order; `terms` change what it would say otherwise. */
  order(
    act: TransferAct,
    terms: Partial<Pick<TransferFacts, 'account' | 'nonce' | 'expiresAt' | 'ledger'>> = {},
  ): string {
    if (terms.nonce === undefined) this.nonce++
    const head = { ledger: this.#ledger, account: this.address, nonce: this.nonce, expiresAt: startMs + 3_600_000 }
    return signTransfer({ ...head, ...terms, ...act }, this.signer).text
  }

  pay(to: string, amount: bigint, terms: Parameters<TestWallet['order']>[1] = {}): string {
    return this.order({ kind: 'pay', asset: 'WATT', to, amount }, terms)
  }
}

export interface DeskRig extends Rig {
  readonly desk: OrderDesk
  readonly ada: TestWallet
  readonly bea: TestWallet
}

/** A ledger where ada's roof has minted 10 WATT to her wallet. */
export function openDesk(t: Parameters<typeof openRig>[0], options: Parameters<typeof openRig>[1] = {}): DeskRig {
  const rig = openRig(t, options)
  const [ada, bea] = [new TestWallet(901), new TestWallet(902)]
  const roof = new Device({ meter: 'roof', role: 'producer', owner: ada.address, key: 903 })
  rig.engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 10_000n })])
  return {
    ...rig,
    ada,
    bea,
    desk: openOrderDesk(rig.engine, { clock: rig.clock, verifier: fastVerifier, signer: ledgerSigner }),
  }
}

/** The same, served over HTTP. */
export async function openPages(t: Parameters<typeof openDesk>[0], { now = (): number => 0, wallets = true } = {}) {
  const rig = openDesk(t)
  const failures: unknown[] = []
  const parts = { health: new Health(), metrics: new Metrics({ waiting: () => 0, points: () => 1 }) }
  const pages = new OrderPages(
    rig.desk,
    { failed: (error) => failures.push(error), told: (result) => parts.metrics.orderTold(result) },
    now,
  )
  const server = await startStatusServer(
    { host: '127.0.0.1', port: 0 },
    { ...parts, ...(wallets ? { wallets: pages } : {}) },
  )
  t.teardown(() => server.close())
  const call = async (path: string, body?: string) => {
    const options = body === undefined ? {} : { method: 'POST', body }
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, options)
    return { status: response.status, content: (await response.json()) as Record<string, unknown> }
  }
  return { ...rig, server, failures, call }
}
