import {
  type Certificate,
  type Clock,
  type ErrorCode,
  formatPublicKey,
  type PointId,
  type PublicKey,
  parseAddress,
  parseCertificate,
  parseDocument,
  parsePointId,
  samePublicKey,
  WattError,
} from '@wattline/protocol'
import type { Ledger } from './ledger/ledger.ts'
import { isAfter, type Place, type Point, type Registry, stateOf, type Terms, termsOf } from './registry.ts'
import type { Database, Statement } from './store/database.ts'

/** What an operator, or a first certificate where enrolment is open, asks for. */
export interface EnrolmentRequest {
  readonly point: PointId
  readonly key: PublicKey
  readonly terms: Terms
  readonly certificate?: Certificate
}

/** Whether a certificate was taken, was known already, or why it was not. */
export type CertificateVerdict =
  | { readonly kind: 'taken' | 'known'; readonly hash: string }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string }

/** The rules of who may speak for a metering point, and the tables they are kept in. */
export class Enrolment {
  readonly #registry: Registry
  readonly #ledger: Ledger
  readonly #clock: Clock
  readonly #open: boolean
  readonly #insertPoint: Statement<
    [string, string, string, string, string | null, number | null, bigint | null, number],
    unknown
  >
  readonly #changePoint: Statement<
    [string, string, string | null, number | null, bigint | null, number, number],
    unknown
  >
  readonly #insertKey: Statement<[string, string], unknown>
  readonly #revokeKeys: Statement<[number, number, number], unknown>
  readonly #keyUser: Statement<[string, string], { name: string }>
  readonly #freeze: Statement<[number | null, number], unknown>
  readonly #markCertified: Statement<[string], unknown>
  readonly #insertCertificate: Statement<[string, string, string, string, number], unknown>
  readonly #hasCertificate: Statement<[string, string], unknown>

