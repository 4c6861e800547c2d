import { type PointId, WattError, type Wh } from '@wattline/protocol'
import { toPostings } from './journal.ts'
import { accountOf, type Booking, type Ledger, type NoteKind, type StorageBooking } from './ledger.ts'
import type { SqliteJournal } from './sqlite-journal.ts'
import { noteOfStorage, storageKind, storagePostings } from './storage.ts'

/** The default ledger: the journal in the same database, so that all moves in one commit. */
export class SqliteLedger implements Ledger {
  readonly #journal: SqliteJournal

  constructor(journal: SqliteJournal) {
    this.#journal = journal
  }

  book(booking: Booking): number {
    const { claim, kind, point, owner, mintWh, burnWh, note } = booking
    const known = this.find(claim)
    const { minted, burned } = accountOf
    if (known !== undefined) return this.#same(known, claim, { [minted(point)]: -mintWh, [burned(point)]: burnWh })
    if (mintWh < 0n || burnWh < 0n) {
      throw new WattError('journal/broken', `claim ${claim}: ${mintWh} to mint, ${burnWh} to burn`)
    }
    const postings = toPostings(booking, this.balance(accountOf.owner(owner)))
    return this.#journal.append({ kind, claim, point, note, postings }).id
  }

  store(booking: StorageBooking): number {
    const { claim, point, importWh, exportWh } = booking
    const known = this.find(claim)
    const { charged, discharged } = accountOf
    if (known !== undefined) {
      return this.#same(known, claim, { [charged(point)]: -importWh, [discharged(point)]: exportWh })
    }
    if (importWh < 0n || exportWh < 0n) {
      throw new WattError('journal/broken', `claim ${claim}: ${importWh} into a storage, ${exportWh} out of it`)
    }
    const postings = storagePostings(point, booking)
    return this.#journal.append({ kind: storageKind, claim, point, note: noteOfStorage(booking), postings }).id
  }

  // Twice the same is once; the same name for other energy is a bug that must not pass as done.
  #same(entry: number, claim: string, amounts: Readonly<Record<string, Wh>>): number {
    const postings = this.#journal.read(entry)?.postings ?? []
    const booked = (account: string) =>
      postings.reduce((sum, line) => (line.account === account ? sum + line.amount : sum), 0n)
    if (Object.entries(amounts).some(([account, amount]) => booked(account) !== amount)) {
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

  note(kind: NoteKind, point: PointId | null, note: object): number {
    return this.#journal.append({ kind, ...(point === null ? {} : { point }), note, postings: [] }).id
  }
}
