import * as v from 'valibot'
import { isAccount } from '../account.ts'
import {
  formatPublicKey,
  isLowS,
  type PublicKey,
  parsePublicKey,
  type SignatureVerifier,
  type Signer,
} from '../attestation.ts'
import { decodeWith, integerBetween, lastMoment } from '../decode.ts'
import { isSignedBy, parseDocument, signDocument } from '../document.ts'
import { type ErrorCode, errorCodes, WattError } from '../errors.ts'

// SPEC-153. A ledger answers an order once and for ever; whoever sends it again gets the same bytes.

/** What became of an order. */
export type TransferOutcome =
  /** The journal's entry that it is booked in. */
  { readonly entry: number } | { readonly refused: ErrorCode; readonly message: string }

/** A ledger's word on one order. */
export type TransferAnswer = TransferOutcome & {
  /** The key of the ledger that signed it. */
  readonly ledger: PublicKey
  /** The order's id. */
  readonly transfer: string
  readonly account: string
  readonly nonce: number
  /** When, in ms since 1970. */
  readonly at: number
  readonly text: string
}

/** What goes into an answer; the key is the signer's. */
export type TransferAnswerFacts = TransferOutcome & {
  readonly transfer: string
  readonly account: string
  readonly nonce: number
  readonly at: number
}

const shape = v.strictObject({
  v: v.literal(1),
  /** SPKI hex of the ledger's key. */
  ledger: v.string(),
  transfer: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  account: v.pipe(v.string(), v.check(isAccount, 'expected an account')),
  nonce: integerBetween(1, 2 ** 53 - 1),
  at: integerBetween(0, lastMoment),
  entry: v.exactOptional(integerBetween(1, 2 ** 53 - 1)),
  refused: v.exactOptional(v.picklist(errorCodes)),
  message: v.exactOptional(v.pipe(v.string(), v.maxLength(500))),
})

const answers = 'WATT-ANSWER'

/** Signs an answer with the ledger's key. */
export function signTransferAnswer(facts: TransferAnswerFacts, signer: Signer): string {
  const { transfer, account, nonce, at } = facts
  const outcome =
    'entry' in facts ? { entry: facts.entry } : { refused: facts.refused, message: facts.message.slice(0, 500) }
  const content = { v: 1, ledger: formatPublicKey(signer.publicKey), transfer, account, nonce, at, ...outcome }
  return signDocument(answers, content, signer)
}

/** Reads an answer and checks that the key it names has signed it. Whose key that is, the reader must know. */
export function parseTransferAnswer(text: string, verifier?: SignatureVerifier): TransferAnswer {
  const document = parseDocument(answers, text, 'receipt/invalid')
  const content = decodeWith(shape, document.content, 'answer', 'receipt/invalid')
  const { v: _version, ledger, entry, refused, message, ...rest } = content
  const key = parsePublicKey(ledger)
  if (!isLowS(document.signature) || !isSignedBy(document, key, verifier)) {
    throw new WattError(
      'receipt/invalid',
      `answer to order ${content.nonce} of '${content.account}': not signed by the key it names`,
    )
  }
  if (entry !== undefined && refused === undefined && message === undefined) {
    return { ...rest, ledger: key, entry, text }
  }
  if (entry === undefined && refused !== undefined)
    return { ...rest, ledger: key, refused, message: message ?? '', text }
  throw new WattError(
    'receipt/invalid',
    `answer to order ${content.nonce} of '${content.account}': booked or refused expected`,
  )
}
