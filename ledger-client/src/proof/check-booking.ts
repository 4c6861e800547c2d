import {
  formatKwh,
  makeClaim,
  type OcmfRecord,
  type PointId,
  type SessionStep,
  WattError,
  type Wh,
} from '@wattline/protocol'
import { accountOf } from '../ledger/accounts.ts'
import { findBreach } from '../ledger/entry-kinds.ts'
import { type StoredEnergy, storageKind, storagePostings, storedBy } from '../ledger/storage.ts'
import { chargeRecord, countRecord } from '../mint.ts'
import type { Terms } from '../points/registry.ts'
import { type EntryContent, movedBy, parseTerms, type StatedTerms } from './entry-content.ts'

// Whether an entry books what the signed registers say (SPEC-83, SPEC-87, SPEC-88). Runs in a browser too.

/** What is proven so far: signed records and entries that are in the journal. */
export interface Booked {
  readonly point: string
  readonly booking: EntryContent
  /** The terms that the entry was booked by. */
  readonly stated: EntryContent
  /** What was stated before, as far as it is at hand; oldest first. */
  readonly before: readonly EntryContent[]
  readonly last: OcmfRecord
  readonly first: OcmfRecord | undefined
  /** The records between the two; absent where they are not all at hand. */
  readonly between: readonly OcmfRecord[] | undefined
}

/** In plain words: what follows from it, and what does not. */
export interface Explanation {
  readonly proven: readonly string[]
  readonly open: readonly string[]
}

/** Works out what the two records book, and compares. Throws where they contradict each other. */
export function explainBooking(facts: Booked): Explanation {
  const { point, booking, stated, last } = facts
  const claim = `${point}#${last.epoch}/${last.sequence}`
  if (booking.claim !== claim)
    throw mismatch(`it books '${booking.claim ?? 'nothing'}', the record's claim is '${claim}'`)
  const sum = booking.postings.reduce((total, { amount }) => total + amount, 0n)
  if (sum !== 0n) throw mismatch(`its postings sum to ${sum}`)
  const breach = findBreach(booking.kind, booking.postings)
  if (breach !== undefined) throw mismatch(breach)
  const { mintWh, burnWh } = movedBy(booking, point)
  const what = describeMove(mintWh, burnWh)
  const terms = readTerms(facts, stated)
  const whose = `'${terms.owner}' (${terms.role} by journal entry ${stated.id})`
  const open = [
    `that no later terms than those of entry ${stated.id} were in force, and that no other entry books the same record or takes this one back: ` +
      "'wattline-ledger verify' goes through all entries, for whoever has the ledger's data",
  ]
  if (booking.kind === 'remainder') {
    checkAccounts(booking, point, terms.owner)
    const proven = [`is in the journal and ${what}, the remainder of the meter of ${whose}; its postings sum to zero`]
    return { proven, open: [...open, 'how large the remainder is: it rests on the records of the points below'] }
  }
  if (booking.kind === storageKind) return { proven: [explainStorage(facts, terms, whose)], open }
  const expected = claimOf(facts, terms, { mintWh, burnWh })
  if (expected.mintWh !== mintWh || expected.burnWh !== burnWh) {
    const registers = describeMove(expected.mintWh, expected.burnWh)
    throw mismatch(`it ${what}; by the registers of the two records it ${registers}`)
  }
  const account = payerOf(facts, terms, expected.bill)
  checkAccounts(booking, point, account)
  const session = booking.kind === 'session' ? `, a session that '${account}' pays` : ''
  return {
    proven: [
      `is in the journal and ${what} for ${whose}${session}: exactly the energy between the two registers, at ` +
        '1 WATT for 1 kWh; its postings sum to zero',
    ],
    open,
  }
}

// Every posting follows from the energy, so nothing else can stand in the entry: no WATT, and nobody's account.
function explainStorage(facts: Booked, terms: StatedTerms, whose: string): string {
  const { point, booking } = facts
  const told = storedBy(booking.postings, point)
  if (terms.role !== 'storage') throw mismatch(`it books a storage; the meter is that of ${whose}`)
  const energies = countByFuses(facts, terms).map((energy) => ({ importWh: energy.import, exportWh: energy.export }))
  const isCounted = energies.some(({ importWh, exportWh }) => importWh === told.importWh && exportWh === told.exportWh)
  if (!isCounted) {
    const registers = describeStored(energies[0] ?? { importWh: 0n, exportWh: 0n })
    throw mismatch(`it says that ${describeStored(told)}; by the registers of the two records ${registers}`)
  }
  const wanted = storagePostings(point, told)
  const isExact = wanted.every(({ account, amount }, at) => {
    const line = booking.postings[at]
    return line?.account === account && line.amount === amount
  })
  if (!isExact || booking.postings.length !== wanted.length) throw mismatch('it moves more than its storage')
  return (
    `is in the journal and says that ${describeStored(told)}, of ${whose}: exactly the energy between the two ` +
    'registers; no WATT moved, and its postings sum to zero'
  )
}

