import {
  type Certificate,
  formatPublicKey,
  type KeyRotation,
  type PointConsent,
  type PointId,
  type PointOrder,
  parseCertificate,
  parseConsent,
  parseOrder,
  parseRotation,
  WattError,
} from '@wattline/protocol'
import type { SignedOrder } from './enrolment.ts'
import type { Point, Terms } from './registry.ts'

// Who must have signed for what (SPEC-93 to SPEC-96). Pure: the audit asks again.

/** The documents of one change, as they come in a file or in a journal entry, in any order. */
export interface Documents {
  readonly orders: readonly PointOrder[]
  readonly consents: readonly PointConsent[]
  readonly rotations: readonly KeyRotation[]
  readonly certificates: readonly Certificate[]
}

/** Reads documents, one a line; each is checked against the key that it names. */
export function parseDocuments(texts: readonly string[]): Documents {
  const lines = texts.flatMap((text) => text.split('\n')).map((line) => line.trim())
  const of = (kind: string) => lines.filter((line) => line.startsWith(`${kind}|`))
  const kinds = ['WATT-ORDER', 'WATT-CONSENT', 'WATT-ROTATION', 'WATT-CERT']
  const stranger = lines.find((line) => line !== '' && !kinds.some((kind) => line.startsWith(`${kind}|`)))
  if (stranger !== undefined) throw new WattError('order/invalid', `no document: '${stranger.slice(0, 80)}'`)
  return {
    orders: of('WATT-ORDER').map(parseOrder),
    consents: of('WATT-CONSENT').map(parseConsent),
    rotations: of('WATT-ROTATION').map(parseRotation),
    certificates: of('WATT-CERT').map(parseCertificate),
  }
}

/** What an entry keeps of the documents that it follows from: their texts. */
export function documentsOf(
  { order, consents }: SignedOrder,
  certificate?: Certificate,
): { readonly documents: readonly string[] } {
  const texts = [order, ...consents].map(({ text }) => text)
  return { documents: certificate === undefined ? texts : [certificate.text, ...texts] }
}

/** What an acceptance is judged by. */
export interface AcceptanceContext {
  readonly id: PointId
  readonly certificate: Certificate | undefined
  /** As it is enrolled, if it is. */
  readonly point: Pick<Point, 'terms' | 'orderAt'> | undefined
  readonly parent: Pick<Point, 'id' | 'terms'> | undefined
}

/** Checks an owner's acceptance of a certificate (SPEC-93), and gives the account that it names. */
export function checkAcceptance(signed: SignedOrder, { id, certificate, point, parent }: AcceptanceContext): string {
  const { order } = signed
  const { action } = order
  if (action.do !== 'accept') throw new WattError('order/invalid', `order of '${id}': '${action.do}' accepts nothing`)
  if (order.point !== id || certificate === undefined || action.certificate !== certificate.hash) {
    const got = `${action.certificate.slice(0, 8)} of '${order.point}'`
    throw new WattError('order/invalid', `'${id}': the order accepts another certificate, ${got}`)
  }
  if (certificate.owner !== undefined && certificate.owner !== action.owner) {
    throw new WattError(
      'order/invalid',
      `'${id}': its certificate names '${certificate.owner}', '${action.owner}' signs`,
    )
  }
  if (point?.terms.ownerKey !== undefined) checkSigner(order, point.terms)
  checkYouth(order, point?.orderAt ?? 0)
  checkConsent(signed, parent?.terms.ownerKey, `the owner of '${parent?.id}', behind which it is to stand`)
  return action.owner
}

/** Throws where an order is not signed by the owner in force. */
export function checkSigner({ point, key, action }: PointOrder, { ownerKey, owner }: Terms): void {
  if (ownerKey === undefined) {
    const reason = `${owner} has no key here: an operator speaks for it, until an acceptance is signed`
    throw new WattError('order/unsigned', `'${point}': ${reason}`)
  }
  const got = formatPublicKey(key)
  if (got === ownerKey) return
  throw new WattError(
    'order/wrong-key',
    `'${point}': '${action.do}' is signed by ...${got.slice(-16)}, its owner's key is ...${ownerKey.slice(-16)}`,
  )
}

/** Throws where an order is not younger than the youngest that counts: an old one must not come back. */
export function checkYouth({ point, issuedAt }: PointOrder, orderAt: number): void {
  if (issuedAt > orderAt) return
  throw new WattError('order/passed', `'${point}': the order is of ${issuedAt} ms, one of ${orderAt} ms counts already`)
}

/** Throws where a key has not agreed that is not the order's own; nobody need agree for whom no key is known. */
export function checkConsent({ order, consents }: SignedOrder, key: string | undefined, whose: string): void {
  if (key === undefined || key === formatPublicKey(order.key)) return
  const agreed = consents.some((consent) => {
    return consent.order === order.hash && consent.point === order.point && formatPublicKey(consent.key) === key
  })
  if (!agreed) {
    throw new WattError('order/unsigned', `'${order.point}': '${order.action.do}' lacks the consent of ${whose}`)
  }
}

/** The terms that an order which has waited puts in force. */
export function obeyOrder(terms: Terms, { action }: PointOrder): Terms {
  switch (action.do) {
    case 'transfer':
      return { ...terms, owner: action.owner, ownerKey: action.to }
    case 'move': {
      const { behind: _, ...rest } = terms
      return action.behind === undefined ? rest : { ...rest, behind: action.behind as PointId } // checked when parsed
    }
    case 'cap':
      return { ...terms, maxPowerW: action.maxPowerW }
    case 'accept':
    case 'revoke':
      return terms
  }
}
