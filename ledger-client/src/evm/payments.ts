import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { decodeWith, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import type { FinalPayment, OpenPayment, Payment, PaymentFolder } from './payment-folder.ts'
import { decodeQuantity, type Rpc } from './rpc.ts'
import { bump, type FeeLimits, makeOffer, type Offer, signCall } from './transaction.ts'
import { encodeTransfer, type WattToken } from './watt-token.ts'

/** What paying on a chain is done with. */
export interface PaymentParts {
  readonly rpc: Rpc
  readonly folder: PaymentFolder
  readonly limits: FeeLimits
  /** Blocks above a payment's own after which it is not taken back any more. */
  readonly confirmations: bigint
  /** Waits until it is worth to look again. */
  readonly pause: () => Promise<void>
  /** How often is looked before a payment is left open. */
  readonly looks: number
  /** The chain that it must be; any if left out. */
  readonly chainId?: bigint
}

/** Whose payment it is. */
export interface Payer {
  readonly address: string
  readonly secretKey: Uint8Array
}

/** What became of a payment: for good, or nothing so far. */
export interface PaymentResult {
  readonly payment: Payment
  /** Hashes of the transactions that were signed for it. */
  readonly hashes: readonly string[]
  readonly final?: FinalPayment
}

/** A transfer of an ERC-20 takes about 55,000; whatever takes more is no such transfer. */
const mostGas = 200_000n
/** Looks without an answer after which a payment is signed again with a higher fee. */
const patience = 10

/**
 * Pays WATT on a chain. A relayer may send twice, as its contract counts once; whoever pays may not. So a payment keeps
 * the one nonce that it was signed with: whatever is sent for it, again or with a higher fee, at most one counts.
 */
export class ChainPayments {
  readonly #parts: PaymentParts

  constructor(parts: PaymentParts) {
    this.#parts = parts
  }

  /** Looks what became of what is open, sends it again where the chain has lost it, and waits for it. */
  async settle(payer: Payer): Promise<readonly PaymentResult[]> {
    const chainId = await this.#chainId()
    const results: PaymentResult[] = []
    for (const open of this.#parts.folder.open(chainId, payer.address)) results.push(await this.#wait(open, payer))
    return results
  }

  /** Pays, once. What is open is settled first: where that was paid, or may be, nothing new is. */
  async pay(payer: Payer, token: WattToken, { to, amount }: Pick<Payment, 'to' | 'amount'>): Promise<PaymentResult> {
    for (const { payment, final, hashes } of await this.settle(payer)) {
      if (final !== undefined && final.fate !== 'paid') continue
      const what = `a payment of ${payment.amount} base units to ${payment.to} (${hashes.at(-1)})`
      throw new WattError('transfer/pending', `${what} was open; it is ${final?.fate ?? 'still'}. Nothing new was paid`)
    }
    await token.check()
    const balance = await token.balanceOf(payer.address)
    if (balance < amount) {
      throw new WattError('transfer/insufficient', `${payer.address} has ${balance} on the chain, ${amount} are to go`)
    }
    const call = { from: payer.address, to: token.address, data: encodeTransfer(to, amount) }
    const gasLimit = await this.#gasLimit(call)
    const [chainId, nonce, offer] = [await this.#chainId(), await this.#nextNonce(payer.address), await this.#offer()]
    await this.#checkFunds(payer.address, gasLimit * offer.fee)
    const facts = { chainId, watt: token.address, from: payer.address, to: to.toLowerCase(), amount, nonce, gasLimit }
    return this.#wait(this.#sign({ payment: facts, signed: [] }, offer, payer), payer)
  }

  // A payment waits for its block, and then for those above it.
  async #wait(waiting: OpenPayment, payer: Payer): Promise<PaymentResult> {
    let open = waiting
    for (let look = 1; look <= this.#parts.looks; look++) {
      const [final, isMined] = await this.#fateOf(open)
      if (final !== undefined) {
        this.#parts.folder.close(open.payment, final)
        return { ...toResult(open), final }
      }
      if (!isMined) {
        if (look % patience === 0) open = await this.#raise(open, payer)
        await this.#send(open)
      }
      await this.#parts.pause()
    }
    return toResult(open)
  }

  async #fateOf({
    payment,
    signed,
  }: OpenPayment): Promise<readonly [final: FinalPayment | undefined, isMined: boolean]> {
    const head = decodeQuantity(await this.#parts.rpc.ask('eth_blockNumber'), 'eth_blockNumber')
    const safe = head - this.#parts.confirmations
    for (const { raw } of signed) {
      const receipt = (await this.#parts.rpc.ask('eth_getTransactionReceipt', hashOf(raw))) as Receipt | null
      if (receipt === null || receipt === undefined) continue
      const block = decodeQuantity(receipt.blockNumber, 'blockNumber')
      if (block > safe) return [undefined, true]
      const fate = decodeQuantity(receipt.status, 'status') === 1n ? 'paid' : 'failed'
      return [{ fate, block: Number(block) }, true]
    }
    const block = await this.#findReplacement({ payment, signed }, safe < 0n ? 0n : safe)
    return block === undefined ? [undefined, false] : [{ fate: 'replaced', block: Number(block) }, false]
  }

  // The block in which another transaction of this key has taken the nonce, for good: this one can never count. Whoever
  // is told so pays again. So the other one has to be shown: a node may only lack our receipt, as it is behind the one
  // that was asked before it, or has forgotten what is old.
  async #findReplacement({ payment, signed }: OpenPayment, safe: bigint): Promise<bigint | undefined> {
    const { rpc } = this.#parts
    const { from, nonce } = payment
    const isTakenAt = async (block: bigint) => {
      const count = await rpc.ask('eth_getTransactionCount', from, `0x${block.toString(16)}`)
      return decodeQuantity(count, 'nonce') > nonce
    }
    if (!(await isTakenAt(safe))) return undefined
    const block = await findFirst(isTakenAt, safe)
    const content = await rpc.ask('eth_getBlockByNumber', `0x${block.toString(16)}`, true)
    const { transactions } = decodeWith(blockShape, content, `block ${block}`, 'evm/refused')
    const taker = transactions.find((each) => each.from.toLowerCase() === from && BigInt(each.nonce) === nonce)
    if (taker !== undefined && !signed.some(({ raw }) => hashOf(raw) === taker.hash)) return block
    const message = `the node tells no receipt of a payment, and no other transaction with nonce ${nonce} in block ${block}`
    throw new WattError('evm/refused', `${message}: ask another node`, { retryable: true })
  }

  // The same call under the same nonce with more for the miners; as it was where the limit does not allow that.
  async #raise(open: OpenPayment, payer: Payer): Promise<OpenPayment> {
    const last = open.signed.at(-1)
    const offer = last && (await makeOffer(this.#parts.rpc, this.#parts.limits, bump(last)))
    return offer === undefined ? open : this.#sign(open, offer, payer)
  }

  #sign(open: OpenPayment, offer: Offer, { secretKey }: Payer): OpenPayment {
    const { chainId, watt, to, amount, nonce, gasLimit } = open.payment
    const call = { to: watt, data: encodeTransfer(to, amount), nonce, gasLimit, chainId, offer }
    const raw = signCall(call, secretKey)
    // On the disk before anybody else has it.
    return this.#parts.folder.add(open, { ...offer, raw })
  }

  async #send({ signed }: OpenPayment): Promise<void> {
    try {
      await this.#parts.rpc.ask('eth_sendRawTransaction', signed.at(-1)?.raw)
    } catch (error) {
      if (!(error instanceof WattError) || error.code !== 'evm/refused') throw error
      // The same bytes once more, a nonce that was taken meanwhile, an older one that pays about as much: nodes have no
      // codes for these, and the next look tells which.
      if (!/already (known|imported)|nonce too low|underpriced/i.test(error.message)) throw error
    }
  }

  async #gasLimit(call: { readonly from: string; readonly to: string; readonly data: string }): Promise<bigint> {
    const gas = decodeQuantity(await this.#parts.rpc.ask('eth_estimateGas', call, 'latest'), 'eth_estimateGas')
    const limit = gas + gas / 5n
    if (limit <= mostGas) return limit
    throw new WattError('evm/refused', `the transfer would take ${gas} gas: ${call.to} is no common token`)
  }

  async #offer(): Promise<Offer> {
    const offer = await makeOffer(this.#parts.rpc, this.#parts.limits)
    if (offer !== undefined) return offer
    const { maxFeePerGas } = this.#parts.limits
    throw new WattError('evm/too-dear', `the chain asks for more than ${maxFeePerGas} wei a gas: nothing was sent`, {
      retryable: true,
    })
  }

  async #checkFunds(address: string, needed: bigint): Promise<void> {
    const balance = decodeQuantity(await this.#parts.rpc.ask('eth_getBalance', address, 'latest'), 'eth_getBalance')
    if (balance >= needed) return
    throw new WattError('transfer/insufficient', `${address} has ${balance} wei, gas may cost ${needed}`)
  }

  // What another program has sent with this key and waits is not replaced.
  async #nextNonce(address: string): Promise<bigint> {
    const count = async (block: string) =>
      decodeQuantity(await this.#parts.rpc.ask('eth_getTransactionCount', address, block), 'nonce')
    const [mined, waiting] = [await count('latest'), await count('pending')]
    return waiting > mined ? waiting : mined
  }

  async #chainId(): Promise<bigint> {
    const chainId = decodeQuantity(await this.#parts.rpc.ask('eth_chainId'), 'eth_chainId')
    const { chainId: expected = chainId } = this.#parts
    if (chainId === expected) return chainId
    throw new WattError('config/invalid', `the node is on chain ${chainId}, ${expected} expected`)
  }
}

const blockShape = v.object({
  transactions: v.array(
    v.object({ from: v.string(), nonce: v.pipe(v.string(), v.regex(/^0x[0-9a-f]{1,16}$/i)), hash: v.string() }),
  ),
})

// The first block of which something is true that stays true; steps that grow, as most nodes know only the latest states.
async function findFirst(isTrueAt: (block: bigint) => Promise<boolean>, known: bigint): Promise<bigint> {
  let [before, first] = [-1n, known]
  for (let step = 1n; before < 0n && first > 0n; step *= 2n) {
    const block = first > step ? first - step : 0n
    if (await isTrueAt(block)) first = block
    else before = block
  }
  while (first - before > 1n) {
    const middle = (before + first) / 2n
    if (await isTrueAt(middle)) first = middle
    else before = middle
  }
  return first
}

interface Receipt {
  readonly blockNumber: unknown
  readonly status: unknown
}

function toResult({ payment, signed }: OpenPayment): PaymentResult {
  return { payment, hashes: signed.map(({ raw }) => hashOf(raw)) }
}

function hashOf(raw: string): string {
  return `0x${bytesToHex(keccak_256(hexToBytes(raw.slice(2))))}`
}
