import { WattError } from '@wattline/protocol'
import type { Database, Statement } from '../store/database.ts'
import { type Asset, accountOf, accountsFor } from './accounts.ts'
import type { Bounds } from './bounds.ts'
import type { EntryKind } from './entry-kinds.ts'
import type { Entry, Posting } from './journal.ts'
import type { SqliteJournal } from './sqlite-journal.ts'
import {
  type DepositOrder,
  decodeDeposit,
  decodeOrder,
  decodePost,
  decodeReservation,
  decodeVoid,
  type PostOrder,
  type Receipt,
  type ReservationOrder,
  type TransferOrder,
  type VoidOrder,
} from './transfer-order.ts'
import {
  checkClosing,
  checkSupply,
  claimOfExpiry,
  claimOfOrder,
  closingPostings,
  depositPostings,
  noteOfClosing,
  noteOfDeposit,
  noteOfOrder,
  readReservation,
  recipientOf,
  reservePostings,
  transferPostings,
} from './transfer-rules.ts'

export type {
  DepositOrder,
  PostOrder,
  Receipt,
  ReservationOrder,
  TransferOrder,
  VoidOrder,
} from './transfer-order.ts'

/** Reservations that one call frees: a crowd of them must not hold up the ledger. */
const expiryBatch = 500
/** Later than any time that a reservation may name. */
const never = 2 ** 53

interface ReservationRow {
  readonly id: string
  readonly entry: number
  readonly closed: number | null
}

/** What is to be written for an order, if it has not been. */
interface Wanted {
  readonly id: string
  readonly claim: string
  readonly kind: EntryKind
  readonly note: object
  readonly amount: bigint
  /** One moment for everything that the order is judged by, and its entry's time. */
  readonly at: number
}

/**
 * Transfers between owners, in one step or in two (SPEC-89). Every call is made within a transaction of the store
 * (`db.write`); its receipt counts once that transaction is committed. A refusal throws a WattError of `transfer/...`
 * and writes nothing of the order, so its id may be used again.
 */
export class Transfers {
  readonly #journal: SqliteJournal
  readonly #bounds: Bounds
  readonly #insert: Statement<[string, number, string, string, bigint, number], unknown>
  readonly #byId: Statement<[string], ReservationRow>
  readonly #close: Statement<[number, string], unknown>
  readonly #due: Statement<[number, number], { id: string }>
  readonly #first: Statement<[], { at: number | null }>
  /** No open reservation expires before; asked again where it is absent. Each order looks here first. */
  #soonest: number | undefined

