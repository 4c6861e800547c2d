import { type Clock, decodeWith, type ErrorCode, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'
import { type Place, type PointRow, updateHead } from './points.ts'

/** Gives out epochs: the time at which they are opened, and greater than every one before (SPEC-30). */
export interface Epochs {
  /** The highest epoch known here. */
  highest(): number
  /** A new epoch, above `atLeast` as well. */
  next(atLeast?: number): number
}

/** One counter for all metering points: an epoch is then new for each of them, whatever the clock does. */
export function countEpochs(clock: Clock, highestEpoch: number): Epochs {
  let highest = highestEpoch
  return {
    highest: () => highest,
    next: (atLeast = 0) => {
      highest = Math.max(clock.now(), highest + 1, atLeast + 1)
      return highest
    },
  }
}

/** Lets a metering point sign on in a new epoch, right after its last record. */
export function openEpochAtHead(store: Store, row: PointRow, epoch: number): void {
  updateHead(store, row.number, { ...row, epoch })
}

const pagesShape = v.object({
  page_f: integerBetween(0, Number.MAX_SAFE_INTEGER),
  page_t: integerBetween(0, Number.MAX_SAFE_INTEGER),
})

/**
 * Lets a metering point sign on in a new epoch, right after the last record that the ledger has accepted. What was
 * signed after it can never be accepted any more: it is kept, with the code that says why. Returns how many these are.
 */
export function openEpochAfterAcknowledged(
  store: Store,
  row: PointRow,
  {
    epoch,
    code,
    certificateHash,
  }: { readonly epoch: number; readonly code: ErrorCode; readonly certificateHash: string },
): number {
  const { acknowledged } = row
  const { changes } = store
    .sql(`UPDATE records SET rejected = ? WHERE point = ? AND (epoch, sequence) > (?, ?) AND rejected IS NULL`)
    .run(code, row.number, acknowledged.epoch, acknowledged.sequence)
  const pages = readPages(store, row, acknowledged)
  const headHash = acknowledged.sequence === 0 ? certificateHash : acknowledged.hash
  updateHead(store, row.number, { epoch, sequence: acknowledged.sequence, headHash, ...pages })
  return changes
}

function readPages(store: Store, row: PointRow, place: Place): { pageF: number; pageT: number } {
  if (place.sequence === 0) return { pageF: 0, pageT: 0 }
  const found = store
    .sql('SELECT page_f, page_t FROM records WHERE point = ? AND epoch = ? AND sequence = ?')
    .get(row.number, place.epoch, place.sequence)
  // Of a place that is no longer kept the pages are forgotten; counting on from the last ones uses none twice.
  if (found === undefined) return { pageF: row.pageF, pageT: row.pageT }
  const pages = decodeWith(pagesShape, found, `${store.path}: records of '${row.point}'`, 'storage/corrupt')
  return { pageF: pages.page_f, pageT: pages.page_t }
}
