import {
  type Certificate,
  type Clock,
  type ErrorCode,
  formatPublicKey,
  type PointConsent,
  type PointId,
  type PointOrder,
  type PublicKey,
  parseAddress,
  parseCertificate,
  parseDocument,
  parsePointId,
  samePublicKey,
  WattError,
} from '@wattline/protocol'
import type { Ledger } from '../ledger/ledger.ts'
import type { Database, Statement } from '../store/database.ts'
import { type Border, Memberships } from './memberships.ts'
import { checkAcceptance, documentsOf } from './owner-order-rules.ts'
import {
  completeTerms,
  isAfter,
  type Place,
  type Point,
  type Registry,
  stateOf,
  type Terms,
  termsOf,
} from './registry.ts'

/** What an operator, or a first certificate where enrolment is open, asks for. */
export interface EnrolmentRequest {
  readonly point: PointId
  readonly key: PublicKey
  readonly terms: Terms
  readonly certificate?: Certificate
  /** The owner's order that accepts the certificate, and who else agrees. */
  readonly acceptance?: SignedOrder
  /** Nobody asks but its certificate, as enrolment is open. */
  readonly firstSeen?: true
}

/** An order with the consents that came with it. */
export interface SignedOrder {
  readonly order: PointOrder
  readonly consents: readonly PointConsent[]
}

/** `open`: any point at its first certificate. `closed`: an operator enrols. `signed`: and its owner has signed. */
export const enrolmentModes = ['open', 'closed', 'signed'] as const
export type EnrolmentMode = (typeof enrolmentModes)[number]

/** Whether a certificate was taken, was known already, or why it was not. */
export type CertificateVerdict =
  | { readonly kind: 'taken' | 'known'; readonly hash: string }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string }

/** The rules of who may speak for a metering point, and the tables they are kept in. */
export class Enrolment {
  readonly #registry: Registry
  readonly #ledger: Ledger
  readonly #clock: Clock
  readonly #mode: EnrolmentMode
  readonly #memberships: Memberships
  readonly #insertPoint: Statement<[name: string, gateway: string, ...TermColumns], unknown>
  readonly #changePoint: Statement<[...TermColumns, rowId: number], unknown>
  readonly #insertKey: Statement<[string, string], unknown>
  readonly #revokeKeys: Statement<[number, number, number], unknown>
  readonly #keyUser: Statement<[string, string], { name: string }>
  readonly #freeze: Statement<[number | null, number], unknown>
  readonly #markCertified: Statement<[string], unknown>
  readonly #insertCertificate: Statement<[string, string, string, string, number], unknown>
  readonly #hasCertificate: Statement<[string, string], unknown>
  readonly #ownerKey: Statement<[string], { key: string }>
  readonly #bindOwner: Statement<[string, string, number], unknown>
  readonly #noteOrder: Statement<[number, string], unknown>
  readonly #wait: Statement<[number | null, number | null, number | null, string | null, number], unknown>

