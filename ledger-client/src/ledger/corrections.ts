import { WattError, type Wh } from '@wattline/protocol'
import { type AccountClass, accountOf, classOf, freeOf } from './accounts.ts'
import type { Entry, Posting } from './journal.ts'
import type { SqliteJournal } from './sqlite-journal.ts'

// SPEC-91. Nothing in the journal is ever changed: what was booked wrongly is taken back by an entry of its own, that
// names it.

/** What an operator takes back, and why. */
export interface CorrectionOrder {
  /** The entry to be corrected. */
  readonly entry: number
  /** Base units; the whole where it is left out. */
  readonly amount?: bigint
  /** Kept in the journal. */
  readonly reason: string
}

/** The claim of what corrects an entry: there is one of each entry. */
export function claimOfCorrection(entry: number): string {
  return `correction:${entry}`
}

/** What a correction's entry notes. */
export function noteOfCorrection({ entry, amount, reason }: CorrectionOrder): object {
  return { corrects: entry, ...(amount === undefined ? {} : { amount: amount.toString() }), reason }
}

/**
 * The postings that take an entry back, whole or in part, by what accounts hold now. Pure: the audit repeats it.
 * Throws where the entry is none that can be corrected, or less was booked by it.
 */
export function correctionPostings(
  { id, kind, postings }: Pick<Entry, 'id' | 'kind' | 'postings'>,
  amount: bigint | undefined,
  balanceOf: (account: string) => Wh,
): readonly Posting[] {
  switch (kind) {
    case 'claim':
    case 'remainder':
    case 'session':
      return undoEnergy(id, postings, amount, balanceOf)
    case 'transfer':
    case 'payment':
    case 'fee':
    case 'burn':
    case 'withdrawal':
    case 'deposit':
    case 'post':
      return undoTransfer(id, postings, amount, balanceOf)
    default:
      throw new WattError('entry/final', `entry ${id}: '${kind}' cannot be corrected`)
  }
}

const lineOf = (postings: readonly Posting[], name: AccountClass) =>
  postings.find(({ account }) => classOf(account) === name)

const ownerIn = (account: string) => account.slice(account.indexOf(':') + 1)

// What was minted goes as a burn goes: from the owner's WATT while it lasts, the rest is a shortfall. What was burned
// comes back where it was taken: the shortfall first.
function undoEnergy(
  id: number,
  postings: readonly Posting[],
  amount: bigint | undefined,
  balanceOf: (account: string) => Wh,
): readonly Posting[] {
  const [minted, burned] = [lineOf(postings, 'minted'), lineOf(postings, 'burned')]
  const [mintedWh, burnedWh] = [-(minted?.amount ?? 0n), burned?.amount ?? 0n]
  if (amount !== undefined && mintedWh > 0n && burnedWh > 0n) {
    throw new WattError('entry/final', `entry ${id}: minted ${mintedWh} and burned ${burnedWh}; only the whole of it`)
  }
  const takeWh = mintedWh > 0n ? (amount ?? mintedWh) : 0n
  const giveWh = burnedWh > 0n ? (amount ?? burnedWh) : 0n
  checkExtent(id, amount, mintedWh > burnedWh ? mintedWh : burnedWh)
  const grid = lineOf(postings, 'grid')
  const owner = ownerIn((lineOf(postings, 'owner') ?? grid)?.account ?? '')
  const shortWh = -(grid?.amount ?? 0n)
  const toGridWh = giveWh < shortWh ? giveWh : shortWh
  const ownWh = giveWh - toGridWh - takeWh
  const has = balanceOf(accountOf.owner(owner))
  const missingWh = has + ownWh < 0n ? -(has + ownWh) : 0n
  return [
    { account: accountOf.owner(owner), amount: ownWh + missingWh },
    { account: accountOf.grid(owner), amount: toGridWh - missingWh },
    ...(minted === undefined ? [] : [{ account: minted.account, amount: takeWh }]),
    ...(burned === undefined ? [] : [{ account: burned.account, amount: -giveWh }]),
  ].filter((posting) => posting.amount !== 0n)
}

// From where it went to whom it came from. Where that was a reservation, what stands against it is held.
function undoTransfer(
  id: number,
  postings: readonly Posting[],
  amount: bigint | undefined,
  balanceOf: (account: string) => Wh,
): readonly Posting[] {
  const source = postings.find((line) => line.amount < 0n)?.account
  const from = source === undefined ? undefined : freeOf(source)
  const goal = postings.find((line) => line.amount > 0n && line.account !== from)
  if (from === undefined || goal === undefined) throw new WattError('entry/final', `entry ${id}: moved nothing on`)
  checkExtent(id, amount, goal.amount)
  const back = amount ?? goal.amount
  const has = balanceOf(goal.account)
  if (has < back) {
    throw new WattError('transfer/insufficient', `entry ${id}: '${goal.account}' has ${has}, ${back} are to go back`)
  }
  return [
    { account: goal.account, amount: -back },
    { account: from, amount: back },
  ]
}

function checkExtent(id: number, amount: bigint | undefined, booked: bigint): void {
  if (amount === undefined || (amount > 0n && amount <= booked)) return
  throw new WattError('entry/final', `entry ${id}: booked ${booked}, it cannot be corrected by ${amount}`)
}

/** Takes back what an entry booked, once. The caller holds the transaction. */
export function correct(journal: SqliteJournal, order: CorrectionOrder): { readonly entry: number } {
  const { entry: id, amount, reason } = order
  if (reason.length === 0 || reason.length > 500) {
    throw new WattError('transfer/invalid', `correction of entry ${id}: a reason of 1 to 500 characters expected`)
  }
  const original = journal.read(id)
  if (original === undefined) throw new WattError('entry/unknown', `entry ${id}: there is none to be corrected`)
  const claim = claimOfCorrection(id)
  const note = noteOfCorrection(order)
  const known = journal.find(claim)
  if (known !== undefined) {
    const before = journal.read(known)?.note
    if (before === JSON.stringify(note)) return { entry: known }
    throw new WattError('transfer/conflict', `entry ${id}: entry ${known} corrects it already, ${before}`)
  }
  const postings = correctionPostings(original, amount, (account) => journal.balance(account))
  return { entry: journal.append({ kind: 'correction', claim, note, postings }).id }
}
