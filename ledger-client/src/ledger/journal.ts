import { hash } from 'node:crypto'
import type { Wh } from '@wattline/protocol'
import { accountOf } from './accounts.ts'
import type { Booking } from './ledger.ts'

/** One account's part of an entry, in base units. */
export interface Posting {
  readonly account: string
  readonly amount: Wh
}

/** One entry of the journal. */
export interface Entry {
  /** Counts up by one from 1. */
  readonly id: number
  /** When it was made, in ms since 1970. */
  readonly at: number
  readonly kind: string
  readonly claim: string | null
  readonly point: string | null
  /** JSON. */
  readonly note: string
  readonly postings: readonly Posting[]
}

/** What the first entry names as its predecessor. */
export const genesisHash = '0'.repeat(64)

/**
 * SPEC-86: SHA-256, in hex, of the previous entry's hash followed by the entry as a JSON array
 * `[id, at, kind, claim, point, note, [[account, amount], ...]]` with amounts as decimal strings, in UTF-8.
 */
export function hashEntry(previousHash: string, entry: Entry): string {
  const postings = entry.postings.map(({ account, amount }) => [account, amount.toString()])
  const content = [entry.id, entry.at, entry.kind, entry.claim, entry.point, entry.note, postings]
  return hash('sha256', previousHash + JSON.stringify(content))
}

/** The facts of a booking that its postings follow from. */
export type BookingFacts = Pick<Booking, 'point' | 'owner' | 'mintWh' | 'burnWh'>

/**
 * SPEC-85. A burn takes the owner's WATT while it lasts, what the same claim minted included; the rest is a shortfall
 * on the grid account. `balance` is the owner's WATT before the claim.
 */
export function toPostings({ point, owner, mintWh, burnWh }: BookingFacts, balance: Wh): readonly Posting[] {
  const available = balance + mintWh
  const fromOwner = burnWh < available ? burnWh : available
  const postings: readonly Posting[] = [
    { account: accountOf.owner(owner), amount: mintWh - fromOwner },
    { account: accountOf.grid(owner), amount: fromOwner - burnWh },
    { account: accountOf.minted(point), amount: -mintWh },
    { account: accountOf.burned(point), amount: burnWh },
  ]
  return postings.filter(({ amount }) => amount !== 0n)
}