  constructor(db: Database, registry: Registry, ledger: Ledger, options: { clock: Clock; mode: EnrolmentMode }) {
    this.#registry = registry
    this.#ledger = ledger
    this.#clock = options.clock
    this.#mode = options.mode
    this.#memberships = new Memberships(db)
    const columns = 'owner, role, behind, max_power_w, rollover_wh, owner_key, first_import_wh, first_export_wh, terms'
    this.#insertPoint = db.prepare(
      `INSERT INTO point (name, gateway, ${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#changePoint = db.prepare(`UPDATE point SET ${columns.replaceAll(/\w+/g, '$& = ?')} WHERE id = ?`)
    this.#insertKey = db.prepare('INSERT INTO point_key (point, key) SELECT id, ? FROM point WHERE name = ?')
    this.#revokeKeys = db.prepare(
      'UPDATE point_key SET last_epoch = ?, last_sequence = ? WHERE point = ? AND last_epoch IS NULL',
    )
    this.#keyUser = db.prepare(
      'SELECT name FROM point JOIN point_key ON point_key.point = point.id WHERE key = ? AND name <> ?',
    )
    this.#freeze = db.prepare('UPDATE point SET frozen = ? WHERE id = ?')
    this.#insertCertificate = db.prepare(
      'INSERT INTO certificate (point, hash, key, text, received_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
    )
    this.#hasCertificate = db.prepare('SELECT 1 FROM certificate WHERE point = ? AND hash = ?')
    this.#markCertified = db.prepare('UPDATE point SET certified = 1 WHERE name = ?')
    this.#ownerKey = db.prepare('SELECT key FROM owner_key WHERE owner = ?')
    this.#bindOwner = db.prepare('INSERT INTO owner_key (owner, key, entry) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
    this.#wait = db.prepare(
      'UPDATE point SET pending = ?, pending_epoch = ?, pending_sequence = ?, pending_behind = ? WHERE id = ?',
    )
    this.#noteOrder = db.prepare('UPDATE point SET order_at = ? WHERE name = ?')
  }

  /** Whether a chain may begin at a certificate: it is on file for this point. */
  isAnchor(point: PointId, hash: string): boolean {
    return this.#hasCertificate.get(point, hash) !== undefined
  }

  /** Judges a certificate that arrived for a point, and files it. */
  takeCertificate(id: PointId, text: string): CertificateVerdict {
    try {
      // It comes again with each connect: what is on file need not be checked again.
      const { hash } = parseDocument('WATT-CERT', text, 'certificate/invalid')
      if (this.isAnchor(id, hash)) return { kind: 'known', hash }
      const certificate = parseCertificate(text)
      if (certificate.point !== id) {
        throw new WattError('certificate/invalid', `certificate of '${certificate.point}' on the topic of '${id}'`)
      }
      const point = this.#registry.get(id)
      if (point === undefined) this.#enrolFirstSeen(certificate)
      else this.#addCertificate(point, certificate)
      return { kind: 'taken', hash }
    } catch (error) {
      if (!(error instanceof WattError) || error.code.startsWith('storage/')) throw error
      return { kind: 'refused', code: error.code, message: error.message }
    }
  }

  // Whoever is first gets the name: for demonstrations. A stranger must not hang a meter behind someone else's,
  // where it would change what that owner burns.
  #enrolFirstSeen(certificate: Certificate): void {
    const { point, behind, key } = certificate
    if (this.#mode === 'signed') {
      throw new WattError('order/unsigned', `'${point}' is not enrolled: its owner must accept its certificate`)
    }
    if (this.#mode === 'closed') {
      throw new WattError('point/closed-enrolment', `'${point}' is not enrolled: an operator must enrol it`)
    }
    if (behind !== undefined && parsePointId(behind).gatewayId !== parsePointId(point).gatewayId) {
      throw new WattError(
        'certificate/invalid',
        `'${point}' behind '${behind}': of another gateway, an operator must enrol it`,
      )
    }
    this.enrol({ point, key, terms: termsOf(certificate), certificate, firstSeen: true })
  }

  // A second certificate by the same key (a gateway that lost its memory but not its key) is one more place where
  // its chain may begin; the terms stay as they were enrolled.
  #addCertificate(point: Point, certificate: Certificate): void {
    const known = point.keys.find(({ key }) => samePublicKey(key, certificate.key))
    if (known === undefined) {
      const got = formatPublicKey(certificate.key).slice(-16)
      throw new WattError('record/wrong-key', `certificate of '${point.id}': its key ...${got} is not the enrolled one`)
    }
    // Whoever has copied a key that has gone tells no terms with it.
    if (point.terms.maxPowerW === undefined && known === point.keys.at(-1) && stateOf(point) === 'active') {
      this.changeTerms(point, completeTerms(point.terms, certificate), { certificate: certificate.hash })
    }
    this.#file(certificate)
    this.#registry.reload()
  }

  /** Enrols a point, or changes an enrolled one; a further key takes over from the ones before. */
  enrol(request: EnrolmentRequest): void {
    const { point: id, key, terms: wanted, certificate, acceptance, firstSeen } = request
    this.checkKeyIsFree(id, key)
    this.checkPlace(id, wanted.behind)
    // A wallet's account has one spelling (SPEC-150); WATT under another would be nobody's.
    if (/^0x/i.test(wanted.owner)) parseAddress(wanted.owner)
    const point = this.#registry.get(id)
    const terms = this.#authorise(request, point)
    const seen = firstSeen === true ? { certificate: certificate?.hash } : {} // on whose word, for the audit
    const cause = acceptance === undefined ? seen : documentsOf(acceptance, certificate)
    if (point === undefined) {
      const entry = this.#noteTerms('enrolment', id, { terms, key, cause })
      const { lastInsertRowid } = this.#insertPoint.run(id, parsePointId(id).gatewayId, ...toColumns(terms, entry))
      this.#insertKey.run(formatPublicKey(key), id)
      if (terms.behind !== undefined) this.#memberships.move(Number(lastInsertRowid), terms.behind, never)
    } else {
      this.#changeEnrolled(point, terms, key, cause)
    }
    if (certificate !== undefined) this.#file(certificate)
    this.#registry.reload()
    if (acceptance !== undefined) this.bindOwner(id, acceptance.order, terms.owner)
  }

  // SPEC-93: whoever has signed once for a point is asked again, whatever the config says.
  #authorise({ point: id, terms, certificate, acceptance }: EnrolmentRequest, point: Point | undefined): Terms {
    if (acceptance !== undefined) {
      const parent = terms.behind === undefined ? undefined : this.#registry.get(terms.behind)
      const owner = checkAcceptance(acceptance, { id, certificate, point, parent })
      this.checkOwner(owner, acceptance.order.key)
      return { ...terms, owner, ownerKey: formatPublicKey(acceptance.order.key) }
    }
    if (this.#mode === 'signed' || point?.terms.ownerKey !== undefined) {
      throw new WattError('order/unsigned', `'${id}': its owner's acceptance of its certificate is missing`)
    }
    return terms
  }

  /** Throws where a key speaks for another point already. */
  checkKeyIsFree(id: PointId, key: PublicKey): void {
    const user = this.#keyUser.get(formatPublicKey(key), id)?.name
    if (user !== undefined) throw new WattError('key/exists', `the key for '${id}' is already the key of '${user}'`)
  }

  /** Throws where an account belongs to another key: the first that spoke for it. */
  checkOwner(owner: string, key: PublicKey): void {
    const bound = this.#ownerKey.get(owner)?.key
    if (bound === undefined || bound === formatPublicKey(key)) return
    throw new WattError('order/wrong-key', `account '${owner}': another key, ...${bound.slice(-16)}, speaks for it`)
  }

  /** Keeps whose key speaks for an account, and that nothing older than this order counts at its point. */
  bindOwner(id: PointId, order: PointOrder, owner: string, key = formatPublicKey(order.key)): void {
    const entry = this.#registry.get(id)?.termsEntry ?? 0
    this.#bindOwner.run(owner, key, entry)
    this.#noteOrder.run(order.issuedAt, id)
    this.#registry.reload()
  }

  /** Writes an order down that waits for its place; `cause` holds its documents. */
  postpone(
    point: Point,
    order: PointOrder,
    wait: { readonly after: Place; readonly behind?: string },
    cause: object,
  ): number {
    const { after, behind } = wait
    const entry = this.#ledger.note('order', point.id, { after, ...cause })
    this.#wait.run(entry, after.epoch, after.sequence, behind ?? null, point.rowId)
    this.#noteOrder.run(order.issuedAt, point.id)
    this.#registry.reload()
    return entry
  }

  /** SPEC-95: another key takes over; the one before is valid up to its last place. */
  succeed(
    point: Point,
    { last, cause }: { readonly last: Place; readonly cause: object },
    certificate: Certificate,
  ): number {
    const { key } = certificate
    // Its certificate will not come again: where an operator had left the power out, this is the time to tell it.
    const terms = completeTerms(point.terms, certificate)
    const entry = this.#noteTerms('rotation', point.id, { terms, key, cause: { last, ...cause } })
    this.#changePoint.run(...toColumns(terms, entry), point.rowId)
    this.#closeKeys(point, last)
    this.#insertKey.run(formatPublicKey(key), point.id)
    this.#file(certificate)
    this.#registry.reload()
    return entry
  }

  #changeEnrolled(point: Point, terms: Terms, key: PublicKey, cause: object): void {
    if (point.records > 0 && (point.terms.role !== terms.role || point.terms.behind !== terms.behind)) {
      throw new WattError(
        'config/invalid',
        `'${point.id}' has ${point.records} accepted records as ${point.terms.role} behind ` +
          `${point.terms.behind ?? 'nothing'}: role stays, and its place changes by an order; or enrol it under another name`,
      )
    }
    const isNew = !point.keys.some((known) => samePublicKey(known.key, key))
    const isNewest = samePublicKey(point.keys.at(-1)?.key ?? new Uint8Array(), key)
    if (!isNew && (!isNewest || stateOf(point) !== 'active')) {
      throw new WattError(
        'key/exists',
        `'${point.id}' is ${stateOf(point)} or has a newer key: it needs a key of its own again`,
      )
    }
    // What a frozen key said up to now stays; it says nothing more.
    const { epoch, sequence } = point.head ?? { epoch: 0, sequence: 0 }
    const closed = point.frozen === undefined ? {} : { closed: { epoch, sequence } }
    if (point.frozen !== undefined) {
      this.#closeKeys(point, { epoch, sequence })
      this.#freeze.run(null, point.rowId)
    }
    this.changeTerms(point, terms, { key, ...closed, ...cause })
    if (isNew) this.#insertKey.run(formatPublicKey(key), point.id)
  }

  /** Ends the validity of a point's keys after a place. What was booked stays booked: receipts are final. */
  revoke(id: PointId, last: Place, cause: object = {}): { readonly acceptedAfter: boolean; readonly entry: number } {
    const point = this.#registry.get(id)
    if (point === undefined) throw new WattError('point/unknown', `'${id}' is not enrolled`)
    if (stateOf(point) === 'revoked') throw new WattError('point/revoked', `'${id}' is revoked already`)
    // The head says what was accepted before and stays; anything later that the key signs must not be here.
    const { epoch: headEpoch, sequence: headSequence } = point.head ?? { epoch: 0, sequence: 0 }
    const note = { lastEpoch: last.epoch, lastSequence: last.sequence, headEpoch, headSequence, ...cause }
    const entry = this.#ledger.note('revocation', id, note)
    this.#closeKeys(point, last)
    this.#registry.reload()
    return { acceptedAfter: point.head !== undefined && isAfter(point.head, last), entry }
  }

  /** Stops a point that told two stories; no other point is touched. */
  freeze(point: Point, note: object): number {
    const entry = this.#ledger.note('freeze', point.id, note)
    this.#freeze.run(entry, point.rowId)
    this.#registry.reload()
    return entry
  }

  #closeKeys(point: Point, last: Place): void {
    this.#revokeKeys.run(last.epoch, last.sequence, point.rowId)
  }

  /** Writes other terms down, and puts them in force from the next record on. */
  changeTerms(point: Point, terms: Terms, { key = point.keys.at(-1)?.key, ...cause }: Cause = {}): number {
    const entry = this.#noteTerms('enrolment', point.id, { terms, key, cause })
    this.#changePoint.run(...toColumns(terms, entry), point.rowId)
    if (terms.behind !== point.terms.behind) {
      const border = point.head === undefined ? never : this.#memberships.borderAt(point.head.takenAt)
      this.#memberships.move(point.rowId, terms.behind, border)
    }
    this.#registry.reload()
    return entry
  }

  /** Puts an order in force that has waited: `at` is the first record that it counts for. */
  takeEffect(point: Point, terms: Terms, at: Place): void {
    const { entry, after } = point.pending ?? {}
    this.changeTerms(point, terms, { order: entry, after, at })
    this.#wait.run(null, null, null, null, point.rowId)
    this.#registry.reload()
  }

  // The journal keeps every change of terms, so that any booking can be worked out again from it.
  #noteTerms(kind: 'enrolment' | 'rotation', id: PointId, { terms, key, cause }: NotedTerms): number {
    const { rolloverWh, first, ...rest } = terms
    const note = {
      ...rest,
      rolloverWh: rolloverWh?.toString(),
      first: first && { import: first.import?.toString(), export: first.export?.toString() },
      key: key === undefined ? undefined : formatPublicKey(key),
      ...cause,
    }
    return this.#ledger.note(kind, id, note)
  }

  #file({ point, hash, key, text }: Certificate): void {
    this.#insertCertificate.run(point, hash, formatPublicKey(key), text, this.#clock.now())
    this.#markCertified.run(point)
  }

  /** Throws where a point would stand behind itself, at any time: what is behind it now, or ever was, stays below. */
  checkPlace(id: PointId, behind: string | undefined): void {
    for (let level = behind === undefined ? [] : [behind]; level.length > 0; ) {
      if (level.includes(id)) {
        throw new WattError('certificate/invalid', `'${id}' behind '${behind}': the points would form a circle`)
      }
      const known = level.flatMap((name) => this.#registry.get(name) ?? [])
      level = known.flatMap((point) => this.#registry.namesAbove(point))
    }
  }
}

/** A place in the tree that is taken before the first record. */
const never: Border = { at: undefined, mark: 0n }

/** Why terms change: a new key, an order with its documents. */
type Cause = { readonly key?: PublicKey } & Readonly<Record<string, unknown>>

interface NotedTerms {
  readonly terms: Terms
  readonly key: PublicKey | undefined
  readonly cause: object
}

type TermColumns = [
  owner: string,
  role: string,
  behind: string | null,
  maxPowerW: number | null,
  rolloverWh: bigint | null,
  ownerKey: string | null,
  firstImportWh: bigint | null,
  firstExportWh: bigint | null,
  terms: number,
]

function toColumns(terms: Terms, entry: number): TermColumns {
  const { owner, role, behind = null, maxPowerW = null, rolloverWh = null, ownerKey = null, first } = terms
  return [owner, role, behind, maxPowerW, rolloverWh, ownerKey, first?.import ?? null, first?.export ?? null, entry]
}
