import { setTimeout as sleep } from 'node:timers/promises'
import { parseAddress } from '@wattline/protocol'
import { formatAmount } from '../orders/amounts.ts'
import { PaymentFolder } from './payment-folder.ts'
import { ChainPayments, type PaymentResult } from './payments.ts'
import { makeRpc } from './rpc.ts'
import { WattToken } from './watt-token.ts'

// What `wattline-wallet` does where WATT is on a chain.

const gwei = 10n ** 9n
const pauseMs = 1000

/** Which chain, and what may be spent there. */
export interface ChainOptions {
  readonly rpc: string
  readonly watt: string
  readonly chainId?: number
  readonly maxFeeGwei: number
  readonly confirmations: number
  /** Seconds that a payment is waited for. */
  readonly wait: number
}

/** An account of the wallet with its key. */
export interface ChainAccount {
  readonly address: string
  readonly secretKey: Uint8Array
}

/** What an address holds on the chain, in words. */
export async function tellBalance({ rpc, watt }: Pick<ChainOptions, 'rpc' | 'watt'>, address: string): Promise<string> {
  const token = new WattToken(makeRpc(rpc), parseAddress(watt))
  await token.check()
  return `${address} on the chain at ${token.address}\n${formatAmount(await token.balanceOf(address), 'WATT')}`
}

/** Pays on the chain and waits until nothing can take it back. */
export function payOnChain(
  options: ChainOptions & { readonly wallet: string },
  account: ChainAccount,
  { to, amount }: { readonly to: string; readonly amount: bigint },
): Promise<PaymentResult> {
  const { payments, payer, rpc } = open(options, account)
  return payments.pay(payer, new WattToken(rpc, parseAddress(options.watt)), { to: parseAddress(to), amount })
}

/** What became of payments that were left open; what the chain has lost is sent again. */
export function settleOnChain(
  options: Omit<ChainOptions, 'watt'> & { readonly wallet: string },
  account: ChainAccount,
): Promise<readonly PaymentResult[]> {
  const { payments, payer } = open(options, account)
  return payments.settle(payer)
}

function open(
  { rpc: url, wallet, chainId, maxFeeGwei, confirmations, wait }: Omit<ChainOptions, 'watt'> & { wallet: string },
  { address, secretKey }: ChainAccount,
) {
  const rpc = makeRpc(url)
  const payments = new ChainPayments({
    rpc,
    folder: new PaymentFolder(wallet),
    limits: { maxFeePerGas: BigInt(maxFeeGwei) * gwei, tipPerGas: maxFeeGwei === 0 ? 0n : gwei },
    confirmations: BigInt(confirmations),
    pause: () => sleep(pauseMs),
    looks: Math.max(1, Math.ceil((wait * 1000) / pauseMs)),
    ...(chainId === undefined ? {} : { chainId: BigInt(chainId) }),
  })
  return { payments, rpc, payer: { address: address.toLowerCase(), secretKey } }
}

/** What became of a payment, in words. */
export function describePayment({ payment, hashes, final }: PaymentResult): string {
  const what = `${formatAmount(payment.amount, 'WATT')} to ${payment.to}, nonce ${payment.nonce}, ${hashes.at(-1)}`
  switch (final?.fate) {
    case 'paid':
      return `paid for good in block ${final.block}: ${what}`
    case 'failed':
      return `refused by the contract in block ${final.block}: ${what}`
    case 'replaced':
      return `not paid, another transaction of this key took its nonce: ${what}`
    case undefined:
      return `sent, and not final yet: ${what}`
  }
}