function describeStored({ importWh, exportWh }: StoredEnergy): string {
  return `${formatKwh(importWh)} kWh went into the storage and ${formatKwh(exportWh)} kWh came out of it`
}

// SPEC-87: a driver pays for what a pair of marks that both name him encloses, and for nothing else.
function payerOf({ booking: { kind }, between }: Booked, { owner }: StatedTerms, bill: SessionStep['bill']): string {
  if (kind === 'session') {
    if (bill === undefined) throw mismatch('it bills a session; the two records are not begin and end of one')
    return bill.driver ?? owner
  }
  if (kind !== 'claim') throw mismatch(`'${kind}' books no record`)
  // What the records between say may break a pair; without them it is the ledger's word that something did.
  if (bill !== undefined && between !== undefined) throw mismatch('it bills nobody for a session that is sound')
  return owner
}

function mismatch(message: string): WattError {
  return new WattError('proof/mismatch', message)
}

function describeMove(mintWh: Wh, burnWh: Wh): string {
  const parts = [
    ...(mintWh === 0n ? [] : [`mints ${formatKwh(mintWh)} WATT`]),
    ...(burnWh === 0n ? [] : [`burns ${formatKwh(burnWh)} WATT`]),
  ]
  return parts.length === 0 ? 'moves nothing' : parts.join(' and ')
}

function readTerms({ point, booking }: Booked, stated: EntryContent): StatedTerms {
  if (stated.point !== point || stated.id >= booking.id) {
    throw mismatch(`entry ${stated.id} (${stated.kind} of '${stated.point}') states no terms for it`)
  }
  return parseTerms(stated)
}

// A fuse that was changed on the way judges only what came after it: what fits under either is what was booked.
function claimOf(facts: Booked, terms: StatedTerms, booked: Moved): Moved & Pick<SessionStep, 'bill'> {
  const claims = countByFuses(facts, terms).map(({ bill, ...energy }) => {
    const claim = makeClaim(facts.point as PointId, terms.role, facts.last, energy)
    return { ...claim, ...(bill === undefined ? {} : { bill }) }
  })
  const isBooked = ({ mintWh, burnWh }: Moved) => mintWh === booked.mintWh && burnWh === booked.burnWh
  return claims.find(isBooked) ?? claims[0] ?? { mintWh: 0n, burnWh: 0n }
}

function countByFuses(facts: Booked, terms: StatedTerms): readonly Counted[] {
  const powers = [terms, ...facts.before.map(parseTerms)].flatMap(({ maxPowerW }) => maxPowerW ?? [])
  return powers.map((maxPowerW) => countBetween(facts, { ...terms, maxPowerW }))
}

interface Moved {
  readonly mintWh: Wh
  readonly burnWh: Wh
}

interface Counted extends Pick<SessionStep, 'bill'> {
  readonly import: Wh
  readonly export: Wh
}

// The same rules by which the ledger counts: a record books its own difference, a charging point's mark what its session
// has counted. Where the records between are not at hand, the registers of the two alone must give the energy.
function countBetween({ first, between, last }: Booked, stated: StatedTerms): Counted {
  const terms: Terms = { ...stated }
  let count = countRecord(undefined, first ?? last, terms)
  let step = chargeRecord(undefined, first ?? last, count)
  for (const record of first === undefined ? [] : [...(between ?? []), last]) {
    count = countRecord(count.base, record, terms)
    step = chargeRecord(step.open, record, count)
  }
  if (stated.role !== 'charger') return count.energy
  return { import: step.burnWh, export: 0n, ...(step.bill === undefined ? {} : { bill: step.bill }) }
}

// SPEC-85: WATT of the owner and of the grid account, and nobody else's.
function checkAccounts({ postings }: EntryContent, point: string, owner: string): void {
  const own = [accountOf.owner(owner), accountOf.grid(owner), accountOf.minted(point), accountOf.burned(point)]
  const other = postings.find(({ account }) => !own.includes(account))
  if (other !== undefined) throw mismatch(`it moves WATT of '${other.account}', '${owner}' expected`)
}
