import { WattError } from '@wattline/protocol'
import type { Entry, Posting } from '../ledger/journal.ts'
import { noteOfStorage, storagePostings, storedBy } from '../ledger/storage.ts'
import { parseStorageStart } from '../ledger/storage-start.ts'

/** Checks what the journal says of storages by itself; that it is what records count, the audit of the records shows. */
export class StorageAudit {
  #last: number | undefined

  /** The postings that an entry must have by its own account; throws a WattError where it must not stand there. */
  expect(entry: Entry, point: string): readonly Posting[] {
    this.#last = entry.id
    const energy = storedBy(entry.postings, point)
    const note = JSON.stringify(noteOfStorage(energy))
    if (entry.note !== note) throw new WattError('journal/broken', `its note must be ${note}`)
    return storagePostings(point, energy)
  }

  /** Later on it would excuse records that nothing was booked for; a second one likewise. */
  checkStart(entry: Entry): void {
    parseStorageStart(entry)
    if (this.#last !== undefined) {
      throw new WattError('journal/broken', `storages were booked by entry ${this.#last}, or told to begin there`)
    }
    this.#last = entry.id
  }
}
