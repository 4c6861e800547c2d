import { decodeWith, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import type { Database, Statement } from '../store/database.ts'
import { type Asset, accountsFor } from './accounts.ts'
import type { Entry } from './journal.ts'
import type { SqliteJournal } from './sqlite-journal.ts'
import { amountText, assetShape } from './transfer-order.ts'

/** The most that an owner may hold of an asset, by an operator's word. */
export interface Limit {
  readonly owner: string
  readonly asset: Asset
  /** Base units, of money minor units; absent: no limit any more. */
  readonly most?: bigint
}

const limitNote = v.strictObject({
  owner: v.pipe(v.string(), v.minLength(1), v.maxLength(64)),
  asset: assetShape,
  most: v.exactOptional(v.union([amountText, v.literal('0')])),
})

/** The limit that an entry states. */
export function readLimit(entry: Entry): Limit {
  const { most, ...rest } = decodeWith(limitNote, JSON.parse(entry.note), `entry ${entry.id}`, 'transfer/invalid')
  return { ...rest, ...(most === undefined ? {} : { most: BigInt(most) }) }
}

/**
 * SPEC-90: upper bounds of what owners hold. They refuse transfers. Energy that was measured, and what a correction gives
 * back, is booked all the same: it is there, whatever the limit.
 */
export class Bounds {
  readonly #journal: SqliteJournal
  readonly #set: Statement<[string, string, bigint, number], unknown>
  readonly #clear: Statement<[string, string], unknown>
  readonly #most: Statement<[string, string], { most: bigint }>
  readonly #incoming: Statement<[string, string], { amount: bigint | null }>

  constructor(db: Database, journal: SqliteJournal) {
    this.#journal = journal
    this.#set = db.prepare(
      `INSERT INTO account_limit (owner, asset, most, entry) VALUES (?, ?, ?, ?)
       ON CONFLICT (owner, asset) DO UPDATE SET most = excluded.most, entry = excluded.entry`,
    )
    this.#clear = db.prepare('DELETE FROM account_limit WHERE owner = ? AND asset = ?')
    this.#most = db.prepareWide('SELECT most FROM account_limit WHERE owner = ? AND asset = ?')
    this.#incoming = db.prepareWide(
      'SELECT sum(amount) AS amount FROM reservation WHERE recipient = ? AND asset = ? AND closed IS NULL',
    )
  }

  /** Sets or lifts a limit, from now on; gives its entry. */
  set({ owner, asset, most }: Limit): number {
    const note = { owner, asset, ...(most === undefined ? {} : { most: most.toString() }) }
    decodeWith(limitNote, note, 'limit', 'transfer/invalid')
    const { id } = this.#journal.append({ kind: 'limit', note, postings: [] })
    if (most === undefined) this.#clear.run(owner, asset)
    else this.#set.run(owner, asset, most, id)
    return id
  }

  /**
   * Refuses what would bring an owner above the limit. What is on its way to the owner counts as if it were there: what
   * was reserved can then always be posted.
   */
  checkRoom(
    to: { readonly owner: string; readonly asset: Asset },
    order: { readonly id: string; readonly amount: bigint },
  ): void {
    const { owner, asset } = to
    const most = this.#most.get(owner, asset)?.most
    if (most === undefined) return
    const { free, held } = accountsFor(asset)
    const incoming = this.#incoming.get(owner, asset)?.amount ?? 0n
    const has = this.#journal.balance(free(owner)) + this.#journal.balance(held(owner)) + incoming
    if (has + order.amount <= most) return
    const what = `'${owner}' has or is promised ${has} ${asset}, ${most} at most`
    throw new WattError('transfer/over-limit', `order ${order.id}: ${what}, ${order.amount} would come`)
  }
}
