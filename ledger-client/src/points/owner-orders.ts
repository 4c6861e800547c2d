import {
  type Certificate,
  formatPublicKey,
  isSuccessor,
  type KeyRotation,
  type PointOrder,
  parsePublicKey,
  samePublicKey,
  WattError,
} from '@wattline/protocol'
import type { Database, Statement } from '../store/database.ts'
import type { CertificateVerdict, Enrolment, SignedOrder } from './enrolment.ts'
import { checkConsent, checkSigner, checkYouth, documentsOf, obeyOrder, parseDocuments } from './owner-order-rules.ts'
import { isAfter, type Place, type Point, type Registry, stateOf, termsOf } from './registry.ts'

/** What came of a document. */
export interface Obeyed {
  readonly point: string
  readonly action: PointOrder['action']['do'] | 'rotate'
  /** The journal entry that keeps the documents. */
  readonly entry: number
  /** It waits for its place. */
  readonly waits: boolean
}

/** Obeys what owners and keys have signed (SPEC-93 to SPEC-96). The caller holds the transaction. */
export class OwnerOrders {
  readonly #registry: Registry
  readonly #enrolment: Enrolment
  readonly #entry: Statement<[number], { note: string }>

  constructor(db: Database, registry: Registry, enrolment: Enrolment) {
    this.#registry = registry
    this.#enrolment = enrolment
    this.#entry = db.prepare('SELECT note FROM entry WHERE id = ?')
  }

  /** Takes the documents of one change: an order with its consents, or a rotation with the new certificate. */
  apply(texts: readonly string[]): Obeyed {
    const { orders, consents, rotations, certificates } = parseDocuments(texts)
    const [order, certificate, rotation] = [orders[0], certificates[0], rotations[0]]
    if (orders.length + rotations.length !== 1 || certificates.length > 1) {
      const got = `${orders.length} orders, ${rotations.length} rotations and ${certificates.length} certificates`
      throw new WattError('order/invalid', `one order, or one rotation with its certificate, expected, got ${got}`)
    }
    if (rotation !== undefined) return this.#rotate(rotation, certificate)
    if (order === undefined) throw new WattError('order/invalid', 'one order expected')
    return this.#obey({ order, consents }, certificate)
  }

