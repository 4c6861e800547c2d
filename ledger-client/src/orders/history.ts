import {
  type Currency,
  type HoldingName,
  type Holdings,
  isCurrency,
  type NamedEntry,
  namesIn,
  toHoldings,
} from '@wattline/protocol'
import { type Entry, formatEntry, genesisHash, type Posting } from '../ledger/journal.ts'
import { orderIdOf } from '../ledger/transfer-rules.ts'
import type { Database, Statement } from '../store/database.ts'
import { traceEntry } from '../trace.ts'
import type { OrderStore } from './order-store.ts'

/** Entries of one page of a history. */
export const historyLength = 25

/** One entry that moved an account, with what proves it. */
export interface HistoryLine {
  /** What the entry's hash covers (SPEC-86), and the hash of the entry before. */
  readonly content: string
  readonly previous: string
  /** The wallet's order that it carries out, and the answer. */
  readonly order?: { readonly order: string; readonly answer: string }
  /** Energy of a meter: the signed records that it was counted between. */
  readonly records?: readonly string[]
}

/** What an owner holds at one moment, and a page of what made it so. */
export interface HistoryPage {
  readonly holdings: Holdings
  /** The journal's last entry. */
  readonly head: NamedEntry
  readonly lines: readonly (HistoryLine & { readonly name: NamedEntry })[]
  /** Whether older ones follow. */
  readonly more: boolean
}

interface Row extends Omit<Entry, 'postings'> {
  readonly previous_hash: string
  readonly hash: string
}

/** The index of postings by account is partial: only a query that says so again may use it. */
export const ofOwners = `account NOT GLOB 'minted:*' AND account NOT GLOB 'burned:*'`

/** The currencies in which owners have had money: each was deposited once. */
const currencies = `SELECT substr(account, 13) AS code FROM balance
  WHERE account >= 'money-added:' AND account < 'money-added;'`

/** Finds in which currencies owners have accounts. */
export class OwnersMoney {
  readonly #known: Statement<[string, string], { code: string }>

  constructor(db: Database) {
    this.#known = db.prepare(
      `SELECT code FROM (${currencies}) WHERE EXISTS (
         SELECT 1 FROM balance WHERE account IN ('money:' || code || ':' || ?, 'money-held:' || code || ':' || ?)
       ) ORDER BY code`,
    )
  }

  /** The currencies in which an owner has or had money. */
  currenciesOf(owner: string): readonly Currency[] {
    return this.#known.all(owner, owner).flatMap(({ code }) => (isCurrency(code) ? [code] : []))
  }
}

/** Reads what moved owners' accounts, newest first, in pages that cost the same however long the history is. */
export class History {
  readonly #db: Database
  readonly #orders: OrderStore
  readonly #money: OwnersMoney
  readonly #page: Statement<[string, number, number], { entry: number }>
  readonly #entry: Statement<[number], Row>
  readonly #postings: Statement<[number], Posting>
  readonly #balance: Statement<[string], { amount: bigint }>
  readonly #head: Statement<[], { id: number; hash: string }>

  constructor(db: Database, orders: OrderStore) {
    this.#db = db
    this.#orders = orders
    this.#money = new OwnersMoney(db)
    this.#page = db.prepare(
      `SELECT DISTINCT entry FROM posting WHERE account = ? AND entry < ? AND ${ofOwners} ORDER BY entry DESC LIMIT ?`,
    )
    this.#entry = db.prepare('SELECT id, at, kind, claim, point, note, previous_hash, hash FROM entry WHERE id = ?')
    this.#postings = db.prepareWide('SELECT account, amount FROM posting WHERE entry = ? ORDER BY line')
    this.#balance = db.prepareWide('SELECT amount FROM balance WHERE account = ?')
    this.#head = db.prepare('SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1')
  }

  /** What an owner holds now, and at most `limit` of the entries before `before` (0: the newest). All at one moment. */
  read(owner: string, { before = 0, limit = historyLength }: { before?: number; limit?: number } = {}): HistoryPage {
    return this.#db.read(() => {
      const { id = 0, hash = genesisHash } = this.#head.get() ?? {}
      const below = before === 0 ? id + 1 : before
      const holdings = this.#holdings(owner)
      const found = limit === 0 ? [] : this.#entries(owner, { holdings, below, most: limit + 1 })
      const lines = found.slice(0, limit).map((entry) => this.#line(entry))
      return { holdings, head: [id, hash], lines, more: limit === 0 || found.length > limit }
    })
  }

  #holdings(owner: string): Holdings {
    const amountOf = (name: HoldingName) => this.#balance.get(`${name}:${owner}`)?.amount ?? 0n
    return toHoldings(amountOf, this.#money.currenciesOf(owner))
  }

  // The newest of each account; of all these the newest.
  #entries(
    owner: string,
    { holdings, below, most }: { readonly holdings: Holdings; readonly below: number; readonly most: number },
  ): readonly number[] {
    const found = namesIn(holdings).flatMap((name) => this.#page.all(`${name}:${owner}`, below, most))
    return [...new Set(found.map(({ entry }) => entry))].toSorted((a, b) => b - a).slice(0, most)
  }

  #line(id: number): HistoryPage['lines'][number] {
    const row = this.#entry.get(id)
    if (row === undefined) throw new RangeError(`entry ${id}: has postings and is not there`)
    const { previous_hash: previous, hash, ...fields } = row
    const entry: Entry = { ...fields, postings: this.#postings.all(id) }
    return { name: [id, hash], content: formatEntry(entry), previous, ...this.#proofOf(entry) }
  }

  // A remainder rests on all meters below it, which are not this owner's alone: `prove` and `trace` tell of it.
  #proofOf({ id, kind, claim }: Entry): Pick<HistoryLine, 'order' | 'records'> {
    const known = this.#orders.find(orderIdOf(claim) ?? '')
    if (known !== undefined) return { order: { order: known.order, answer: known.answer } }
    if (kind !== 'claim' && kind !== 'session') return {}
    const { from, record } = traceEntry(this.#db, id)
    return { records: [from, record].flatMap((each) => (each === null ? [] : [each.text])) }
  }
}
