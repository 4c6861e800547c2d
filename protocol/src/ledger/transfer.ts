import * as v from 'valibot'
import { type Address, addressOf, isAccount, isAddress } from '../account.ts'
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
import { WattError } from '../errors.ts'
import { type Currency, isCurrency } from './currency.ts'

// SPEC-151, SPEC-152. What a wallet orders of a ledger, signed. The text says everything that the order depends on, so
// it cannot be replayed here or elsewhere, and whoever has it can check it with nothing else.

/** What can be ordered: WATT, in base units of one watt-hour, EEA, and money, in the currency's minor unit. */
export type TransferAsset = 'WATT' | 'EEA' | Currency

export function isTransferAsset(text: unknown): text is TransferAsset {
  return text === 'WATT' || text === 'EEA' || (typeof text === 'string' && isCurrency(text))
}

/** The longest text of an order or an answer, in bytes. */
export const maxTransferLength = 2048

/** What every order says, whatever its kind. */
interface Terms {
  /** The one ledger that may carry it out: the address of the key that signs its answers. */
  readonly ledger: Address
  /** Whose order it is, and whose nonce it takes: the address of the key, or a name that the ledger has bound to it. */
  readonly account: string
  /** Counts the orders of the account up from 1, without gaps. */
  readonly nonce: number
  /** After this it is refused, in ms since 1970. */
  readonly expiresAt: number
}

/** Moves an amount at once, or holds it back for somebody. */
export interface Give {
  readonly kind: 'pay' | 'reserve'
  readonly asset: TransferAsset
  readonly to: string
  /** In base units, above zero. */
  readonly amount: bigint
  /** `reserve`: when what was not posted goes back, in ms since 1970. */
  readonly heldUntil?: number
}

/** What the receiver of a reservation does with it: takes a part or all of it, or lets it go. */
export interface Settle {
  readonly kind: 'post' | 'void'
  /** The id of the order that reserved. */
  readonly reservation: string
  /** `post`: how much, in base units; all of it if left out. The rest goes back. */
  readonly amount?: bigint
}

/** Takes money out of the ledger: it is held until the operator has paid it, or has let it go. */
export interface Withdraw {
  readonly kind: 'withdraw'
  readonly asset: Currency
  /** In the currency's minor unit, above zero. */
  readonly amount: bigint
  /**
   * Where it is to be paid, as agreed with the operator: 1 to 140 printable ASCII characters without `"`, `\` and `|`. Who
   * audits the journal reads it: no number of a bank account.
   */
  readonly payout: string
  /** When what was not paid goes back, in ms since 1970. */
  readonly heldUntil: number
}

/** What an order asks for. */
export type TransferAct = Give | Settle | Withdraw

/** What an order says; the key is the signer's. */
export type TransferFacts = Terms & TransferAct

/** A signed order. */
export type Transfer = TransferFacts & {
  readonly key: PublicKey
  /** The address of the key. */
  readonly signer: Address
  /** SHA-256 of the signed body, in hex: the order's name everywhere. */
  readonly id: string
  readonly text: string
}

const time = integerBetween(1, lastMoment)
const id = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected 32 bytes in lower-case hex'))
// 18 digits fit the 64 bits of every store.
const amount = v.pipe(v.string(), v.regex(/^[1-9]\d{0,17}$/, 'expected base units, a whole number above zero'))
const account = v.pipe(v.string(), v.check(isAccount, 'expected an account: an address as EIP-55 spells it, or a name'))
const nonce = integerBetween(1, 2 ** 53 - 1)

