import { isAddress, WattError } from '@wattline/protocol'
import type { LedgerEngine } from '../engine.ts'
import type { Asset } from '../ledger/accounts.ts'
import type { Entry } from '../ledger/journal.ts'
import { claimOfOrder, readReservation } from '../ledger/transfer-rules.ts'
import type { DepositOrder, Receipt, ReservationOrder } from '../ledger/transfers.ts'
import type { Database } from '../store/database.ts'
import { parseAmount } from './amounts.ts'

// What an operator does with money that comes from outside and goes there. The payments themselves are made elsewhere:
// here stands the operator's signed word on them (SPEC-157).

/** A withdrawal that waits for its payment. */
export interface WaitingWithdrawal {
  /** The id of the order that reserved it. */
  readonly reservation: string
  readonly entry: number
  readonly owner: string
  readonly asset: Asset
  /** Minor units. */
  readonly amount: bigint
  readonly payout: string
  /** When it goes back to its owner, in ms since 1970: what is paid must be posted before. */
  readonly heldUntil: number
}

/** A withdrawal in one step: it has been paid. */
export interface PaidWithdrawal extends DepositOrder {
  /** Where to. */
  readonly payout: string
}

type Engine = Pick<LedgerEngine, 'transfers' | 'bindings' | 'journal'>

/** Books money that has come for an owner whom the ledger knows. */
export function deposit({ transfers, bindings }: Engine, order: DepositOrder): Receipt {
  // Money of a mistyped name would be nobody's.
  if (bindings.isKnown(order.owner)) return transfers.deposit(order)
  throw new WattError('transfer/unknown', `account '${order.owner}': nobody here has that name`)
}

/** Books what was paid out to an owner with a name. What an address holds moves by its key's order alone (SPEC-154). */
export function withdraw({ transfers }: Engine, { owner, payout, reference, ...order }: PaidWithdrawal): Receipt {
  if (isAddress(owner)) {
    throw new WattError('transfer/forbidden', `account ${owner}: only its own key orders a withdrawal`)
  }
  return transfers.transfer({ ...order, from: owner, to: owner, kind: 'withdrawal', note: { payout, reference } })
}

/** What was paid of a withdrawal. */
export interface PaidReservation {
  readonly reservation: string
  /** In the currency's own unit, as `12.50`; all of it if left out, else the rest goes back. */
  readonly amount?: string
  readonly reference: string
}

/** Tells that a withdrawal was paid. Named after it, so however often this is said, it is booked once. */
export function postWithdrawal(engine: Engine, { reservation, amount, reference }: PaidReservation): Receipt {
  const { asset } = findWithdrawal(engine, reservation)
  const part = amount === undefined ? {} : { amount: parseAmount(amount, asset) }
  return engine.transfers.post(`paid/${reservation}`, { reservation, reference, ...part })
}

/** Gives back what will not be paid. */
export function voidWithdrawal(engine: Engine, reservation: string): Receipt {
  findWithdrawal(engine, reservation)
  return engine.transfers.void(`unpaid/${reservation}`, { reservation })
}

// Other reservations are not the operator's to end.
function findWithdrawal({ journal }: Engine, reservation: string): ReservationOrder {
  const entry = journal.read(journal.find(claimOfOrder(reservation)) ?? 0)
  const order = entry?.kind === 'reserve' ? readReservation(entry) : undefined
  if (order?.kind === 'withdrawal') return order
  throw new WattError('transfer/unknown', `withdrawal ${reservation}: there is none`)
}

/** The withdrawals that are held at a moment, the one that ends first first. */
export function readWithdrawals(db: Database, now: number): readonly WaitingWithdrawal[] {
  const entries = db.prepare<[number], Omit<Entry, 'postings'>>(
    `SELECT entry.id, at, kind, claim, point, note FROM reservation JOIN entry ON entry.id = reservation.entry
     WHERE closed IS NULL AND expires_at > ? AND json_extract(note, '$.kind') = 'withdrawal'
     ORDER BY expires_at, entry.id`,
  )
  return entries.all(now).map((entry) => {
    const order = readReservation({ ...entry, postings: [] })
    const { id: reservation, from: owner, asset, amount, note = {}, expiresAt: heldUntil } = order
    const payout = String(Reflect.get(note, 'payout'))
    return { reservation, entry: entry.id, owner, asset, amount, payout, heldUntil }
  })
}
