import { formatPublicKey, type PublicKey, WattError } from '@wattline/protocol'
import type { EnrolmentMode } from '../points/enrolment.ts'
import { claimOfOffice, type Office, type Operator } from './operator.ts'
import type { SqliteJournal } from './sqlite-journal.ts'

/** A ledger's operator and the journal that says so. */
interface Parts {
  readonly operator: Operator
  readonly journal: SqliteJournal
}

/**
 * Pins the first key that a ledger meets as its operator's, and how points are enrolled as the operator's word. Throws
 * where another key is at hand, or enrolment would change without it. The caller holds the transaction.
 */
export function takeOffice({ operator, journal }: Parts, enrolment: EnrolmentMode): void {
  const office = operator.office()
  const key = office?.key ?? operator.key
  if (key === undefined) return
  if (office?.enrolment === enrolment && operator.key === undefined) return
  operator.demand(`enrolment '${enrolment}'`)
  if (office?.enrolment !== enrolment) state(journal, office, { key, enrolment })
}

/** Names the key that signs from now on; the one before signs that. The caller holds the transaction. */
export function handOver({ operator, journal }: Parts, successor: PublicKey): Office {
  const office = operator.office()
  if (office === undefined) throw new WattError('operator/unsigned', 'no key of an operator is pinned yet')
  const key = formatPublicKey(successor)
  if (key === office.key) throw new WattError('key/exists', `...${key.slice(-16)} is the operator's key already`)
  return state(journal, office, { key, enrolment: office.enrolment })
}

function state(journal: SqliteJournal, before: Office | undefined, next: Omit<Office, 'number'>): Office {
  const office = { number: (before?.number ?? 0) + 1, ...next }
  journal.append({ kind: 'operator', claim: claimOfOffice(office.number), note: office, postings: [] })
  return office
}
