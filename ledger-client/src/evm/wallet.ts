import { bytesToHex } from '@noble/hashes/utils.js'
import { WattError } from '@wattline/protocol'
import { addr } from 'micro-eth-signer'
import { decodeQuantity, type Rpc } from './rpc.ts'
import { bump, type FeeLimits, makeOffer, noOffer, type Offer, signCall, type UnsignedCall } from './transaction.ts'

export type { FeeLimits } from './transaction.ts'

/** What became of a wish to send. */
export type Sent = 'sent' | 'too-dear'

interface InFlight {
  readonly nonce: bigint
  readonly offer: Offer
  readonly block: bigint
  /** The node said that the nonce is used already. */
  readonly isUsed?: true
}

/** Blocks after which a transaction is sent again with a higher fee. */
const patienceBlocks = 4n

/**
 * Sends one transaction at a time. What it remembers only saves fees: the nonce is always the next that the chain would
 * take, so after a crash or a reorg at worst a transaction takes the place of an older one, or comes twice. Either is
 * harmless, as the contract counts nothing twice.
 */
export class Wallet {
  readonly address: string
  readonly #rpc: Rpc
  readonly #secretKey: Uint8Array
  readonly #limits: FeeLimits
  #chainId: bigint | undefined
  #inFlight: InFlight | undefined

  constructor(rpc: Rpc, secretKey: Uint8Array, limits: FeeLimits) {
    this.#rpc = rpc
    this.#secretKey = secretKey
    this.#limits = limits
    this.address = addr.fromPrivateKey(secretKey).toLowerCase()
  }

  /** Whether the last transaction is still waited for. */
  async isBusy(): Promise<boolean> {
    if (this.#inFlight === undefined) return false
    const { nonce, block } = this.#inFlight
    const next = await this.nonce()
    // Mined, or below: a reorg has taken back what it stood on.
    if (next !== nonce) this.#inFlight = undefined
    return next === nonce && (await this.#block()) < block + patienceBlocks
  }

  /** Signs and sends one call, or, without `to`, what deploys a contract. */
  async send(to: string | undefined, data: Uint8Array): Promise<Sent> {
    const call = { from: this.address, ...(to === undefined ? {} : { to }), data: `0x${bytesToHex(data)}` }
    // As of what is mined: where an older transaction of ours waits, this one would look cheaper than it is without it.
    const gas = decodeQuantity(await this.#rpc.ask('eth_estimateGas', call, 'latest'), 'eth_estimateGas')
    const gasLimit = gas + gas / 5n // heads may move until it is mined
    const [nonce, block] = [await this.nonce(), await this.#block()]
    const last = this.#inFlight?.nonce === nonce ? this.#inFlight : undefined
    let floor = last === undefined ? noOffer : bump(last.offer)
    for (;;) {
      const offer = await makeOffer(this.#rpc, this.#limits, floor)
      if (offer === undefined) {
        // What waits there may be forgotten by the node: the next attempt begins at the chain's price again.
        this.#inFlight = undefined
        return 'too-dear'
      }
      const raw = await this.#sign({ to: to ?? '0x', data: call.data, nonce, gasLimit, offer })
      this.#inFlight = { nonce, offer, block }
      const answer = await this.#submit(raw)
      if (answer === 'used') this.#useUp({ nonce, offer, block }, last)
      if (answer !== 'underpriced') return 'sent'
      floor = bump(offer)
    }
  }

  // A nonce that was taken meanwhile is the next look's business. One that a node calls the next and used, again and
  // again, is no nonce to wait for.
  #useUp(sent: InFlight, last: InFlight | undefined): void {
    if (last?.isUsed !== true) {
      this.#inFlight = { ...sent, isUsed: true }
      return
    }
    this.#inFlight = last
    const message = `the node says that the next nonce of ${this.address} is ${sent.nonce}, and that it is used already`
    throw new WattError('evm/refused', message, { retryable: true })
  }

  // `underpriced`: another transaction of ours waits at this nonce, from before a crash, and pays about as much.
  async #submit(raw: string): Promise<'sent' | 'used' | 'underpriced'> {
    try {
      await this.#rpc.ask('eth_sendRawTransaction', raw)
      return 'sent'
    } catch (error) {
      if (!(error instanceof WattError) || error.code !== 'evm/refused') throw error
      // Nodes have no codes for these. `already known`: the same bytes once more.
      if (/already (known|imported)/i.test(error.message)) return 'sent'
      if (/nonce too low/i.test(error.message)) return 'used'
      if (/underpriced/i.test(error.message)) return 'underpriced'
      throw error
    }
  }

  async #sign(call: Omit<UnsignedCall, 'chainId'>): Promise<string> {
    this.#chainId ??= decodeQuantity(await this.#rpc.ask('eth_chainId'), 'eth_chainId')
    return signCall({ ...call, chainId: this.#chainId }, this.#secretKey)
  }

  /** The number of the next transaction that the chain would take. */
  async nonce(): Promise<bigint> {
    return decodeQuantity(await this.#rpc.ask('eth_getTransactionCount', this.address, 'latest'), 'nonce')
  }

  async #block(): Promise<bigint> {
    return decodeQuantity(await this.#rpc.ask('eth_blockNumber'), 'eth_blockNumber')
  }
}