  #obey(signed: SignedOrder, certificate: Certificate | undefined): Obeyed {
    const { order } = signed
    const { action } = order
    if (action.do === 'accept') return this.#accept(signed, certificate)
    const point = this.#get(order.point)
    checkSigner(order, point.terms)
    checkYouth(order, point.orderAt)
    switch (action.do) {
      case 'cap': {
        const entry = this.#enrolment.changeTerms(point, obeyOrder(point.terms, order), documentsOf(signed))
        this.#enrolment.bindOwner(point.id, order, point.terms.owner)
        return { point: point.id, action: action.do, entry, waits: false }
      }
      case 'revoke': {
        const { entry } = this.#enrolment.revoke(point.id, action.last, documentsOf(signed))
        this.#enrolment.bindOwner(point.id, order, point.terms.owner)
        return { point: point.id, action: action.do, entry, waits: false }
      }
      case 'transfer':
        checkConsent(signed, action.to, `the new owner, ${action.owner}`)
        this.#enrolment.checkOwner(action.owner, parsePublicKey(action.to))
        return this.#wait(point, signed, { after: action.after })
      case 'move':
        this.#checkMove(point, signed, action.behind)
        return this.#wait(point, signed, { after: action.after, ...(action.behind && { behind: action.behind }) })
    }
  }

  #accept(signed: SignedOrder, certificate: Certificate | undefined): Obeyed {
    const { order } = signed
    if (certificate === undefined) {
      throw new WattError('order/invalid', `'${order.point}': the certificate that is accepted is missing`)
    }
    const { point: id, key } = certificate
    this.#enrolment.enrol({ point: id, key, terms: termsOf(certificate), certificate, acceptance: signed })
    return { point: id, action: 'accept', entry: this.#get(id).termsEntry, waits: false }
  }

  // Both above are touched: what leaves one of them burns there from then on.
  #checkMove(point: Point, signed: SignedOrder, behind: string | undefined): void {
    const [from, to] = [point.terms.behind, behind].map((name) => (name === undefined ? undefined : this.#get(name)))
    this.#enrolment.checkPlace(point.id, behind)
    if (from === to) throw new WattError('order/invalid', `'${point.id}' stands there already`)
    checkConsent(signed, from?.terms.ownerKey, `the owner of '${from?.id}', which it leaves`)
    checkConsent(signed, to?.terms.ownerKey, `the owner of '${to?.id}', behind which it is to stand`)
  }

  // What is recorded is booked, and final: an order reaches forward only.
  #wait(point: Point, signed: SignedOrder, { after, behind }: { after: Place; behind?: string }): Obeyed {
    const { order } = signed
    if (point.pending !== undefined) {
      throw new WattError('order/pending', `'${point.id}': journal entry ${point.pending.entry} waits for its place`)
    }
    if (point.head !== undefined && isAfter(point.head, after)) {
      const { epoch, sequence } = point.head
      const places = `${after.epoch}/${after.sequence}, ${epoch}/${sequence} is booked`
      throw new WattError('order/passed', `'${point.id}': the order is to count after ${places}`)
    }
    const wait = behind === undefined ? { after } : { after, behind }
    const entry = this.#enrolment.postpone(point, order, wait, documentsOf(signed))
    if (order.action.do === 'transfer') {
      this.#enrolment.bindOwner(point.id, order, order.action.owner, order.action.to)
    }
    return { point: point.id, action: order.action.do, entry, waits: true }
  }

  /**
   * Puts an order in force whose place has come: `at` is the next record. A session that is open then ends first; it is
   * its old owner's, and booked in its old place.
   */
  takeEffect(point: Point, at: Place): boolean {
    const { pending, session } = point
    if (pending === undefined || session !== undefined || !isAfter(at, pending.after)) return false
    const [order] = parseDocuments(documentsIn(this.#entry.get(pending.entry)?.note)).orders
    if (order === undefined) throw new WattError('journal/broken', `entry ${pending.entry} holds no order`)
    this.#enrolment.takeEffect(point, obeyOrder(point.terms, order), at)
    return true
  }

  /** Judges what came in place of a certificate: a rotation and its certificate, or several, the oldest first. */
  takeRotations(id: string, text: string): CertificateVerdict {
    try {
      const { rotations, certificates } = parseDocuments([text])
      // What its first key has signed is still to come: whoever is not enrolled begins with that one.
      const first = certificates.find(({ key }) => samePublicKey(key, rotations[0]?.key ?? new Uint8Array()))
      if (this.#registry.get(id) === undefined && first !== undefined) {
        const verdict = this.#enrolment.takeCertificate(first.point, first.text)
        if (verdict.kind === 'refused') return verdict
      }
      let taken: CertificateVerdict | undefined
      const successorOf = ({ certificate }: KeyRotation) => certificates.find(({ hash }) => hash === certificate)
      // What led to a key that is enrolled is of no interest any more.
      const done = rotations.findLastIndex((rotation) => this.#isDone(successorOf(rotation)))
      for (const rotation of rotations.slice(done + 1)) {
        if (rotation.point !== id)
          throw new WattError('order/invalid', `rotation of '${rotation.point}', not of '${id}'`)
        this.#rotate(rotation, successorOf(rotation))
        taken = { kind: 'taken', hash: rotation.certificate }
      }
      return taken ?? { kind: 'known', hash: certificates.at(-1)?.hash ?? '' }
    } catch (error) {
      if (!(error instanceof WattError) || error.code.startsWith('storage/')) throw error
      return { kind: 'refused', code: error.code, message: error.message }
    }
  }

  #isDone(certificate: Certificate | undefined): boolean {
    const keys = certificate === undefined ? [] : (this.#registry.get(certificate.point)?.keys ?? [])
    return keys.some((known) => samePublicKey(known.key, certificate?.key ?? new Uint8Array()))
  }

  // SPEC-95: the key that may speak may name its successor; nobody else is asked.
  #rotate(rotation: KeyRotation, certificate: Certificate | undefined): Obeyed {
    const point = this.#get(rotation.point)
    const { last } = rotation
    if (certificate === undefined || !isSuccessor(rotation, certificate)) {
      throw new WattError('order/invalid', `'${point.id}': the certificate that the rotation names is missing`)
    }
    if (stateOf(point) !== 'active') {
      const code = point.frozen === undefined ? 'point/revoked' : 'point/frozen'
      throw new WattError(code, `'${point.id}' is ${stateOf(point)}: its key cannot name another`)
    }
    if (!samePublicKey(point.keys.at(-1)?.key ?? new Uint8Array(), rotation.key)) {
      const got = formatPublicKey(rotation.key).slice(-16)
      throw new WattError('order/wrong-key', `'${point.id}': ...${got} is not its key, and cannot name another`)
    }
    this.#checkLast(point, last)
    this.#enrolment.checkKeyIsFree(point.id, certificate.key)
    const documents = [rotation.text, certificate.text]
    const place = { epoch: last.epoch, sequence: last.sequence }
    const entry = this.#enrolment.succeed(point, { last: place, cause: { documents } }, certificate)
    return { point: point.id, action: 'rotate', entry, waits: false }
  }

  // A key that has signed more than it says was copied, or its gateway was restored: a person must look.
  #checkLast({ id, head }: Point, last: KeyRotation['last']): void {
    if (head === undefined || isAfter(last, head)) return
    const isHead = head.epoch === last.epoch && head.sequence === last.sequence
    if (isHead && head.hash === last.hash) return
    const told = `${last.epoch}/${last.sequence} with ${last.hash.slice(0, 8)}`
    const got = `${head.epoch}/${head.sequence} with ${head.hash.slice(0, 8)}`
    throw new WattError('order/passed', `'${id}': its key says that it ended at ${told}, ${got} is accepted`)
  }

  #get(id: string): Point {
    const point = this.#registry.get(id)
    if (point === undefined) throw new WattError('point/unknown', `'${id}' is not enrolled`)
    return point
  }
}

/** The texts that an entry's note keeps. */
export function documentsIn(note: string | undefined): readonly string[] {
  const content: unknown = JSON.parse(note ?? '{}')
  const texts: unknown = typeof content === 'object' && content !== null ? Reflect.get(content, 'documents') : undefined
  return Array.isArray(texts) ? texts.filter((text) => typeof text === 'string') : []
}
