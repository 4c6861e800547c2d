import { type Address, isAccount, isAddress, parseAddress, WattError } from '@wattline/protocol'
import type { SqliteJournal } from '../ledger/sqlite-journal.ts'
import type { Database, Statement } from '../store/database.ts'
import { OwnersMoney } from './history.ts'

/** SPEC-154: which wallet speaks for an owner who has a name. The journal says so; the table is where to look it up. */
export class Bindings {
  readonly #journal: SqliteJournal
  readonly #find: Statement<[string], { address: string }>
  readonly #set: Statement<[string, string, number], unknown>
  readonly #money: OwnersMoney
  readonly #known: Statement<[string, string, string, string, string], unknown>

  constructor(db: Database, journal: SqliteJournal) {
    this.#journal = journal
    this.#money = new OwnersMoney(db)
    this.#find = db.prepare('SELECT address FROM wallet_binding WHERE owner = ?')
    this.#set = db.prepare(
      `INSERT INTO wallet_binding (owner, address, entry) VALUES (?, ?, ?)
       ON CONFLICT (owner) DO UPDATE SET address = excluded.address, entry = excluded.entry`,
    )
    this.#known = db.prepare(
      `SELECT 1 WHERE EXISTS (SELECT 1 FROM balance WHERE account IN (?, ?, ?))
       OR EXISTS (SELECT 1 FROM wallet_binding WHERE owner = ?) OR EXISTS (SELECT 1 FROM point WHERE owner = ?)`,
    )
  }

  /** The address that speaks for an account, or undefined where nobody does. */
  addressOf(account: string): Address | undefined {
    if (isAddress(account)) return account
    const address = this.#find.get(account)?.address
    return address === undefined ? undefined : parseAddress(address)
  }

  /** Whether an account can be paid: an address always, a name only where the ledger has heard of it. */
  isKnown(account: string): boolean {
    if (isAddress(account)) return true
    const accounts = [`owner:${account}`, `grid:${account}`, `eea:${account}`] as const
    if (this.#known.get(...accounts, account, account) !== undefined) return true
    return this.#money.currenciesOf(account).length > 0
  }

  /** Binds an owner to an address from now on, and gives the entry that says so. */
  bind(owner: string, address: string): number {
    const bound = parseAddress(address)
    if (!isAccount(owner)) throw new WattError('account/invalid', `owner '${owner}': not the name of an account`)
    if (isAddress(owner)) throw new WattError('account/invalid', `owner ${owner} is an address: it is its own wallet`)
    const { id } = this.#journal.append({ kind: 'wallet', note: { owner, address: bound }, postings: [] })
    this.#set.run(owner, bound, id)
    return id
  }
}
