import { decodeWith, WattError, type Wh } from '@wattline/protocol'
import * as v from 'valibot'
import { type Asset, accountOf, accountsFor, isAsset } from '../ledger/accounts.ts'
import { readLimit } from '../ledger/bounds.ts'
import { claimOfCorrection, correctionPostings } from '../ledger/corrections.ts'
import { genesisClaim, genesisPostings, holdersIn } from '../ledger/genesis.ts'
import type { Entry, Posting } from '../ledger/journal.ts'
import { amountText, type ReservationOrder, type TransferOrder } from '../ledger/transfer-order.ts'
import {
  checkClosing,
  checkSupply,
  claimOfExpiry,
  claimOfOrder,
  closingPostings,
  depositPostings,
  isTransferKind,
  orderIdOf,
  readClosing,
  readDeposit,
  readOrder,
  readReservation,
  recipientOf,
  reservePostings,
  transferPostings,
} from '../ledger/transfer-rules.ts'
import type { Database, Statement } from '../store/database.ts'
import type { Faults } from './report.ts'

interface ReservationRow {
  readonly entry: bigint
  readonly asset: string
  readonly recipient: string
  readonly amount: bigint
  readonly expires_at: bigint
  readonly closed: bigint | null
}

/** A reservation and the entry that made it. */
interface Reserved {
  readonly order: ReservationOrder
  readonly entry: number
}

const correctionNote = v.strictObject({
  corrects: v.number(),
  amount: v.exactOptional(amountText),
  reason: v.string(),
})

/** Works out again what every entry that no meter made must move, from what it notes and what accounts held before. */
export class TransferAudit {
  readonly #db: Database
  readonly #balanceOf: (account: string) => Wh
  readonly #entryOf: Statement<[string, number], { id: number }>
  readonly #entry: Statement<[number], Omit<Entry, 'postings'>>
  readonly #postings: Statement<[number], Posting>
  readonly #row: Statement<[string], ReservationRow>
  readonly #open = new Map<string, Reserved>()
  readonly #incoming = new Map<string, bigint>()
  readonly #limits = new Map<string, { readonly most: bigint; readonly entry: number }>()
  #reservations = 0

