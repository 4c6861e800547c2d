import { decodeWith, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { type Asset, accountOf, accountsFor } from './accounts.ts'
import type { Entry, Posting } from './journal.ts'
import {
  amountText,
  type DepositOrder,
  decodeDeposit,
  decodeOrder,
  decodeReservation,
  type PostOrder,
  type ReservationOrder,
  type TransferOrder,
  transferKinds,
} from './transfer-order.ts'

// SPEC-89: what the entries of transfers are. Pure, and shared by what writes them and the audit, which works each of
// them out again.

/** The claim of whatever was ordered under a client's id. All orders share one space of ids. */
export function claimOfOrder(id: string): string {
  return `order:${id}`
}

/** The claim of a reservation's expiry. */
export function claimOfExpiry(reservation: string): string {
  return `expiry:${reservation}`
}

/** The client's id in a claim. */
export function orderIdOf(claim: string | null): string | undefined {
  return claim?.startsWith('order:') ? claim.slice('order:'.length) : undefined
}

/** Whether a claim is named by the hash of a wallet's order, which is then kept beside the journal. */
export function isWalletsOrder(claim: string | null): boolean {
  return /^[0-9a-f]{64}$/.test(orderIdOf(claim) ?? '')
}

/** What an entry of a transfer or a reservation notes of its order: everything but the id, which its claim names. */
export function noteOfOrder(order: TransferOrder | ReservationOrder): object {
  const { asset, from, to, amount, kind, note } = order
  const expiresAt = 'expiresAt' in order ? { expiresAt: order.expiresAt } : {}
  return { kind, asset, from, to, amount: amount.toString(), ...expiresAt, ...(note === undefined ? {} : { note }) }
}

/** What an entry of a deposit notes: everything but the id. */
export function noteOfDeposit({ asset, owner, amount, reference }: DepositOrder): object {
  return { asset, owner, amount: amount.toString(), reference }
}

/** What an entry that closes a reservation notes; a withdrawal that was paid, by what it is known outside. */
export function noteOfClosing(reservation: string, amount?: bigint, reference?: string): object {
  return {
    reservation,
    ...(amount === undefined ? {} : { amount: amount.toString() }),
    ...(reference === undefined ? {} : { reference }),
  }
}

const looseNote = v.looseObject({ amount: amountText })
const closingNote = v.strictObject({
  reservation: v.string(),
  amount: v.exactOptional(amountText),
  reference: v.exactOptional(v.string()),
})

function contentOf(entry: Entry): unknown {
  try {
    return JSON.parse(entry.note)
  } catch {
    return undefined
  }
}

/** The order that an entry of a transfer states, checked as when it came. Throws a WattError where it is none. */
export function readOrder(entry: Entry): TransferOrder {
  const { amount, ...rest } = decodeWith(looseNote, contentOf(entry), `entry ${entry.id}`, 'transfer/invalid')
  return decodeOrder({ id: orderIdOf(entry.claim), ...rest, amount: BigInt(amount) })
}

/** The order that an entry of a reservation states. */
export function readReservation(entry: Entry): ReservationOrder {
  const { amount, ...rest } = decodeWith(looseNote, contentOf(entry), `entry ${entry.id}`, 'transfer/invalid')
  return decodeReservation({ id: orderIdOf(entry.claim), ...rest, amount: BigInt(amount) })
}

/** What an entry of a deposit states. */
export function readDeposit(entry: Entry): DepositOrder {
  const { amount, ...rest } = decodeWith(looseNote, contentOf(entry), `entry ${entry.id}`, 'transfer/invalid')
  return decodeDeposit({ id: orderIdOf(entry.claim), ...rest, amount: BigInt(amount) })
}

/** The reservation that an entry closes, the amount that it moves on, and what a payout is known by. */
export function readClosing(entry: Entry): PostOrder {
  const { amount, ...rest } = decodeWith(closingNote, contentOf(entry), `entry ${entry.id}`, 'transfer/invalid')
  return { ...rest, ...(amount === undefined ? {} : { amount: BigInt(amount) }) }
}

/** What ends a reservation, as far as its rule looks at it. */
interface Closing {
  readonly kind: string
  readonly claim: string | null
  readonly reference?: string | undefined
}

/**
 * Throws where what ends a reservation does not fit it: a withdrawal is the operator's to pay or to let go, who tells what
 * the payment is known by outside; nothing else is paid there.
 */
export function checkClosing({ id, kind: reserved }: TransferOrder, { kind, claim, reference }: Closing): void {
  const refuse = (what: string) => new WattError('transfer/invalid', `reservation ${id}: ${what}`)
  const isWithdrawal = reserved === 'withdrawal'
  if (isWithdrawal && isWalletsOrder(claim)) throw refuse('is a withdrawal, which no wallet ends')
  const isPaid = isWithdrawal && kind === 'post'
  if (isPaid && reference === undefined) throw refuse('is a withdrawal: a reference of its payment expected')
  if (!isPaid && reference !== undefined) throw refuse(`nothing was paid for it outside, got '${reference}'`)
}

/** Whether a kind is one that moves something at once. */
export function isTransferKind(kind: string): kind is TransferOrder['kind'] {
  return transferKinds.some((known) => known === kind)
}

/** Where what is sent arrives: with its new owner, nowhere, or outside. */
function goalOf({ kind, asset, to }: TransferOrder): string {
  if (kind === 'withdrawal') return accountOf.moneyRemoved(asset)
  return kind === 'burn' ? accountOf.retired(to) : accountsFor(asset).free(to)
}

/** The most of one currency that is ever deposited: then no account of it is beyond what a column holds. */
const mostMoney = 10n ** 18n

/** Throws where a deposit would bring in more of a currency than may ever be there; `added` was so far. */
export function checkSupply({ id, asset, amount }: DepositOrder, added: bigint): void {
  if (added + amount <= mostMoney) return
  const what = `${added} ${asset} were deposited so far, ${mostMoney} at most`
  throw new WattError('transfer/over-limit', `deposit ${id}: ${what}, ${amount} would come`)
}

/** The postings of a deposit. */
export function depositPostings({ asset, owner, amount }: DepositOrder): readonly Posting[] {
  return [
    { account: accountOf.moneyAdded(asset), amount: -amount },
    { account: accountsFor(asset).free(owner), amount },
  ]
}

/** The postings of a transfer in one step. */
export function transferPostings(order: TransferOrder): readonly Posting[] {
  const { asset, from, amount } = order
  return [
    { account: accountsFor(asset).free(from), amount: -amount },
    { account: goalOf(order), amount },
  ]
}

/** The postings of a reservation: still its owner's, but no longer to be used. */
export function reservePostings({ asset, from, amount }: TransferOrder): readonly Posting[] {
  return [
    { account: accountsFor(asset).free(from), amount: -amount },
    { account: accountsFor(asset).held(from), amount },
  ]
}

/** The postings that end a reservation: so much goes on, the rest goes back. Nothing goes on where it is given back. */
export function closingPostings(order: TransferOrder, amount: bigint): readonly Posting[] {
  const { asset, from } = order
  const postings: readonly Posting[] = [
    { account: accountsFor(asset).held(from), amount: -order.amount },
    { account: goalOf(order), amount },
    { account: accountsFor(asset).free(from), amount: order.amount - amount },
  ]
  return postings.filter((posting) => posting.amount !== 0n)
}

/** Whose holdings an order adds to; undefined for what leaves. */
export function recipientOf({
  kind,
  asset,
  to,
}: TransferOrder): { readonly owner: string; readonly asset: Asset } | undefined {
  return kind === 'burn' || kind === 'withdrawal' ? undefined : { owner: to, asset }
}
