import { type Clock, WattError, type Wh } from '@wattline/protocol'
import type { Database, Statement } from '../store/database.ts'
import { isWithinBounds } from './accounts.ts'
import { type EntryKind, findBreach, findImbalance } from './entry-kinds.ts'
import { type Entry, genesisHash, hashEntry, type Posting } from './journal.ts'
import { isOperatorsAct, type Operator } from './operator.ts'

/** An entry before it has its place in the chain. */
export interface Draft {
  readonly kind: EntryKind
  /** Names it for ever; there is one entry of a claim. */
  readonly claim?: string
  readonly point?: string
  /** The clock's time that the entry was judged at, in ms since 1970; now where it is left out. */
  readonly at?: number
  readonly note: object
  readonly postings: readonly Posting[]
}

interface Head {
  readonly id: number
  readonly hash: string
}

type EntryRow = Omit<Entry, 'postings'>

/**
 * The hash-chained double-entry journal in SQLite (SPEC-86). Everything is part of the transaction that the caller
 * holds: entries of one commit are durable together or not at all.
 */
export class SqliteJournal {
  readonly clock: Clock
  readonly #operator: Operator | undefined
  readonly #lastEntry: Statement<[], Head>
  readonly #byClaim: Statement<[string], { id: number }>
  readonly #byId: Statement<[number], EntryRow>
  readonly #insertEntry: Statement<
    [number, number, string, string | null, string | null, string, string, string],
    unknown
  >
  readonly #insertPosting: Statement<[number, number, string, bigint], unknown>
  readonly #postings: Statement<[number], Posting>
  readonly #readBalance: Statement<[string], { amount: bigint }>
  readonly #writeBalance: Statement<[string, bigint], unknown>
  readonly #balances = new Map<string, Wh>()
  readonly #changed = new Set<string>()
  #head: Head | undefined

  /** Without an operator nothing is signed: for whoever writes what needs no word of one. */
  constructor(db: Database, clock: Clock, operator?: Operator) {
    this.clock = clock
    this.#operator = operator
    this.#lastEntry = db.prepare('SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1')
    this.#byClaim = db.prepare('SELECT id FROM entry WHERE claim = ?')
    this.#byId = db.prepare('SELECT id, at, kind, claim, point, note FROM entry WHERE id = ?')
    this.#insertEntry = db.prepare(
      'INSERT INTO entry (id, at, kind, claim, point, note, previous_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    )
    this.#insertPosting = db.prepare('INSERT INTO posting (entry, line, account, amount) VALUES (?, ?, ?, ?)')
    this.#postings = db.prepareWide('SELECT account, amount FROM posting WHERE entry = ? ORDER BY line')
    this.#readBalance = db.prepareWide('SELECT amount FROM balance WHERE account = ?')
    this.#writeBalance = db.prepare(
      'INSERT INTO balance (account, amount) VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET amount = excluded.amount',
    )
    db.onStale(() => {
      this.#head = undefined
      this.#balances.clear()
      this.#changed.clear()
    })
    db.onCommit(() => this.#flush())
  }

  /** The entry of a claim. */
  find(claim: string): number | undefined {
    return this.#byClaim.get(claim)?.id
  }

  read(id: number): Entry | undefined {
    const row = this.#byId.get(id)
    return row === undefined ? undefined : { ...row, postings: this.#postings.all(id) }
  }

  /** What an account holds, in base units. */
  balance(account: string): Wh {
    const cached = this.#balances.get(account)
    if (cached !== undefined) return cached
    const amount = this.#readBalance.get(account)?.amount ?? 0n
    this.#balances.set(account, amount)
    return amount
  }

  /** Writes an entry at the end. One that breaks a rule is a bug: it throws, and nothing of it is written. */
  append(draft: Draft): Entry {
    const { kind, claim = null, point = null, at = this.clock.now(), note, postings } = draft
    this.#check(kind, claim, postings)
    const act = isOperatorsAct({ kind, claim, note })
    if (act) this.#operator?.demand(`${kind} ${claim ?? point ?? ''}`.trim())
    const previous = this.#head ?? this.#lastEntry.get() ?? { id: 0, hash: genesisHash }
    const id = previous.id + 1
    const entry: Entry = { id, at, kind, claim, point, note: JSON.stringify(note), postings }
    const hash = hashEntry(previous.hash, entry)
    this.#insertEntry.run(id, entry.at, kind, claim, point, entry.note, previous.hash, hash)
    for (const [line, { account, amount }] of postings.entries()) {
      this.#insertPosting.run(id, line, account, amount)
      this.#balances.set(account, this.balance(account) + amount)
      this.#changed.add(account)
    }
    if (act) this.#operator?.sign(id, hash)
    this.#head = { id, hash }
    return entry
  }

  #check(kind: EntryKind, claim: string | null, postings: readonly Posting[]): void {
    const breach = findBreach(kind, postings)
    if (breach !== undefined) throw new WattError('journal/broken', `claim ${claim}: ${breach}`)
    const imbalance = findImbalance(postings)
    if (imbalance !== undefined) {
      throw new WattError('journal/unbalanced', `claim ${claim}: ${imbalance.asset} postings sum to ${imbalance.sum}`)
    }
    for (const { account, amount } of postings) {
      const after = this.balance(account) + amount
      if (isWithinBounds(account, after)) continue
      throw new WattError('journal/broken', `claim ${claim}: '${account}' would hold ${after}`)
    }
  }

  // Balances change many times in a batch and are written once, in the same commit as the entries.
  #flush(): void {
    for (const account of this.#changed) this.#writeBalance.run(account, this.balance(account))
    this.#changed.clear()
  }
}
