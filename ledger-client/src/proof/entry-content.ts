import { decodeWith, integerBetween, lastMoment, type Role, roles, WattError, type Wh } from '@wattline/protocol'
import * as v from 'valibot'
import { accountOf } from '../ledger/accounts.ts'

// A journal entry as its hash covers it (SPEC-86), read back. Runs in a browser too.

const amount = v.pipe(v.string(), v.regex(/^-?(0|[1-9]\d{0,24})$/))
const shape = v.tuple([
  integerBetween(1, Number.MAX_SAFE_INTEGER),
  integerBetween(0, lastMoment),
  v.string(),
  v.nullable(v.string()),
  v.nullable(v.string()),
  v.string(),
  v.array(v.tuple([v.string(), amount])),
])

/** One entry. */
export interface EntryContent {
  readonly id: number
  readonly at: number
  readonly kind: string
  readonly claim: string | null
  readonly point: string | null
  readonly note: unknown
  readonly postings: readonly { readonly account: string; readonly amount: Wh }[]
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new WattError('proof/malformed', `${what}: no JSON`, { cause })
  }
}

/** Reads the text that an entry's hash covers. */
export function parseEntryContent(text: string): EntryContent {
  const json = parseJson(text, 'entry')
  const [id, at, kind, claim, point, note, postings] = decodeWith(shape, json, 'entry', 'proof/malformed')
  return {
    id,
    at,
    kind,
    claim,
    point,
    note: parseJson(note, `entry ${id}: note`),
    postings: postings.map(([account, text]) => ({ account, amount: BigInt(text) })),
  }
}

const terms = v.object({
  owner: v.string(),
  role: v.picklist(roles),
  key: v.optional(v.string()),
  maxPowerW: v.optional(v.number()),
  rolloverWh: v.optional(v.pipe(v.string(), v.regex(/^[1-9]\d{0,17}$/))),
  documents: v.optional(v.array(v.string())),
})

/** What an enrolment says, as far as a booking rests on it. */
export interface StatedTerms {
  readonly owner: string
  readonly role: Role
  readonly key?: string
  readonly maxPowerW?: number
  readonly rolloverWh?: Wh
  /** The signed texts that it follows from. */
  readonly documents?: readonly string[]
}

/** Reads the note of an enrolment or a rotation. */
export function parseTerms({ id, note }: EntryContent): StatedTerms {
  const { owner, role, key, maxPowerW, rolloverWh, documents } = decodeWith(
    terms,
    note,
    `entry ${id}`,
    'proof/malformed',
  )
  return {
    owner,
    role,
    ...(key === undefined ? {} : { key }),
    ...(maxPowerW === undefined ? {} : { maxPowerW }),
    ...(rolloverWh === undefined ? {} : { rolloverWh: BigInt(rolloverWh) }),
    ...(documents === undefined ? {} : { documents }),
  }
}

/** What an entry mints and burns for a point. */
export function movedBy({ postings }: EntryContent, point: string): { readonly mintWh: Wh; readonly burnWh: Wh } {
  const amountOf = (name: string) =>
    postings.reduce((sum, { account, amount }) => (account === name ? sum + amount : sum), 0n)
  return { mintWh: -amountOf(accountOf.minted(point)), burnWh: amountOf(accountOf.burned(point)) }
}
