import type { Transfer } from '@wattline/protocol'
import type { Database, Statement } from '../store/database.ts'

/** One answered order, as it is kept: both texts prove themselves. */
export interface AnsweredOrder {
  /** Counts all answered orders of this ledger. */
  readonly seq: number
  readonly order: string
  readonly answer: string
}

/** Orders of one page of a history. */
export const pageLength = 20

/** The table of orders: each with the one answer that it got, in the transaction that carried it out (SPEC-153). */
export class OrderStore {
  readonly #insert: Statement<[string, string, number, string, string, string], unknown>
  readonly #byId: Statement<[string], AnsweredOrder & { account: string; other: string }>
  readonly #byNonce: Statement<[string, number], AnsweredOrder>
  readonly #last: Statement<[string], { nonce: number | null }>
  readonly #page: Statement<[string, string, number, number], AnsweredOrder>

  constructor(db: Database) {
    this.#insert = db.prepare(
      'INSERT INTO signed_order (id, account, nonce, other, text, answer) VALUES (?, ?, ?, ?, ?, ?)',
    )
    const columns = 'seq, text AS "order", answer'
    this.#byId = db.prepare(`SELECT ${columns}, account, other FROM signed_order WHERE id = ?`)
    this.#byNonce = db.prepare(`SELECT ${columns} FROM signed_order WHERE account = ? AND nonce = ?`)
    this.#last = db.prepare('SELECT max(nonce) AS nonce FROM signed_order WHERE account = ?')
    this.#page = db.prepare(
      `SELECT ${columns} FROM signed_order WHERE (account = ? OR other = ?) AND seq > ? ORDER BY seq LIMIT ?`,
    )
  }

  add({ id, account, nonce, text }: Transfer, other: string, answer: string): void {
    this.#insert.run(id, account, nonce, other, text, answer)
  }

  find(id: string): (AnsweredOrder & { readonly account: string; readonly other: string }) | undefined {
    return this.#byId.get(id)
  }

  at(account: string, nonce: number): AnsweredOrder | undefined {
    return this.#byNonce.get(account, nonce)
  }

  /** The nonce of an account's last answered order; 0 where there is none. */
  lastNonce(account: string): number {
    return this.#last.get(account)?.nonce ?? 0
  }

  /** Answered orders of or to an account, oldest first, after a place in the table. */
  page(account: string, after: number): readonly AnsweredOrder[] {
    return this.#page.all(account, account, after, pageLength)
  }
}
