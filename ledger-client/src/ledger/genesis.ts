import { WattError } from '@wattline/protocol'
import { accountOf, accountsFor } from './accounts.ts'
import type { Posting } from './journal.ts'
import type { SqliteJournal } from './sqlite-journal.ts'

/** SPEC-92: all EEA that there will ever be. */
export const eeaSupply = 700_000_000n

/** What each of the five first holders gets of it, in percent, in the order of the config. */
export const eeaShares = [30n, 35n, 20n, 10n, 5n] as const

/** The claim of the one entry that issues EEA. */
export const genesisClaim = 'genesis:EEA'

/** The postings of the genesis. Pure: the audit repeats it. */
export function genesisPostings(holders: readonly string[]): readonly Posting[] {
  const shares = eeaShares.map((percent, at) => ({
    account: accountsFor('EEA').free(holders[at] ?? ''),
    amount: (eeaSupply * percent) / 100n,
  }))
  return [{ account: accountOf.eeaIssued, amount: -eeaSupply }, ...shares]
}

/** The holders that a genesis entry names. */
export function holdersIn(note: string): readonly string[] {
  const content: unknown = JSON.parse(note)
  const holders: unknown = typeof content === 'object' && content !== null ? Reflect.get(content, 'holders') : undefined
  return Array.isArray(holders) ? holders.filter((each) => typeof each === 'string') : []
}

/**
 * Issues EEA, once and for ever: asked again for the same holders it gives the entry that did it, for others it
 * refuses.
 */
export function issueEea(journal: SqliteJournal, holders: readonly string[]): number {
  const known = journal.find(genesisClaim)
  if (known === undefined) {
    if (new Set(holders).size !== eeaShares.length) {
      throw new WattError(
        'config/invalid',
        `EEA: ${eeaShares.length} different holders expected, got '${holders.join("', '")}'`,
      )
    }
    const note = { holders }
    return journal.append({ kind: 'issue', claim: genesisClaim, note, postings: genesisPostings(holders) }).id
  }
  const first = holdersIn(journal.read(known)?.note ?? '{}')
  if (first.join('\n') === holders.join('\n')) return known
  const [was, is] = [first, holders].map((names) => names.join(', '))
  throw new WattError('asset/issued', `EEA was issued in entry ${known} to ${was}; it is not issued again, to ${is}`)
}