  constructor(db: Database, balanceOf: (account: string) => Wh) {
    this.#db = db
    this.#balanceOf = balanceOf
    this.#entryOf = db.prepare('SELECT id FROM entry WHERE claim = ? AND id < ?')
    this.#entry = db.prepare('SELECT id, at, kind, claim, point, note FROM entry WHERE id = ?')
    this.#postings = db.prepareWide('SELECT account, amount FROM posting WHERE entry = ? ORDER BY line')
    this.#row = db.prepareWide(
      'SELECT entry, asset, recipient, amount, expires_at, closed FROM reservation WHERE id = ?',
    )
  }

  /** The postings that an entry must have; throws a WattError where it must not be there at all. */
  expect(entry: Entry): readonly Posting[] {
    if (isTransferKind(entry.kind)) return this.#expectTransfer(entry)
    switch (entry.kind) {
      case 'reserve':
        return this.#expectReservation(entry)
      case 'post':
      case 'void':
      case 'expire':
        return this.#expectClosing(entry)
      case 'deposit':
        return this.#expectDeposit(entry)
      case 'issue':
        if (entry.claim !== genesisClaim) throw broken(`claim '${entry.claim}' is not the genesis`)
        return genesisPostings(holdersIn(entry.note))
      case 'correction':
        return this.#expectCorrection(entry)
      case 'limit':
        this.#takeLimit(entry)
        return []
      default:
        return []
    }
  }

  /** Compares what is left open with the tables that are kept beside the journal. */
  finish(faults: Faults): void {
    const rows = this.#db.prepare<[], { rows: number }>('SELECT count(*) AS rows FROM reservation').get()?.rows ?? 0
    if (rows !== this.#reservations) {
      faults.add('reservations', 'storage/corrupt', `${this.#reservations} by the journal, ${rows} rows`)
    }
    for (const { order, entry } of this.#open.values()) {
      const problem = this.#findOtherRow({ order, entry })
      if (problem !== undefined) faults.add(`entry ${entry}`, 'storage/corrupt', problem)
    }
    const limits = this.#db
      .prepareWide<[], { owner: string; asset: Asset; most: bigint; entry: bigint }>('SELECT * FROM account_limit')
      .all()
    for (const { owner, asset, most, entry } of limits) {
      const stated = this.#limits.get(keyOf(owner, asset))
      if (stated?.most === most && BigInt(stated.entry) === entry) continue
      const expected = stated === undefined ? 'no limit' : `at most ${stated.most} by entry ${stated.entry}`
      // Nothing says that the asset which the row names is one.
      const account = isAsset(asset) ? accountsFor(asset).free(owner) : `${asset} of ${owner}`
      faults.add(`account ${account}`, 'storage/corrupt', `${expected} expected, got ${most} by entry ${entry}`)
    }
    if (limits.length < this.#limits.size) {
      faults.add('limits', 'storage/corrupt', `${this.#limits.size} by the journal, ${limits.length} rows`)
    }
  }

  #expectTransfer(entry: Entry): readonly Posting[] {
    const order = readOrder(entry)
    if (order.kind !== entry.kind) throw broken(`its note says '${order.kind}'`)
    this.#checkOrder(order, entry)
    return transferPostings(order)
  }

  #expectDeposit(entry: Entry): readonly Posting[] {
    const order = readDeposit(entry)
    checkSupply(order, -this.#balanceOf(accountOf.moneyAdded(order.asset)))
    this.#checkRoom(order, order.amount)
    return depositPostings(order)
  }

  #expectReservation(entry: Entry): readonly Posting[] {
    const order = readReservation(entry)
    if (order.expiresAt <= entry.at) throw broken(`reserved until ${order.expiresAt}, at ${entry.at}`)
    this.#checkOrder(order, entry)
    this.#open.set(order.id, { order, entry: entry.id })
    this.#reservations++
    this.#addIncoming(order, order.amount)
    return reservePostings(order)
  }

  #expectClosing(entry: Entry): readonly Posting[] {
    const { reservation: id, amount, reference } = readClosing(entry)
    const reserved = this.#open.get(id)
    if (reserved === undefined) throw broken(`reservation ${id} is not open`)
    const { order } = reserved
    const isExpiry = entry.kind === 'expire'
    if (isExpiry !== order.expiresAt <= entry.at) throw broken(`reservation ${id} expires at ${order.expiresAt}`)
    const isNamed = isExpiry ? entry.claim === claimOfExpiry(id) : orderIdOf(entry.claim) !== undefined
    if (!isNamed) throw broken(`claim '${entry.claim}' does not fit`)
    checkClosing(order, { kind: entry.kind, claim: entry.claim, reference })
    if ((entry.kind === 'post') !== (amount !== undefined)) throw broken(`its amount is ${amount}`)
    if ((amount ?? 0n) > order.amount) throw broken(`${order.amount} were reserved, ${amount} are posted`)
    const problem = this.#findOtherRow(reserved, entry.id)
    if (problem !== undefined) throw broken(problem)
    this.#open.delete(id)
    this.#addIncoming(order, -order.amount)
    return closingPostings(order, amount ?? 0n)
  }

  #findOtherRow({ order, entry }: Reserved, closed: number | null = null): string | undefined {
    const { id, asset, amount, expiresAt } = order
    const expected = [entry, asset, recipientOf(order)?.owner ?? '', amount, expiresAt, closed ?? 'open'].join()
    const row = this.#row.get(id)
    const got = row === undefined ? 'nothing' : Object.values({ ...row, closed: row.closed ?? 'open' }).join()
    return got === expected ? undefined : `reservation ${id}: row ${expected} expected, got ${got}`
  }

  #expectCorrection(entry: Entry): readonly Posting[] {
    const note = decodeWith(correctionNote, JSON.parse(entry.note), `entry ${entry.id}`, 'journal/broken')
    const { corrects, amount } = note
    const original = corrects < entry.id ? this.#entry.get(corrects) : undefined
    if (original === undefined) throw broken(`corrects entry ${corrects}, which is not before it`)
    if (entry.claim !== claimOfCorrection(corrects)) throw broken(`claim '${entry.claim}' names another entry`)
    const undone = { ...original, postings: this.#postings.all(corrects) }
    return correctionPostings(undone, amount === undefined ? undefined : BigInt(amount), this.#balanceOf)
  }

  #takeLimit(entry: Entry): void {
    const { owner, asset, most } = readLimit(entry)
    if (most === undefined) this.#limits.delete(keyOf(owner, asset))
    else this.#limits.set(keyOf(owner, asset), { most, entry: entry.id })
  }

  #checkOrder(order: TransferOrder, entry: Entry): void {
    const reason: unknown =
      order.kind === 'fee' && order.note !== undefined ? Reflect.get(order.note, 'for') : undefined
    if (typeof reason === 'string' && this.#entryOf.get(claimOfOrder(reason), entry.id) === undefined) {
      throw broken(`a fee for '${reason}', which is no order before it`)
    }
    const recipient = recipientOf(order)
    if (recipient !== undefined) this.#checkRoom(recipient, order.amount)
  }

  #checkRoom({ owner, asset }: { readonly owner: string; readonly asset: Asset }, amount: bigint): void {
    const limit = this.#limits.get(keyOf(owner, asset))
    if (limit === undefined) return
    const { free, held } = accountsFor(asset)
    const has =
      this.#balanceOf(free(owner)) + this.#balanceOf(held(owner)) + (this.#incoming.get(keyOf(owner, asset)) ?? 0n)
    if (has + amount <= limit.most) return
    throw broken(`'${owner}' has or is promised ${has}, at most ${limit.most} by entry ${limit.entry}`)
  }

  #addIncoming(order: TransferOrder, amount: bigint): void {
    const recipient = recipientOf(order)
    if (recipient === undefined) return
    const key = keyOf(recipient.owner, recipient.asset)
    this.#incoming.set(key, (this.#incoming.get(key) ?? 0n) + amount)
  }
}

function keyOf(owner: string, asset: Asset): string {
  return `${asset} ${owner}`
}

function broken(message: string): WattError {
  return new WattError('journal/broken', message)
}