const terms = {
  v: v.literal(1),
  ledger: v.pipe(v.string(), v.check(isAddress, 'expected an address as EIP-55 spells it')),
  account,
  /** The key that signs. */
  key: v.pipe(v.string(), v.regex(/^[0-9A-F]+$/, 'expected SPKI in upper-case hex')),
  nonce,
  expiresAt: time,
}
const give = {
  asset: v.custom<TransferAsset>(isTransferAsset, 'expected WATT, EEA or the three letters of a currency'),
  to: account,
  amount,
}
const withdraw = {
  asset: v.custom<Currency>(
    (text) => typeof text === 'string' && isCurrency(text),
    'expected the three letters of a currency',
  ),
  amount,
  payout: v.pipe(
    v.string(),
    v.regex(/^(?=.*\S)[ !#-[\]-{}~]{1,140}$/, 'expected 1 to 140 printable ASCII characters without ", \\ and |'),
  ),
  heldUntil: time,
}

// The order of the keys is the order in the text.
const shape = v.variant('kind', [
  v.strictObject({ ...terms, kind: v.literal('pay'), ...give }),
  v.strictObject({ ...terms, kind: v.literal('reserve'), ...give, heldUntil: time }),
  v.strictObject({ ...terms, kind: v.literal('post'), reservation: id, amount: v.exactOptional(amount) }),
  v.strictObject({ ...terms, kind: v.literal('void'), reservation: id }),
  v.strictObject({ ...terms, kind: v.literal('withdraw'), ...withdraw }),
])
type Content = v.InferOutput<typeof shape>

const orders = 'WATT-TRANSFER'

/** Signs an order, or throws where no ledger would take it. */
export function signTransfer(facts: TransferFacts, signer: Signer): Transfer {
  const { ledger, account, nonce, expiresAt, ...act } = facts
  const content = {
    ...{ v: 1, ledger, account, key: formatPublicKey(signer.publicKey), nonce, expiresAt },
    ...toContent(act),
  }
  return parseTransfer(signDocument(orders, content, signer))
}

function toContent(act: TransferAct): object {
  if ('reservation' in act) {
    return { kind: act.kind, reservation: act.reservation, amount: act.amount?.toString() }
  }
  const { kind, asset, heldUntil } = act
  const amount = act.amount.toString()
  return 'payout' in act
    ? { kind, asset, amount, payout: act.payout, heldUntil }
    : { kind, asset, to: act.to, amount, heldUntil }
}

/**
 * Reads an order and checks everything that follows from its text alone: shape, spelling, that the key it names has
 * signed it, and that an account that is an address is that key's.
 */
export function parseTransfer(text: string, verifier?: SignatureVerifier): Transfer {
  if (text.length > maxTransferLength) {
    throw new WattError(
      'transfer/invalid',
      `${orders}: at most ${maxTransferLength} characters expected, got ${text.length}`,
    )
  }
  const document = parseDocument(orders, text, 'transfer/invalid')
  const content = decodeWith(shape, document.content, 'transfer', 'transfer/invalid')
  // One text for one order: another order of keys, white space or escapes would be a second name for it.
  if (JSON.stringify(inOrder(content)) !== document.body) {
    throw new WattError('transfer/invalid', `transfer: not in the one form that SPEC-151 gives it`)
  }
  if (!isLowS(document.signature)) throw new WattError('transfer/invalid', 'transfer: SD: low-s expected')
  const key = parsePublicKey(content.key)
  const signer = addressOf(key)
  if (!isSignedBy(document, key, verifier)) {
    const what = `order ${content.nonce} of '${content.account}'`
    throw new WattError('transfer/bad-signature', `${what}: altered, or not signed by the key it names`)
  }
  if (isAddress(content.account) && content.account !== signer) {
    throw new WattError('transfer/forbidden', `account ${content.account}: signed by ${signer}, not by its own key`)
  }
  if ('to' in content && content.to === content.account) {
    throw new WattError('transfer/invalid', `order ${content.nonce} of '${content.account}': to itself`)
  }
  return { ...toFacts(content), key, signer, id: document.hash, text }
}

function inOrder(content: Content): object {
  const { v: version, ledger, account, key, nonce, expiresAt, ...act } = content
  const head = { v: version, ledger, account, key, nonce, expiresAt }
  if (act.kind === 'pay' || act.kind === 'reserve') {
    const { kind, asset, to, amount } = act
    return { ...head, kind, asset, to, amount, heldUntil: act.kind === 'reserve' ? act.heldUntil : undefined }
  }
  if (act.kind === 'withdraw') {
    const { kind, asset, amount, payout, heldUntil } = act
    return { ...head, kind, asset, amount, payout, heldUntil }
  }
  return { ...head, kind: act.kind, reservation: act.reservation, amount: act.kind === 'post' ? act.amount : undefined }
}

function toFacts(content: Content): TransferFacts {
  const { ledger, account, nonce, expiresAt } = content
  const head = { ledger: ledger as Address, account, nonce, expiresAt } // checked by the shape
  switch (content.kind) {
    case 'pay':
    case 'reserve': {
      const { kind, asset, to, amount } = content
      const held = content.kind === 'reserve' ? { heldUntil: content.heldUntil } : {}
      return { ...head, kind, asset, to, amount: BigInt(amount), ...held }
    }
    case 'post': {
      const { kind, reservation, amount } = content
      return { ...head, kind, reservation, ...(amount === undefined ? {} : { amount: BigInt(amount) }) }
    }
    case 'void':
      return { ...head, kind: content.kind, reservation: content.reservation }
    case 'withdraw': {
      const { kind, asset, amount, payout, heldUntil } = content
      return { ...head, kind, asset, amount: BigInt(amount), payout, heldUntil }
    }
  }
}
