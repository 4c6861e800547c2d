import { type AccountClass, type CountedAsset, classOf, findAsset } from './accounts.ts'
import type { Posting } from './journal.ts'
import { storageKind } from './storage.ts'
import { type TransferKind, transferKinds } from './transfer-order.ts'

// SPEC-88: the closed list of what the journal knows, and which accounts each kind may touch on which side. The rule is
// checked when an entry is written and again by the audit; what an entry's amounts must be, its own module says.

/** Energy added or removed by a meter. */
export const meterKinds = ['claim', 'remainder', 'session'] as const
export type MeterKind = (typeof meterKinds)[number]

/** The steps of a two-phase transfer. */
export const phaseKinds = ['reserve', 'post', 'void', 'expire'] as const
export type PhaseKind = (typeof phaseKinds)[number]

/** What is written down of a metering point, or of the ledger as a whole, without moving anything. */
export const noteKinds = [
  'enrolment',
  'order',
  'rotation',
  'swap',
  'revocation',
  'freeze',
  'fork',
  'gap',
  'anchor',
  'storage-start',
] as const
export type NoteKind = (typeof noteKinds)[number]

/** What is written down on nobody's word but the operator's, besides corrections. */
export const officeKinds = ['operator', 'limit', 'wallet'] as const
export type OfficeKind = (typeof officeKinds)[number]

export type EntryKind =
  | MeterKind
  | typeof storageKind
  | TransferKind
  | PhaseKind
  | NoteKind
  | OfficeKind
  | 'deposit'
  | 'issue'
  | 'correction'

export const entryKinds: readonly EntryKind[] = [
  ...meterKinds,
  storageKind,
  ...transferKinds,
  ...phaseKinds,
  'deposit',
  'issue',
  'correction',
  ...officeKinds,
  ...noteKinds,
]

/** The side of an account that a kind may touch: what it holds rises, falls, or either. */
type Side = '+' | '-' | '±'

interface Rule {
  readonly sides: Readonly<Partial<Record<AccountClass, Side>>>
  /** How many postings there are at least and at most. */
  readonly lines: readonly [least: number, most: number]
}

const burnSides = { owner: '-', grid: '-', burned: '+' } as const
const freed = { owner: '+', eea: '+', money: '+' } as const
const sent = { owner: '±', eea: '±' } as const
const paid = { owner: '±', money: '±' } as const
const unheld = { held: '-', 'eea-held': '-', 'money-held': '-', ...freed } as const
const nothing: Rule = { sides: {}, lines: [0, 0] }

const rules: Readonly<Record<EntryKind, Rule>> = {
  claim: { sides: { ...burnSides, owner: '±', minted: '-' }, lines: [2, 4] },
  remainder: { sides: burnSides, lines: [2, 3] },
  session: { sides: burnSides, lines: [2, 3] },
  storage: { sides: { charged: '-', discharged: '+', stored: '±' }, lines: [2, 3] },
  transfer: { sides: sent, lines: [2, 2] },
  payment: { sides: paid, lines: [2, 2] },
  fee: { sides: paid, lines: [2, 2] },
  burn: { sides: { owner: '-', retired: '+' }, lines: [2, 2] },
  withdrawal: { sides: { money: '-', 'money-removed': '+' }, lines: [2, 2] },
  deposit: { sides: { 'money-added': '-', money: '+' }, lines: [2, 2] },
  reserve: {
    sides: { owner: '-', held: '+', eea: '-', 'eea-held': '+', money: '-', 'money-held': '+' },
    lines: [2, 2],
  },
  post: { sides: { ...unheld, retired: '+', 'money-removed': '+' }, lines: [2, 3] },
  void: { sides: unheld, lines: [2, 2] },
  expire: { sides: unheld, lines: [2, 2] },
  issue: { sides: { 'eea-issued': '-', eea: '+' }, lines: [6, 6] },
  correction: {
    sides: {
      ...{ ...sent, ...paid, grid: '±', minted: '+', burned: '-', retired: '-' },
      ...{ 'money-added': '+', 'money-removed': '-' },
    },
    lines: [2, 4],
  },
  operator: nothing,
  limit: nothing,
  wallet: nothing,
  ...mapNotes(),
}

// A further note needs only its name in the list.
function mapNotes(): Record<NoteKind, Rule> {
  return Object.fromEntries(noteKinds.map((kind) => [kind, nothing])) as Record<NoteKind, Rule> // of the very list
}

/** Whether a text names a kind of entry. */
export function isEntryKind(kind: string): kind is EntryKind {
  return Object.hasOwn(rules, kind)
}

/** What is wrong with an entry's postings by its kind's rule, or undefined. */
export function findBreach(kind: string, postings: readonly Posting[]): string | undefined {
  if (!isEntryKind(kind)) return `there is no kind '${kind}'`
  const { sides, lines } = rules[kind]
  const [least, most] = lines
  if (postings.length < least || postings.length > most) {
    return `'${kind}' has ${least} to ${most} postings, got ${postings.length}`
  }
  for (const { account, amount } of postings) {
    const name = classOf(account)
    const side = name === undefined ? undefined : sides[name]
    const isAllowed = side === '±' ? amount !== 0n : side === '+' ? amount > 0n : amount < 0n
    if (side === undefined || !isAllowed) return `'${kind}' must not move ${amount} on account '${account}'`
  }
  if (new Set(postings.map(({ account }) => account)).size < postings.length) return 'an account stands there twice'
  return undefined
}

/** The first asset whose postings do not sum to zero, and their sum. */
export function findImbalance(postings: readonly Posting[]): { asset: CountedAsset; sum: bigint } | undefined {
  for (const [asset, sum] of sumByAsset(postings)) if (sum !== 0n) return { asset, sum }
  return undefined
}

/** What postings sum to, by asset. */
export function sumByAsset(postings: readonly Posting[]): ReadonlyMap<CountedAsset, bigint> {
  const sums = new Map<CountedAsset, bigint>()
  for (const { account, amount } of postings) {
    const asset = findAsset(account)
    // An account of no known class breaks the rule of every kind, whatever it sums to.
    if (asset !== undefined) sums.set(asset, (sums.get(asset) ?? 0n) + amount)
  }
  return sums
}
