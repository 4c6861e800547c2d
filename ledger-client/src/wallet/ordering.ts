import { parseAddress, signTransfer, type Transfer, type TransferAct, WattError } from '@wattline/protocol'
import { describeAct } from '../orders/order-words.ts'
import type { Account } from './accounts.ts'
import type { LedgerLink, SendResult } from './ledger-link.ts'
import type { OrderFolder } from './order-folder.ts'

/** Where an order goes: to a ledger that is asked for the nonce, or into a file with what was learnt before. */
export interface Terms {
  /** The account whose order it is: the wallet's own, or a name that the ledger has bound to it. */
  readonly account: string
  readonly expiresAt: number
}

/**
 * Orders something of a ledger. What was ordered before and has no answer is sent again first: where that turns out to
 * be booked, nothing new is ordered, as a person who repeats a command after a failure means the same payment.
 */
export async function order(
  act: TransferAct,
  { account, expiresAt }: Terms,
  { signer }: Account,
  { link, folder }: { readonly link: LedgerLink; readonly folder: OrderFolder },
): Promise<readonly [Transfer, SendResult]> {
  const { ledger } = await link.account(account)
  for (const [earlier, result] of await folder.settle(ledger, account, link)) {
    if (!('answer' in result)) continue
    const what = `order ${earlier.nonce} (${describeAct(earlier)}) had no answer yet; it is ${describeResult(result)}`
    throw new WattError('transfer/pending', `${what}. Nothing new was ordered`)
  }
  const { nextNonce: nonce } = await link.account(account)
  const signed = signTransfer({ ledger, account, nonce, expiresAt, ...act }, signer)
  return [signed, await folder.send(signed, link)]
}

/** Signs an order without a ledger at hand. */
export function orderOffline(
  act: TransferAct,
  { account, expiresAt }: Terms,
  { signer }: Account,
  { ledger, nonce }: { readonly ledger: string; readonly nonce: number },
): Transfer {
  return signTransfer({ ledger: parseAddress(ledger), account, nonce, expiresAt, ...act }, signer)
}

/** What came of an order, in words. */
export function describeResult(result: SendResult): string {
  if (!('answer' in result)) return `not taken: ${result.refused}: ${result.message}`
  const { answer } = result
  return 'entry' in answer ? `booked as entry ${answer.entry}` : `refused: ${answer.refused}: ${answer.message}`
}
