import type { Wh } from '@wattline/protocol'
import { accountOf } from './accounts.ts'
import type { Posting } from './journal.ts'

// SPEC-83: what went into a storage and what came out of it, as its meter counted it. No WATT moves. Pure: the writer,
// the audit and the checker of proofs all use it, the latter also in a browser.

/** The kind of entry that books it. */
export const storageKind = 'storage'

/** Energy between a storage and the devices around it. */
export interface StoredEnergy {
  readonly importWh: Wh
  readonly exportWh: Wh
}

/** The postings of one record of a storage. */
export function storagePostings(point: string, { importWh, exportWh }: StoredEnergy): readonly Posting[] {
  const postings: readonly Posting[] = [
    { account: accountOf.charged(point), amount: -importWh },
    { account: accountOf.discharged(point), amount: exportWh },
    { account: accountOf.stored(point), amount: importWh - exportWh },
  ]
  return postings.filter(({ amount }) => amount !== 0n)
}

/** What postings say went into a storage and came out of it. */
export function storedBy(postings: readonly Posting[], point: string): StoredEnergy {
  const sumOf = (name: string) =>
    postings.reduce((sum, { account, amount }) => (account === name ? sum + amount : sum), 0n)
  return { importWh: -sumOf(accountOf.charged(point)), exportWh: sumOf(accountOf.discharged(point)) }
}

/** What an entry of a storage notes. */
export function noteOfStorage({ importWh, exportWh }: StoredEnergy): object {
  return { importWh: importWh.toString(), exportWh: exportWh.toString() }
}
