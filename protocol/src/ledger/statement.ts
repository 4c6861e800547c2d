import * as v from 'valibot'
import { formatPublicKey, type PublicKey, parsePublicKey, type SignatureVerifier, type Signer } from '../attestation.ts'
import { decodeWith, integerBetween, lastMoment } from '../decode.ts'
import { isSignedBy, parseDocument, signDocument } from '../document.ts'
import { WattError } from '../errors.ts'
import { type Currency, isCurrency } from './currency.ts'

// SPEC-155. A ledger's word on an account at one moment: what it holds, and which entries of the journal moved it. It
// names each by its hash and the journal's last entry by its own, so that what it told one and what it shows another
// can be compared later.

/** The accounts that every owner has: free, reserved and short WATT, free and reserved EEA. */
export const holdingClasses = ['owner', 'held', 'grid', 'eea', 'eea-held'] as const
export type HoldingClass = (typeof holdingClasses)[number]

/** The accounts of an owner who has or had money of a currency: free and reserved. */
export type MoneyClass = `money:${string}` | `money-held:${string}`

/** What an account's name says before its owner. */
export type HoldingName = HoldingClass | MoneyClass

/** What an owner has, in base units. */
export type Holdings = Readonly<Record<HoldingClass, bigint>> & { readonly [name: MoneyClass]: bigint }

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
  at: integerBetween(0, lastMoment),
  holdings: v.objectWithRest(v.entriesFromList(holdingClasses, amount), amount),
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
  const holdings = Object.fromEntries(
    namesIn(facts.holdings).map((name) => [name, (facts.holdings[name] ?? 0n).toString()]),
  )
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
  return { ...rest, ledger, holdings: readHoldings(holdings, content.account), text }
}

function readHoldings(amounts: Readonly<Record<string, string>>, account: string): Holdings {
  const names = Object.keys(amounts)
  const refuse = () => new WattError('receipt/invalid', `statement of '${account}': holdings: ${names}`)
  // Of each currency both accounts, and nothing that is no account of an owner.
  const amountOf = (name: HoldingName) => {
    const text = amounts[name]
    if (text === undefined) throw refuse()
    return BigInt(text)
  }
  const holdings = toHoldings(amountOf, currenciesIn(amounts))
  if (names.length > Object.keys(holdings).length) throw refuse()
  return holdings
}

/** Holdings made class by class; with money of these currencies. */
export function toHoldings(amountOf: (name: HoldingName) => bigint, currencies: readonly Currency[] = []): Holdings {
  const money = currencies.flatMap(moneyClasses).map((name) => [name, amountOf(name)] as const)
  return {
    owner: amountOf('owner'),
    held: amountOf('held'),
    grid: amountOf('grid'),
    eea: amountOf('eea'),
    'eea-held': amountOf('eea-held'),
    ...Object.fromEntries(money),
  }
}

function moneyClasses(currency: Currency): readonly [MoneyClass, MoneyClass] {
  return [`money:${currency}`, `money-held:${currency}`]
}

/** The currencies that are told of in holdings, in the order of the alphabet. */
export function currenciesIn(holdings: Readonly<Record<string, unknown>>): readonly Currency[] {
  const codes = Object.keys(holdings).flatMap((name) => /^money(?:-held)?:(.*)$/.exec(name)?.[1] ?? [])
  return [...new Set(codes)].toSorted().filter(isCurrency)
}

/** The accounts of one owner that holdings tell of, by what their names say before the owner. */
export function namesIn(holdings: Readonly<Record<string, unknown>>): readonly HoldingName[] {
  return [...holdingClasses, ...currenciesIn(holdings).flatMap(moneyClasses)]
}

/** What an account's name says before its owner; undefined where it is none of this owner's. */
export function holdingOf(account: string, owner: string): HoldingName | undefined {
  if (!account.endsWith(`:${owner}`)) return undefined
  const name = account.slice(0, -owner.length - 1)
  return namesIn({ [name]: 0n }).find((known) => known === name)
}
