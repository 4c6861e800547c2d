import { type Clock, type PointId, WattError, type Wh } from '@wattline/protocol'
import type { Database, Statement } from '../store/database.ts'
import { type Entry, genesisHash, hashEntry, type Posting, sumOf, toPostings } from './journal.ts'
import { accountOf, type Booking, type Ledger, type NoteKind } from './ledger.ts'

interface Head {
  readonly id: number
  readonly hash: string
}

/** The default ledger: a hash-chained double-entry journal in the same database, so that all moves in one commit. */
export class SqliteLedger implements Ledger {
  readonly #clock: Clock
  readonly #lastEntry: Statement<[], Head>
  readonly #byClaim: Statement<[string], { id: number }>
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

  constructor(db: Database, clock: Clock) {
    this.#clock = clock
    this.#lastEntry = db.prepare('SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1')
    this.#byClaim = db.prepare('SELECT id FROM entry WHERE claim = ?')
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

  book(booking: Booking): number {
    const known = this.find(booking.claim)
    if (known !== undefined) return this.#same(known, booking)
    if (booking.mintWh < 0n || booking.burnWh < 0n) {
      throw new WattError(
        'journal/broken',
        `claim ${booking.claim}: ${booking.mintWh} to mint, ${booking.burnWh} to burn`,
      )
    }
    const postings = toPostings(booking, this.balance(accountOf.owner(booking.owner)))
    return this.#append(booking.kind, booking.claim, booking.point, booking.note, postings)
  }

  // Twice the same is once; the same name for other energy is a bug that must not pass as done.
  #same(entry: number, { claim, point, mintWh, burnWh }: Booking): number {
    const booked = (account: string) =>
      this.#postings.all(entry).reduce((sum, line) => (line.account === account ? sum + line.amount : sum), 0n)
    if (booked(accountOf.minted(point)) !== -mintWh || booked(accountOf.burned(point)) !== burnWh) {
      throw new WattError('journal/broken', `claim ${claim} is booked in entry ${entry} with other energy`)
    }
    return entry
  }

  find(claim: string): number | undefined {
    return this.#byClaim.get(claim)?.id
  }

  balance(account: string): Wh {
    const cached = this.#balances.get(account)
    if (cached !== undefined) return cached
    const amount = this.#readBalance.get(account)?.amount ?? 0n
    this.#balances.set(account, amount)
    return amount
  }

  note(kind: NoteKind, point: PointId | null, note: object): number {
    return this.#append(kind, null, point, note, [])
  }

  #append(
    kind: string,
    claim: string | null,
    point: PointId | null,
    note: object,
    postings: readonly Posting[],
  ): number {
    if (sumOf(postings) !== 0n) {
      throw new WattError('journal/unbalanced', `claim ${claim}: postings sum to ${sumOf(postings)}`)
    }
    const previous = this.#head ?? this.#lastEntry.get() ?? { id: 0, hash: genesisHash }
    const entry: Entry = {
      id: previous.id + 1,
      at: this.#clock.now(),
      kind,
      claim,
      point,
      note: JSON.stringify(note),
      postings,
    }
    const hash = hashEntry(previous.hash, entry)
    this.#insertEntry.run(entry.id, entry.at, kind, claim, point, entry.note, previous.hash, hash)
    for (const [line, { account, amount }] of postings.entries()) {
      this.#insertPosting.run(entry.id, line, account, amount)
      this.#balances.set(account, this.balance(account) + amount)
      this.#changed.add(account)
    }
    this.#head = { id: entry.id, hash }
    return entry.id
  }

  // Balances change many times in a batch and are written once, in the same commit as the entries.
  #flush(): void {
    for (const account of this.#changed) this.#writeBalance.run(account, this.balance(account))
    this.#changed.clear()
  }
}
