import { type PointId, WattError, type Wh } from '@wattline/protocol'
import { toPostings } from './journal.ts'
import { accountOf, type Booking, type Ledger, type NoteKind } from './ledger.ts'
import type { SqliteJournal } from './sqlite-journal.ts'

/** The default ledger: the journal in the same database, so that all moves in one commit. */
export class SqliteLedger implements Ledger {
  readonly #journal: SqliteJournal

  constructor(journal: SqliteJournal) {
    this.#journal = journal
  }

  book(booking: Booking): number {
    const { claim, kind, point, owner, mintWh, burnWh, note } = booking
    const known = this.find(claim)
    if (known !== undefined) return this.#same(known, booking)
    if (mintWh < 0n || burnWh < 0n) {
      throw new WattError('journal/broken', `claim ${claim}: ${mintWh} to mint, ${burnWh} to burn`)
    }
    const postings = toPostings(booking, this.balance(accountOf.owner(owner)))
    return this.#journal.append({ kind, claim, point, note, postings }).id
  }

  // Twice the same is once; the same name for other energy is a bug that must not pass as done.
  #same(entry: number, { claim, point, mintWh, burnWh }: Booking): number {
    const postings = this.#journal.read(entry)?.postings ?? []
    const booked = (account: string) =>
      postings.reduce((sum, line) => (line.account === account ? sum + line.amount : sum), 0n)
    if (booked(accountOf.minted(point)) !== -mintWh || booked(accountOf.burned(point)) !== burnWh) {
      throw new WattError('journal/broken', `claim ${claim} is booked in entry ${entry} with other energy`)
    }
    return entry
  }

  find(claim: string): number | undefined {
    return this.#journal.find(claim)
  }

  balance(account: string): Wh {
    return this.#journal.balance(account)
  }

  note(kind: NoteKind, point: PointId, note: object): number {
    return this.#journal.append({ kind, point, note, postings: [] }).id
  }
}