  constructor(db: Database, registry: Registry, ledger: Ledger, options: { clock: Clock; open: boolean }) {
    this.#registry = registry
    this.#ledger = ledger
    this.#clock = options.clock
    this.#open = options.open
    this.#insertPoint = db.prepare(
      `INSERT INTO point (name, gateway, owner, role, behind, max_power_w, rollover_wh, terms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#changePoint = db.prepare(
      `UPDATE point SET owner = ?, role = ?, behind = ?, max_power_w = ?, rollover_wh = ?, terms = ? WHERE id = ?`,
    )
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
    if (!this.#open) {
      throw new WattError('point/closed-enrolment', `'${point}' is not enrolled: an operator must enrol it`)
    }
    if (behind !== undefined && parsePointId(behind).gatewayId !== parsePointId(point).gatewayId) {
      throw new WattError(
        'certificate/invalid',
        `'${point}' behind '${behind}': of another gateway, an operator must enrol it`,
      )
    }
    this.enrol({ point, key, terms: termsOf(certificate), certificate })
  }

  // A second certificate by the same key (a gateway that lost its memory but not its key) is one more place where
  // its chain may begin; the terms stay as they were enrolled.
  #addCertificate(point: Point, certificate: Certificate): void {
    if (!point.keys.some(({ key }) => samePublicKey(key, certificate.key))) {
      const got = formatPublicKey(certificate.key).slice(-16)
      throw new WattError('record/wrong-key', `certificate of '${point.id}': its key ...${got} is not the enrolled one`)
    }
    const { maxPowerW, rolloverWh } = certificate
    if (point.terms.maxPowerW === undefined) {
      this.#change(
        point,
        { ...point.terms, maxPowerW, ...(rolloverWh === undefined ? {} : { rolloverWh }) },
        point.keys.at(-1)?.key,
      )
    }
    this.#file(certificate)
    this.#registry.reload()
  }

  /** Enrols a point, or changes an enrolled one; a further key takes over from the ones before. */
  enrol(request: EnrolmentRequest): void {
    const { point: id, key, terms, certificate } = request
    const spki = formatPublicKey(key)
    const user = this.#keyUser.get(spki, id)?.name
    if (user !== undefined) throw new WattError('key/exists', `the key for '${id}' is already the key of '${user}'`)
    this.#checkPlace(id, terms.behind)
    // A wallet's account has one spelling (SPEC-150); WATT under another would be nobody's.
    if (/^0x/i.test(terms.owner)) parseAddress(terms.owner)
    const point = this.#registry.get(id)
    if (point === undefined) {
      const entry = this.#noteTerms(id, terms, key)
      const { owner, role, behind = null, maxPowerW = null, rolloverWh = null } = terms
      this.#insertPoint.run(id, parsePointId(id).gatewayId, owner, role, behind, maxPowerW, rolloverWh, entry)
      this.#insertKey.run(spki, id)
    } else {
      this.#changeEnrolled(point, terms, key)
    }
    if (certificate !== undefined) this.#file(certificate)
    this.#registry.reload()
  }

  #changeEnrolled(point: Point, terms: Terms, key: PublicKey): void {
    if (point.records > 0 && (point.terms.role !== terms.role || point.terms.behind !== terms.behind)) {
      throw new WattError(
        'config/invalid',
        `'${point.id}' has ${point.records} accepted records as ${point.terms.role} behind ` +
          `${point.terms.behind ?? 'nothing'}: role and place stay; enrol it under another name`,
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
    if (point.frozen !== undefined) {
      this.#closeKeys(point, point.head ?? { epoch: 0, sequence: 0 })
      this.#freeze.run(null, point.rowId)
    }
    this.#change(point, terms, key)
    if (isNew) this.#insertKey.run(formatPublicKey(key), point.id)
  }

  /** Ends the validity of a point's keys after a place. What was booked stays booked: receipts are final. */
  revoke(id: PointId, last: Place): { readonly acceptedAfter: boolean } {
    const point = this.#registry.get(id)
    if (point === undefined) throw new WattError('point/unknown', `'${id}' is not enrolled`)
    if (stateOf(point) === 'revoked') throw new WattError('point/revoked', `'${id}' is revoked already`)
    // The head says what was accepted before and stays; anything later that the key signs must not be here.
    const { epoch: headEpoch, sequence: headSequence } = point.head ?? { epoch: 0, sequence: 0 }
    const note = { lastEpoch: last.epoch, lastSequence: last.sequence, headEpoch, headSequence }
    this.#ledger.note('revocation', id, note)
    this.#closeKeys(point, last)
    this.#registry.reload()
    return { acceptedAfter: point.head !== undefined && isAfter(point.head, last) }
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

  #change(point: Point, terms: Terms, key: PublicKey | undefined): void {
    const entry = this.#noteTerms(point.id, terms, key)
    const { owner, role, behind = null, maxPowerW = null, rolloverWh = null } = terms
    this.#changePoint.run(owner, role, behind, maxPowerW, rolloverWh, entry, point.rowId)
  }

  // The journal keeps every change of terms, so that any booking can be worked out again from it.
  #noteTerms(id: PointId, terms: Terms, key: PublicKey | undefined): number {
    const { rolloverWh, ...rest } = terms
    const note = {
      ...rest,
      rolloverWh: rolloverWh?.toString(),
      key: key === undefined ? undefined : formatPublicKey(key),
    }
    return this.#ledger.note('enrolment', id, note)
  }

  #file({ point, hash, key, text }: Certificate): void {
    this.#insertCertificate.run(point, hash, formatPublicKey(key), text, this.#clock.now())
    this.#markCertified.run(point)
  }

  // Metering points form a tree: following `behind` upwards must end.
  #checkPlace(id: PointId, behind: PointId | undefined): void {
    for (let above = behind; above !== undefined; above = this.#registry.get(above)?.terms.behind) {
      if (above === id)
        throw new WattError('certificate/invalid', `'${id}' behind '${behind}': the points would form a circle`)
    }
  }
}
