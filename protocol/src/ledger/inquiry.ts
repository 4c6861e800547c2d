import * as v from 'valibot'
import { type Address, addressOf, isAccount, isAddress } from '../account.ts'
import { formatPublicKey, type PublicKey, parsePublicKey, type SignatureVerifier, type Signer } from '../attestation.ts'
import { decodeWith, integerBetween, lastMoment } from '../decode.ts'
import { isSignedBy, parseDocument, signDocument } from '../document.ts'
import { WattError } from '../errors.ts'

// SPEC-156. What an account holds and what moved it is told only to who speaks for it: a question is signed, for one
// ledger, and good for minutes.

/** The longest that a question may be good for, in ms. */
export const inquiryLifeMs = 300_000

/** The longest text of a question, in bytes. */
export const maxInquiryLength = 1024

/** What can be asked: what it holds; what moved it, newest first; which orders were answered, oldest first. */
export const inquiryKinds = ['balance', 'history', 'orders'] as const
export type InquiryKind = (typeof inquiryKinds)[number]

/** What a question says; the key is the signer's. */
export interface InquiryFacts {
  /** The one ledger that may answer: the address of the key that signs its answers. */
  readonly ledger: Address
  /** Which account is asked for. */
  readonly account: string
  /** After this it is refused, in ms since 1970. */
  readonly expiresAt: number
  readonly kind: InquiryKind
  /** `history`: only entries before this one, 0 for all; `orders`: only those after this place. */
  readonly from: number
}

/** A signed question. */
export interface Inquiry extends InquiryFacts {
  /** The address of the key that signed. */
  readonly signer: Address
  readonly key: PublicKey
  /** SHA-256 of the signed body, in hex: the answer names it. */
  readonly id: string
  readonly text: string
}

const shape = v.strictObject({
  v: v.literal(1),
  ledger: v.pipe(v.string(), v.check(isAddress, 'expected an address as EIP-55 spells it')),
  account: v.pipe(v.string(), v.check(isAccount, 'expected an account: an address as EIP-55 spells it, or a name')),
  key: v.pipe(v.string(), v.regex(/^[0-9A-F]+$/, 'expected SPKI in upper-case hex')),
  expiresAt: integerBetween(1, lastMoment),
  kind: v.picklist(inquiryKinds),
  from: integerBetween(0, 2 ** 53 - 1),
})

/** Signs a question. */
export function signInquiry({ ledger, account, expiresAt, kind, from }: InquiryFacts, signer: Signer): Inquiry {
  const content = { v: 1, ledger, account, key: formatPublicKey(signer.publicKey), expiresAt, kind, from }
  return parseInquiry(signDocument('WATT-INQUIRY', content, signer))
}

/** Reads a question and checks what follows from its text alone: its signature, and that an address is its key's. */
export function parseInquiry(text: string, verifier?: SignatureVerifier): Inquiry {
  if (text.length > maxInquiryLength) {
    throw new WattError('inquiry/invalid', `at most ${maxInquiryLength} characters expected, got ${text.length}`)
  }
  const document = parseDocument('WATT-INQUIRY', text, 'inquiry/invalid')
  const content = decodeWith(shape, document.content, 'inquiry', 'inquiry/invalid')
  const { ledger, account, expiresAt, kind, from } = content
  const key = parsePublicKey(content.key)
  if (!isSignedBy(document, key, verifier)) {
    throw new WattError('inquiry/forbidden', `inquiry for '${account}': altered, or not signed by the key it names`)
  }
  const signer = addressOf(key)
  if (isAddress(account) && account !== signer) {
    throw new WattError('inquiry/forbidden', `inquiry for ${account}: signed by ${signer}, not by its own key`)
  }
  const facts = { ledger: ledger as Address, account, expiresAt, kind, from } // an address by the shape
  return { ...facts, signer, key, id: document.hash, text }
}
