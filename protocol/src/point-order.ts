import * as v from 'valibot'
import { addressOf, isAccount } from './account.ts'
import { formatPublicKey, type PublicKey, parsePublicKey, type Signer, samePublicKey } from './attestation.ts'
import { decodeWith, integerBetween } from './decode.ts'
import { type DocumentKind, isSignedBy, parseDocument, type SignedDocument, signDocument } from './document.ts'
import { WattError } from './errors.ts'
import { type PointId, parsePointId } from './ids.ts'

// What changes about a metering point is said in signed documents (SPEC-93, SPEC-94): the owner's orders, the consent
// of whoever else they touch, and a key's word on its successor. The ledger keeps them with the entries they lead to.

const count = integerBetween(0, Number.MAX_SAFE_INTEGER)
const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected 32 bytes in hex'))
const account = v.pipe(v.string(), v.check(isAccount, 'expected an account (SPEC-150)'))
const place = v.strictObject({ epoch: count, sequence: count })

const action = v.variant('do', [
  /** Takes a certificate, and with it everything it says, for an account. */
  v.strictObject({ do: v.literal('accept'), certificate: hash, owner: account }),
  /** Gives the point to another owner: what is recorded after a place is theirs. */
  v.strictObject({ do: v.literal('transfer'), after: place, owner: account, to: v.string() }),
  /** Hangs the point behind another one, or behind none, after a place. */
  v.strictObject({ do: v.literal('move'), after: place, behind: v.exactOptional(v.string()) }),
  /** Another fuse. */
  v.strictObject({ do: v.literal('cap'), maxPowerW: integerBetween(1, 1_000_000_000) }),
  /** Ends the key's validity after a place. */
  v.strictObject({ do: v.literal('revoke'), last: place }),
])

const orderShape = v.strictObject({
  v: v.literal(1),
  point: v.string(),
  /** SPKI hex of the owner's key. */
  key: v.string(),
  action,
  /** In ms since 1970; an order counts only if it is younger than the ones before. */
  issuedAt: count,
})

const consentShape = v.strictObject({
  v: v.literal(1),
  point: v.string(),
  key: v.string(),
  /** The hash of the order that it agrees to. */
  order: hash,
  issuedAt: count,
})

const rotationShape = v.strictObject({
  v: v.literal(1),
  point: v.string(),
  /** The key that goes. */
  key: v.string(),
  /** The hash of its successor's certificate. */
  certificate: hash,
  /** The last record that it has signed; 0, 0 and the certificate's hash where there is none. */
  last: v.strictObject({ epoch: count, sequence: count, hash }),
  issuedAt: count,
})

/** What an owner orders. */
export type OrderAction = v.InferOutput<typeof action>

interface Signed {
  readonly point: PointId
  /** Who signed it. */
  readonly key: PublicKey
  readonly issuedAt: number
  readonly hash: string
  readonly text: string
}

/** What a metering point's owner orders (SPEC-94). */
export interface PointOrder extends Signed {
  readonly action: OrderAction
}

/** What another owner agrees to. */
export interface PointConsent extends Signed {
  readonly order: string
}

/** What a key says of its successor before it falls silent (SPEC-95). */
export interface KeyRotation extends Signed {
  readonly certificate: string
  readonly last: { readonly epoch: number; readonly sequence: number; readonly hash: string }
}

/** The facts that go into a document; key, hash and text come with the signature. */
export type Facts<T extends Signed> = Omit<T, 'key' | 'hash' | 'text'>

export function signOrder({ point, action: what, issuedAt }: Facts<PointOrder>, signer: Signer): PointOrder {
  const key = formatPublicKey(signer.publicKey)
  return parseOrder(signDocument('WATT-ORDER', { v: 1, point, key, action: what, issuedAt }, signer))
}

export function signConsent({ point, order, issuedAt }: Facts<PointConsent>, signer: Signer): PointConsent {
  const key = formatPublicKey(signer.publicKey)
  return parseConsent(signDocument('WATT-CONSENT', { v: 1, point, key, order, issuedAt }, signer))
}

export function signRotation(facts: Facts<KeyRotation>, signer: Signer): KeyRotation {
  const { point, certificate, last, issuedAt } = facts
  const key = formatPublicKey(signer.publicKey)
  return parseRotation(signDocument('WATT-ROTATION', { v: 1, point, key, certificate, last, issuedAt }, signer))
}

/** Reads an order, and checks that the key it names has signed it; whose key that is, the ledger knows. */
export function parseOrder(text: string): PointOrder {
  const { document, content } = read('WATT-ORDER', orderShape, text)
  const { action: what } = content
  if (what.do === 'transfer') {
    const to = parseKey(what.to)
    checkAccount(what.owner, to)
  }
  if (what.do === 'accept') checkAccount(what.owner, parseKey(content.key))
  if (what.do === 'move' && what.behind !== undefined) checkPoint(what.behind)
  return { ...toSigned(document, content), action: what }
}

/** Reads a consent, and checks that the key it names has signed it. */
export function parseConsent(text: string): PointConsent {
  const { document, content } = read('WATT-CONSENT', consentShape, text)
  return { ...toSigned(document, content), order: content.order }
}

/** Reads a rotation, and checks that the key that goes has signed it. */
export function parseRotation(text: string): KeyRotation {
  const { document, content } = read('WATT-ROTATION', rotationShape, text)
  const { certificate, last } = content
  return { ...toSigned(document, content), certificate, last }
}

function read<TSchema extends v.GenericSchema>(kind: DocumentKind, schema: TSchema, text: string) {
  const document = parseDocument(kind, text, 'order/invalid')
  return { document, content: decodeWith(schema, document.content, kind, 'order/invalid') }
}

function toSigned(
  document: SignedDocument,
  { point, key: spki, issuedAt }: { readonly point: string; readonly key: string; readonly issuedAt: number },
): Signed {
  const key = parseKey(spki)
  if (!isSignedBy(document, key)) {
    throw new WattError('order/invalid', `document of '${point}': not signed by the key it names`)
  }
  return { point: checkPoint(point), key, issuedAt, hash: document.hash, text: document.text }
}

function parseKey(spki: string): PublicKey {
  try {
    return parsePublicKey(spki)
  } catch (cause) {
    throw new WattError('order/invalid', `'${spki.slice(0, 40)}': a public key, SPKI in hex, expected`, { cause })
  }
}

function checkPoint(text: string): PointId {
  try {
    parsePointId(text)
    return text as PointId // parsed just now
  } catch (cause) {
    throw new WattError('order/invalid', `metering point '${text}': '<gatewayId>/<meterId>' expected`, { cause })
  }
}

/**
 * Whether a key may speak for an account as far as the name tells: one that is an address (SPEC-150) belongs to the one
 * key behind it; any other name is bound by whoever keeps the accounts.
 */
export function mayOwn(owner: string, key: PublicKey): boolean {
  return !/^0x/i.test(owner) || owner === addressOf(key)
}

function checkAccount(owner: string, key: PublicKey): void {
  if (mayOwn(owner, key)) return
  throw new WattError('order/wrong-key', `account '${owner}': its key has the address ${addressOf(key)}`)
}

/** A successor's word: the certificate that a rotation names, of the same point and by another key. */
export function isSuccessor(
  rotation: KeyRotation,
  certificate: { point: PointId; hash: string; key: PublicKey },
): boolean {
  const { point, hash: named, key } = certificate
  return point === rotation.point && named === rotation.certificate && !samePublicKey(key, rotation.key)
}
