import * as v from 'valibot'
import { formatPublicKey, type PublicKey, parsePublicKey, type SignatureVerifier, type Signer } from '../attestation.ts'
import { decodeWith, integerBetween } from '../decode.ts'
import { isSignedBy, parseDocument, signDocument } from '../document.ts'
import { WattError } from '../errors.ts'

// SPEC-155. A ledger's word on an account at one moment: what it holds, and which entries of the journal moved it. It
// names each by its hash and the journal's last entry by its own, so that what it told one and what it shows another
// can be compared later.

/** The accounts that one owner has: free, reserved and short WATT, free and reserved EEA. */
export const holdingClasses = ['owner', 'held', 'grid', 'eea', 'eea-held'] as const
export type HoldingClass = (typeof holdingClasses)[number]

/** What an owner has, in base units. */
export type Holdings = Readonly<Record<HoldingClass, bigint>>

/** An entry of the journal by its number and its hash. */
export type NamedEntry = readonly [id: number, hash: string]

/** What a statement says; the key is the signer's. */
export interface StatementFacts {
  /** The id of the question that it answers. */
  readonly inquiry: string
  readonly account: string
  /** When, in ms since 1970. */
  readonly at: number
  readonly holdings: Holdings
  /** How many answered orders the account has made. */
  readonly orders: number
  /** How many entries the journal has, and the hash of the last one. */
  readonly entries: number
  readonly journal: string
  /** The lines begin below this entry; 0: at the journal's last one. */
  readonly from: number
  /** All entries that moved the account, newest first, up to where the lines end. */
  readonly lines: readonly NamedEntry[]
  /** Whether older ones follow. */
  readonly more: boolean
}

/** A signed statement. */
export interface Statement extends StatementFacts {
  /** The key of the ledger that signed it. */
  readonly ledger: PublicKey
  readonly text: string
}

const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected 32 bytes in lower-case hex'))
const amount = v.pipe(v.string(), v.regex(/^-?(0|[1-9]\d{0,18})$/, 'expected base units, a whole number'))
const count = integerBetween(0, 2 ** 53 - 1)
const shape = v.strictObject({
  v: v.literal(1),
  /** SPKI hex of the ledger's key. */
  ledger: v.string(),
  inquiry: hash,
  account: v.string(),
  at: count,
  holdings: v.strictObject(v.entriesFromList(holdingClasses, amount)),
  orders: count,
  entries: count,
  journal: hash,
  from: count,
  lines: v.array(v.strictTuple([integerBetween(1, 2 ** 53 - 1), hash])),
  more: v.boolean(),
})

/** Signs a statement with the ledger's key. */
export function signStatement(facts: StatementFacts, signer: Signer): string {
  const { inquiry, account, at, orders, entries, journal, from, lines, more } = facts
  const holdings = Object.fromEntries(holdingClasses.map((name) => [name, facts.holdings[name].toString()]))
  const ledger = formatPublicKey(signer.publicKey)
  const content = { v: 1, ledger, inquiry, account, at, holdings, orders, entries, journal, from, lines, more }
  return signDocument('WATT-STATEMENT', content, signer)
}

/** Reads a statement and checks that the key it names has signed it. Whose key that is, the reader must know. */
export function parseStatement(text: string, verifier?: SignatureVerifier): Statement {
  const document = parseDocument('WATT-STATEMENT', text, 'receipt/invalid')
  const content = decodeWith(shape, document.content, 'statement', 'receipt/invalid')
  const { v: _version, holdings, ...rest } = content
  const ledger = parsePublicKey(content.ledger)
  if (!isSignedBy(document, ledger, verifier)) {
    throw new WattError('receipt/invalid', `statement of '${content.account}': not signed by the key it names`)
  }
  return { ...rest, ledger, holdings: toHoldings((name) => BigInt(holdings[name])), text }
}

/** Holdings made class by class. */
export function toHoldings(amountOf: (name: HoldingClass) => bigint): Holdings {
  return {
    owner: amountOf('owner'),
    held: amountOf('held'),
    grid: amountOf('grid'),
    eea: amountOf('eea'),
    'eea-held': amountOf('eea-held'),
  }
}
