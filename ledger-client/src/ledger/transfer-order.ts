import { decodeWith, isCurrency, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { type Asset, type assets, isAsset } from './accounts.ts'

/**
 * What a transfer is for. `transfer`: energy, or a right to store, from one account to another. `payment`: for goods or
 * a service. `fee`: what an operator takes, its note's `for` names the order that it is charged for. `burn`: an owner
 * gives WATT up for ever; `to` is the owner, too. `withdrawal`: an owner gets money paid out, its note's `payout` tells
 * where; `to` is the owner, too.
 */
export const transferKinds = ['transfer', 'payment', 'fee', 'burn', 'withdrawal'] as const
export type TransferKind = (typeof transferKinds)[number]

const kindsByAsset: Readonly<Record<(typeof assets)[number], readonly TransferKind[]>> = {
  WATT: ['transfer', 'payment', 'fee', 'burn'],
  EEA: ['transfer'],
}

/** SPEC-88: what an asset can be used for. EEA is fixed in number and no means of payment; money is nothing else. */
export function kindsOf(asset: Asset): readonly TransferKind[] {
  return isCurrency(asset) ? ['payment', 'fee', 'withdrawal'] : kindsByAsset[asset]
}

/** What one owner sends to another. */
export interface TransferOrder {
  /** Made and stored by the client before it is sent: 1 to 128 of `A-Z a-z 0-9 . _ : / -`. Doing it twice does it once. */
  readonly id: string
  readonly asset: Asset
  /** Owners' names, not accounts. */
  readonly from: string
  readonly to: string
  /** Base units: WATT in Wh, EEA whole, money in minor units; above zero. */
  readonly amount: bigint
  readonly kind: TransferKind
  /** Kept in the journal as it is: JSON, at most 1,000 characters. */
  readonly note?: object
}

/** A reservation: nobody else may use the amount until it is posted, voided or expired. */
export interface ReservationOrder extends TransferOrder {
  /** ms since 1970, by the journal's clock. */
  readonly expiresAt: number
}

/** Moves a reservation on: the whole of it, or a part, and the rest goes back. */
export interface PostOrder {
  /** The id of the reservation. */
  readonly reservation: string
  /** The whole where it is left out. */
  readonly amount?: bigint
  /** Of a withdrawal, and of nothing else: what the payment that was made outside is known by. */
  readonly reference?: string
}

/** Money that an owner has brought from outside. */
export interface DepositOrder {
  /** As in a transfer. */
  readonly id: string
  readonly asset: Asset
  readonly owner: string
  /** Minor units of the currency, above zero. */
  readonly amount: bigint
  /** What the payment that came is known by outside: 1 to 140 characters. */
  readonly reference: string
}

/** Gives a reservation back. */
export interface VoidOrder {
  readonly reservation: string
}

/** What was done for an order. */
export interface Receipt {
  readonly id: string
  /** The journal entry that did it. */
  readonly entry: number
  /** When, in ms since 1970, by the journal's clock. */
  readonly at: number
  /** Base units moved, reserved or given back. */
  readonly amount: bigint
  /** It had been done before; this call changed nothing. */
  readonly repeated: boolean
}

/** The most that a column holds (SQLite's integer). */
export const largestAmount = 2n ** 63n - 1n
const longestNote = 1000

const id = v.pipe(v.string(), v.regex(/^[A-Za-z0-9._:/-]{1,128}$/, '1 to 128 of A-Z a-z 0-9 . _ : / - expected'))
// Half a surrogate pair would come back from the database as another character, and break the hash of its entry.
const owner = v.pipe(
  v.string(),
  v.regex(/^[^\p{Cc}\p{Cs}]{1,64}$/u, '1 to 64 characters, none of them a control character, expected'),
)
const amount = v.pipe(
  v.bigint(),
  v.minValue(1n, 'more than zero expected'),
  v.maxValue(largestAmount, 'at most 2^63 - 1 expected'),
)
/** An asset in a note or an order. */
export const assetShape = v.custom<Asset>(isAsset, 'expected WATT, EEA or the three letters of a currency')
/** What a payment outside is known by. */
const outside = v.pipe(
  v.string(),
  v.regex(/^[^\p{Cc}\p{Cs}]{1,140}$/u, '1 to 140 characters, none of them a control character, expected'),
)
/** An amount in a note or on a command line: whole base units in decimal. */
export const amountText = v.pipe(v.string(), v.regex(/^[1-9]\d{0,18}$/, 'a whole number of base units expected'))

const time = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

const orderEntries = {
  id,
  asset: assetShape,
  from: owner,
  to: owner,
  amount,
  kind: v.picklist(transferKinds),
  note: v.exactOptional(v.looseObject({})),
} as const

const orderShape = v.strictObject(orderEntries)
const reservationShape = v.strictObject({ ...orderEntries, expiresAt: time })
const postShape = v.strictObject({
  id,
  reservation: id,
  amount: v.exactOptional(amount),
  reference: v.exactOptional(outside),
})
const voidShape = v.strictObject({ id, reservation: id })
const depositShape = v.strictObject({ id, asset: assetShape, owner, amount, reference: outside })
const withdrawalNote = v.looseObject({ payout: outside })
const paidNote = v.looseObject({ payout: outside, reference: outside })

/** Checks an order, whatever made it. */
export function decodeOrder(input: unknown): TransferOrder {
  const order = checkSense(decodeWith(orderShape, input, 'transfer', 'transfer/invalid'))
  // In one step it has been paid when it is booked.
  if (order.kind === 'withdrawal') decodeWith(paidNote, order.note, `withdrawal ${order.id}: note`, 'transfer/invalid')
  return order
}

export function decodeReservation(input: unknown): ReservationOrder {
  const order = checkSense(decodeWith(reservationShape, input, 'reservation', 'transfer/invalid'))
  if (order.kind === 'withdrawal')
    decodeWith(withdrawalNote, order.note, `withdrawal ${order.id}: note`, 'transfer/invalid')
  return order
}

export function decodePost(input: unknown): PostOrder & { readonly id: string } {
  return decodeWith(postShape, input, 'post', 'transfer/invalid')
}

export function decodeVoid(input: unknown): VoidOrder & { readonly id: string } {
  return decodeWith(voidShape, input, 'void', 'transfer/invalid')
}

export function decodeDeposit(input: unknown): DepositOrder {
  const order = decodeWith(depositShape, input, 'deposit', 'transfer/invalid')
  if (isCurrency(order.asset)) return order
  throw new WattError('transfer/invalid', `deposit ${order.id}: ${order.asset} does not come from outside`)
}

/** Whether what is taken from an owner goes to nobody else here. */
function isOut({ kind }: TransferOrder): boolean {
  return kind === 'burn' || kind === 'withdrawal'
}

// What the shape cannot say.
function checkSense<T extends TransferOrder>(order: T): T {
  const { asset, kind, from, to, note } = order
  const refuse = (reason: string) => new WattError('transfer/invalid', `transfer ${order.id}: ${reason}`)
  if (!kindsOf(asset).includes(kind)) throw refuse(`${asset} cannot be moved as '${kind}'`)
  if (isOut(order) && from !== to) throw refuse(`a '${kind}' of '${from}' goes to nobody, got '${to}'`)
  if (!isOut(order) && from === to) throw refuse(`from and to are both '${from}'`)
  if (kind === 'fee' && typeof Reflect.get(note ?? {}, 'for') !== 'string') {
    throw refuse("its note's 'for' names no order")
  }
  if (note === undefined) return order
  const length = lengthOf(note)
  if (length === undefined || length > longestNote) {
    throw refuse(`a note of at most ${longestNote} characters of JSON expected, got ${length ?? 'none'}`)
  }
  return order
}

function lengthOf(note: object): number | undefined {
  try {
    return JSON.stringify(note).length
  } catch {
    return undefined // a bigint or a circle within: no JSON
  }
}