  constructor(db: Database, journal: SqliteJournal, bounds: Bounds) {
    this.#journal = journal
    this.#bounds = bounds
    this.#insert = db.prepare(
      'INSERT INTO reservation (id, entry, asset, recipient, amount, expires_at) VALUES (?, ?, ?, ?, ?, ?)',
    )
    this.#byId = db.prepare('SELECT id, entry, closed FROM reservation WHERE id = ?')
    this.#close = db.prepare('UPDATE reservation SET closed = ? WHERE id = ?')
    this.#due = db.prepare(
      'SELECT id FROM reservation WHERE closed IS NULL AND expires_at <= ? ORDER BY expires_at, entry LIMIT ?',
    )
    this.#first = db.prepare('SELECT min(expires_at) AS at FROM reservation WHERE closed IS NULL')
    db.onStale(() => {
      this.#soonest = undefined
    })
  }

  /** Moves an amount at once. */
  transfer(input: TransferOrder): Receipt {
    const order = decodeOrder(input)
    const wanted = this.#wantedOf(order, order.kind)
    return this.#repeated(wanted) ?? this.#begin(order, wanted, transferPostings(order))
  }

  /** Books money that has come from outside, on the operator's word, once. */
  deposit(input: DepositOrder): Receipt {
    const order = decodeDeposit(input)
    const { id, owner, asset, amount } = order
    const at = this.#journal.clock.now()
    const wanted: Wanted = { id, claim: claimOfOrder(id), kind: 'deposit', note: noteOfDeposit(order), amount, at }
    const known = this.#repeated(wanted)
    if (known !== undefined) return known
    this.expire(at)
    checkSupply(order, -this.#journal.balance(accountOf.moneyAdded(asset)))
    this.#bounds.checkRoom({ owner, asset }, order)
    return this.#write(wanted, depositPostings(order))
  }

  /** Puts an amount aside, to be posted until `expiresAt`. */
  reserve(input: ReservationOrder): Receipt {
    const order = decodeReservation(input)
    const wanted = this.#wantedOf(order, 'reserve')
    const known = this.#repeated(wanted)
    if (known !== undefined) return known
    checkTime(order, wanted.at)
    const receipt = this.#begin(order, wanted, reservePostings(order))
    const recipient = recipientOf(order)
    this.#insert.run(order.id, receipt.entry, order.asset, recipient?.owner ?? '', order.amount, order.expiresAt)
    if (this.#soonest !== undefined && order.expiresAt < this.#soonest) this.#soonest = order.expiresAt
    return receipt
  }

  /** Moves a reservation on, the whole or a part; the rest goes back to its owner. */
  post(id: string, input: PostOrder): Receipt {
    const { reservation, amount: asked, reference } = decodePost({ ...input, id })
    const order = this.#readReservation(reservation)
    const amount = asked ?? order.amount
    const note = noteOfClosing(reservation, amount, reference)
    const at = this.#journal.clock.now()
    const wanted: Wanted = { id, claim: claimOfOrder(id), kind: 'post', note, amount, at }
    const known = this.#repeated(wanted)
    if (known !== undefined) return known
    checkClosing(order, { ...wanted, reference })
    this.#checkOpen(order, at)
    if (amount > order.amount) {
      throw new WattError('transfer/insufficient', `post ${id}: ${order.amount} are reserved, ${amount} asked for`)
    }
    return this.#finish(order, wanted, closingPostings(order, amount))
  }

  /** Gives a reservation back to its owner. */
  void(id: string, input: VoidOrder): Receipt {
    const { reservation } = decodeVoid({ ...input, id })
    const order = this.#readReservation(reservation)
    const { amount } = order
    const [at, note] = [this.#journal.clock.now(), noteOfClosing(reservation)]
    const wanted: Wanted = { id, claim: claimOfOrder(id), kind: 'void', note, amount, at }
    const known = this.#repeated(wanted)
    if (known !== undefined) return known
    checkClosing(order, wanted)
    this.#checkOpen(order, at)
    return this.#finish(order, wanted, closingPostings(order, 0n))
  }

  /**
   * Gives back what has expired by `now`, at most 500 reservations in one call, the oldest first. `now` is the journal's
   * clock, and never ahead of it: an expiry is an entry, and its time must bear it out.
   */
  expire(now: number = this.#journal.clock.now()): readonly Receipt[] {
    const clock = this.#journal.clock.now()
    const at = now < clock ? now : clock
    if (!this.#isDue(at)) return []
    this.#soonest = undefined
    return this.#due.all(at, expiryBatch).map(({ id }) => {
      const order = this.#readReservation(id)
      const note = noteOfClosing(id)
      const wanted: Wanted = { id, claim: claimOfExpiry(id), kind: 'expire', note, amount: order.amount, at }
      return this.#finish(order, wanted, closingPostings(order, 0n))
    })
  }

  /** Whether there is anything for `expire` to do. */
  isExpiryDue(): boolean {
    return this.#isDue(this.#journal.clock.now())
  }

  /** What an owner may use of an asset, and what is reserved of it, in base units. */
  holdings(owner: string, asset: Asset): { readonly available: bigint; readonly reserved: bigint } {
    const { free, held } = accountsFor(asset)
    return { available: this.#journal.balance(free(owner)), reserved: this.#journal.balance(held(owner)) }
  }

  #isDue(at: number): boolean {
    this.#soonest ??= this.#first.get()?.at ?? never
    return this.#soonest <= at
  }

  // The id was stored with its effect: the same order again is answered from there, another one is refused.
  #repeated({ id, claim, kind, note, amount }: Wanted): Receipt | undefined {
    const known = this.#journal.find(claim)
    const entry = known === undefined ? undefined : this.#journal.read(known)
    if (entry === undefined) return undefined
    const text = JSON.stringify(note)
    if (entry.kind === kind && entry.note === text) return toReceipt(id, entry, amount, true)
    const [was, is] = [`'${entry.kind}' ${entry.note}`, `'${kind}' ${text}`]
    throw new WattError('transfer/conflict', `order ${id} is entry ${entry.id}, ${was}; now it is ${is}`)
  }

  #begin(order: TransferOrder, wanted: Wanted, postings: readonly Posting[]): Receipt {
    this.expire(wanted.at)
    this.#checkFee(order)
    const { available } = this.holdings(order.from, order.asset)
    if (available < order.amount) {
      const has = `'${order.from}' has ${available} base units of ${order.asset} available`
      throw new WattError('transfer/insufficient', `order ${order.id}: ${has}, ${order.amount} expected`)
    }
    const recipient = recipientOf(order)
    if (recipient !== undefined) this.#bounds.checkRoom(recipient, order)
    return this.#write(wanted, postings)
  }

  #finish({ id }: TransferOrder, wanted: Wanted, postings: readonly Posting[]): Receipt {
    const receipt = this.#write(wanted, postings)
    this.#close.run(receipt.entry, id)
    return receipt
  }

  #write({ id, claim, kind, note, amount, at }: Wanted, postings: readonly Posting[]): Receipt {
    return toReceipt(id, this.#journal.append({ kind, claim, at, note, postings }), amount, false)
  }

  #checkFee({ id, kind, note }: TransferOrder): void {
    const reason: unknown = kind === 'fee' && note !== undefined ? Reflect.get(note, 'for') : undefined
    if (typeof reason !== 'string' || this.#journal.find(claimOfOrder(reason)) !== undefined) return
    throw new WattError('transfer/unknown', `fee ${id}: there is no order '${reason}' that it is for`)
  }

  #readReservation(id: string): ReservationOrder {
    const row = this.#byId.get(id)
    const entry = row === undefined ? undefined : this.#journal.read(row.entry)
    if (entry === undefined) throw new WattError('transfer/unknown', `reservation ${id}: there is none`)
    return readReservation(entry)
  }

  #checkOpen(order: ReservationOrder, at: number): void {
    const closed = this.#byId.get(order.id)?.closed ?? undefined
    const closing = closed === undefined ? undefined : this.#journal.read(closed)
    if (closing === undefined) {
      checkTime(order, at)
      return
    }
    const what = `reservation ${order.id}: entry ${closing.id} ('${closing.kind}') closed it`
    throw new WattError(closing.kind === 'expire' ? 'transfer/expired' : 'transfer/settled', what)
  }

  #wantedOf(order: TransferOrder, kind: EntryKind): Wanted {
    const { id, amount } = order
    return { id, claim: claimOfOrder(id), kind, note: noteOfOrder(order), amount, at: this.#journal.clock.now() }
  }
}

function checkTime({ id, expiresAt }: ReservationOrder, at: number): void {
  if (expiresAt > at) return
  throw new WattError('transfer/expired', `reservation ${id}: expires at ${expiresAt}, it is ${at}`)
}

function toReceipt(id: string, { id: entry, at }: Entry, amount: bigint, repeated: boolean): Receipt {
  return { id, entry, at, amount, repeated }
}
