import { Transaction } from 'micro-eth-signer'
import { decodeQuantity, type Rpc } from './rpc.ts'

// EIP-1559 transactions: what one offers, and its signed bytes.

/** What may be spent, in wei for each unit of gas. */
export interface FeeLimits {
  /** Above this nothing is sent: it waits for a cheaper hour. */
  readonly maxFeePerGas: bigint
  readonly tipPerGas: bigint
}

/** What a transaction offers for each unit of gas, in wei. */
export interface Offer {
  readonly fee: bigint
  readonly tip: bigint
}

export const noOffer: Offer = { fee: 0n, tip: 0n }

/** A call of a contract that is to be signed; without `to`, what deploys one. */
export interface UnsignedCall {
  readonly to: string
  /** Hex. */
  readonly data: string
  readonly nonce: bigint
  readonly gasLimit: bigint
  readonly chainId: bigint
  readonly offer: Offer
}

/** Signs a call; gives the transaction in hex, ready to be sent by anyone. */
export function signCall({ offer, ...call }: UnsignedCall, secretKey: Uint8Array): string {
  const fees = { maxFeePerGas: offer.fee, maxPriorityFeePerGas: offer.tip }
  return Transaction.prepare({ ...call, ...fees, value: 0n })
    .signBy(secretKey, false)
    .toHex()
}

/**
 * What to offer now, at least `floor`: twice the base fee outlasts six full blocks in a row. Undefined where the chain
 * costs more than is allowed.
 */
export async function makeOffer(rpc: Rpc, limits: FeeLimits, floor: Offer = noOffer): Promise<Offer | undefined> {
  const block = (await rpc.ask('eth_getBlockByNumber', 'latest', false)) as { baseFeePerGas?: unknown } | null
  const baseFee = block?.baseFeePerGas === undefined ? 0n : decodeQuantity(block.baseFeePerGas, 'baseFeePerGas')
  const { maxFeePerGas, tipPerGas } = limits
  const tip = larger(tipPerGas, floor.tip)
  if (baseFee + tip > maxFeePerGas || floor.fee > maxFeePerGas) return undefined
  const fee = larger(2n * baseFee + tip, floor.fee)
  return { fee: fee < maxFeePerGas ? fee : maxFeePerGas, tip }
}

/** What a replacement must offer: nodes take one that offers at least a tenth more of both. */
export function bump({ fee, tip }: Offer): Offer {
  return { fee: (fee * 5n) / 4n + 1n, tip: (tip * 5n) / 4n + 1n }
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
