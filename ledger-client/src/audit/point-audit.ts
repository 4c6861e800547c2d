import { formatPublicKey, isSuccessor, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { isEmpty, type Membership, Memberships } from '../points/memberships.ts'
import {
  checkAcceptance,
  checkConsent,
  checkSigner,
  checkYouth,
  type Documents,
  obeyOrder,
  parseDocuments,
} from '../points/owner-order-rules.ts'
import { completeTerms, type Place, type Point, type Terms } from '../points/registry.ts'
import type { Database } from '../store/database.ts'
import { readStatedTerms, type StatedTerms } from './journal-audit.ts'
import type { Faults } from './report.ts'
import { SwapAudit, swapShape } from './swap-audit.ts'

// SPEC-94: what is enrolled is worked out again from the journal alone: keys and their last places, freezes, orders
// that wait, the tree. And each document that an entry keeps must be signed by whom the rules ask.

const place = v.object({ epoch: v.number(), sequence: v.number() })
const noteShape = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    documents: v.optional(v.array(v.string()), []),
    /** `revocation` */
    lastEpoch: v.optional(v.number()),
    lastSequence: v.optional(v.number()),
    /** `rotation`: where the key before ended. */
    last: v.optional(place),
    /** An enrolment that ends a freeze. */
    closed: v.optional(place),
    /** `order` */
    after: v.optional(place),
    /** `swap` */
    ...swapShape,
  }),
)

interface EntryRow {
  readonly id: number
  readonly kind: string
  readonly point: string
  readonly note: string
}

type Note = v.InferOutput<typeof noteShape>

/** An order that waits for its place. */
interface Waiting {
  readonly entry: number
  readonly after: Place
  /** Where the point will stand. */
  readonly behind?: string
}

/** What the journal says of one point so far. */
interface Expected {
  terms: Terms | undefined
  /** SPKI to the last place; `unknown` where an older program did not write it down. */
  readonly keys: Map<string, string>
  frozen: number | undefined
  pending: (Waiting & { readonly documents: Documents }) | undefined
  orderAt: number
  readonly memberships: string[]
}

/** Checks every point's enrolment against the journal. */
export function checkPoints(db: Database, points: readonly Point[], faults: Faults): void {
  const audit = new PointAudit(db, faults)
  audit.replay()
  for (const point of points) audit.compare(point)
}

class PointAudit {
  readonly #db: Database
  readonly #faults: Faults
  readonly #stated: ReadonlyMap<number, StatedTerms>
  readonly #points = new Map<string, Expected>()
  readonly #memberships: readonly Membership[]
  readonly #swaps: SwapAudit
  /** SPEC-93: by account, the first key that spoke for it. */
  readonly #owners = new Map<string, string>()

  constructor(db: Database, faults: Faults) {
    this.#db = db
    this.#faults = faults
    this.#stated = readStatedTerms(db)
    this.#memberships = new Memberships(db).all()
    this.#swaps = new SwapAudit(db)
  }

  replay(): void {
    const rows = this.#db.prepare<[], EntryRow>(
      `SELECT id, kind, point, note FROM entry
       WHERE kind IN ('enrolment', 'rotation', 'swap', 'revocation', 'freeze', 'order') ORDER BY id`,
    )
    for (const row of rows.all()) {
      const note = v.safeParse(noteShape, row.note)
      if (note.success) this.#step(row, note.output)
      else this.#faults.add(`entry ${row.id}`, 'journal/broken', `its note is no note of a '${row.kind}'`)
    }
    this.#swaps.compare(this.#stated, this.#faults)
    this.#compareOwners()
  }

  #compareOwners(): void {
    const rows = this.#db.prepare<[], { owner: string; key: string }>('SELECT owner, key FROM owner_key').all()
    const told = new Map(rows.map(({ owner, key }) => [owner, key]))
    for (const owner of new Set([...this.#owners.keys(), ...told.keys()])) {
      const [expected, got] = [this.#owners, told].map((keys) => keys.get(owner) ?? 'none')
      if (expected === got) continue
      const words = `key ...${expected?.slice(-16)} speaks for it by the journal, its row says ...${got?.slice(-16)}`
      this.#faults.add(`account owner:${owner}`, 'journal/broken', words)
    }
  }

  // An account belongs to the first key that spoke for it, at whatever point.
  #bindOwner(owner: string, key: string): void {
    const bound = this.#owners.get(owner) ?? key
    this.#owners.set(owner, bound)
    if (bound === key) return
    const words = `...${key.slice(-16)} speaks for account '${owner}', its key is ...${bound.slice(-16)}`
    throw new WattError('order/wrong-key', words)
  }

  #step(row: EntryRow, note: Note): void {
    const point = this.#expected(row.point)
    try {
      const documents = parseDocuments(note.documents)
      if (row.kind === 'freeze') point.frozen = row.id
      else if (row.kind === 'swap') this.#swaps.take(row.point, note)
      else if (row.kind === 'order') this.#postpone(point, row, { note, documents })
      else if (row.kind === 'revocation') this.#revoke(point, note, documents)
      else this.#restate(point, row, { note, documents })
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      this.#faults.add(`entry ${row.id}`, error.code, error.message)
    }
  }

  #postpone(point: Expected, { id }: EntryRow, { note, documents }: Noted): void {
    const [order] = documents.orders
    if (order === undefined || note.after === undefined || point.terms === undefined) {
      throw new WattError('journal/broken', 'it keeps no order')
    }
    checkSigner(order, point.terms)
    checkYouth(order, point.orderAt)
    const { action } = order
    if (action.do !== 'transfer' && action.do !== 'move') throw new WattError('journal/broken', `'${action.do}' waits`)
    if (formatPlace(action.after) !== formatPlace(note.after)) {
      throw new WattError('journal/broken', `the order names ${formatPlace(action.after)}, the entry another place`)
    }
    const signed = { order, consents: documents.consents }
    if (action.do === 'transfer') {
      checkConsent(signed, action.to, 'the new owner')
      this.#bindOwner(action.owner, action.to)
    } else for (const name of [point.terms.behind, action.behind]) this.#checkNeighbour(signed, name)
    point.orderAt = order.issuedAt
    const behind = action.do === 'move' ? action.behind : undefined
    point.pending = { entry: id, after: note.after, documents, ...(behind === undefined ? {} : { behind }) }
  }

  #checkNeighbour(signed: Parameters<typeof checkConsent>[0], name: string | undefined): void {
    const above = name === undefined ? undefined : this.#points.get(name)
    checkConsent(signed, above?.terms?.ownerKey, `the owner of '${name}'`)
  }

  #revoke(point: Expected, { lastEpoch = 0, lastSequence = 0 }: Note, { orders: [order] }: Documents): void {
    const last = { epoch: lastEpoch, sequence: lastSequence }
    close(point, formatPlace(last))
    if (order === undefined || point.terms === undefined) return // an operator's word
    checkSigner(order, point.terms)
    checkYouth(order, point.orderAt)
    point.orderAt = order.issuedAt
    if (order.action.do === 'revoke' && formatPlace(order.action.last) === formatPlace(last)) return
    throw new WattError('journal/broken', 'the order that it keeps revokes something else')
  }

  #restate(point: Expected, row: EntryRow, { note, documents }: Noted): void {
    const stated = this.#stated.get(row.id)
    if (stated === undefined) return
    const before = point.terms
    point.terms = stated.terms
    if (point.frozen !== undefined && !point.keys.has(stated.key)) {
      close(point, note.closed === undefined ? 'unknown' : formatPlace(note.closed))
      point.frozen = undefined
    }
    if (row.kind === 'rotation') close(point, note.last === undefined ? 'unknown' : formatPlace(note.last))
    if (stated.key !== '' && !point.keys.has(stated.key)) point.keys.set(stated.key, '')
    this.#checkCause(point, row, { before, stated, documents })
    if (before?.behind !== stated.terms.behind || before === undefined) this.#move(point, stated)
    if (stated.order !== undefined) point.pending = undefined
  }

  // Terms change by an operator's word, or by what is signed; once an owner has signed, by nothing else.
  #checkCause(point: Expected, row: EntryRow, { before, stated, documents }: Restated): void {
    const { rotations, orders, certificates, consents } = documents
    const waited = stated.order === undefined ? undefined : point.pending
    const order = orders[0] ?? waited?.documents.orders[0]
    if (row.kind === 'rotation') {
      const [rotation, certificate] = [rotations[0], certificates[0]]
      const fits = rotation !== undefined && certificate !== undefined && isSuccessor(rotation, certificate)
      if (!fits || formatPublicKey(certificate.key) !== stated.key || !point.keys.has(formatPublicKey(rotation.key)))
        throw new WattError('journal/broken', 'the rotation that it keeps names another key')
      if (before !== undefined && formatTerms(completeTerms(before, certificate)) === formatTerms(stated.terms)) return
      throw new WattError('journal/broken', 'a key names its successor and no other terms, it states some')
    }
    if (stated.order !== undefined && stated.order.entry !== waited?.entry) {
      throw new WattError('journal/broken', `no order waits in entry ${stated.order.entry}`)
    }
    if (order === undefined) {
      checkUnsigned(before, stated.terms)
      return
    }
    if (order.action.do === 'accept') {
      const parent = stated.terms.behind === undefined ? undefined : this.#points.get(stated.terms.behind)
      const above = parent?.terms && { id: order.point, terms: parent.terms }
      const known = before && { terms: before, orderAt: point.orderAt }
      const context = { id: order.point, certificate: certificates[0], point: known, parent: above }
      const owner = checkAcceptance({ order, consents }, context)
      const signer = formatPublicKey(order.key)
      if (owner !== stated.terms.owner || signer !== stated.terms.ownerKey) {
        throw new WattError('journal/broken', `'${owner}' has signed, the terms name '${stated.terms.owner}'`)
      }
      this.#bindOwner(owner, signer)
    } else if (before !== undefined && waited === undefined) {
      checkSigner(order, before)
      checkYouth(order, point.orderAt)
    }
    point.orderAt = Math.max(point.orderAt, order.issuedAt)
    const obeyed = order.action.do === 'accept' || before === undefined ? stated.terms : obeyOrder(before, order)
    if (formatTerms(obeyed) === formatTerms(stated.terms)) return
    throw new WattError('journal/broken', `${formatTerms(obeyed)} was ordered, ${formatTerms(stated.terms)} is stated`)
  }

  #move({ memberships }: Expected, { point, terms, order }: StatedTerms): void {
    const border = order === undefined ? undefined : this.#borderAt(point, order.at)
    const open = memberships.findLastIndex((each) => each.endsWith(' -'))
    if (open >= 0) {
      // What never had a record there has left nothing behind.
      if (border === undefined) memberships.splice(open, 1)
      else memberships[open] = `${memberships[open]?.slice(0, -1)}${border}`
    }
    if (terms.behind !== undefined) memberships.push(`${terms.behind} ${border ?? '-/0'} -`)
  }

  // The point's last record before, and how many records there were of anybody.
  #borderAt(point: string, { epoch, sequence }: Place): string | undefined {
    const row = this.#db
      .prepare<[string, number, number], { at: number; mark: number }>(
        `SELECT before.taken_at AS at, record.id - 1 AS mark FROM record
         JOIN record AS before ON before.point = record.point AND before.id = (
           SELECT max(id) FROM record AS each WHERE each.point = record.point AND each.id < record.id)
         WHERE record.point = (SELECT id FROM point WHERE name = ?) AND record.epoch = ? AND record.sequence = ?`,
      )
      .get(point, epoch, sequence)
    return row && `${row.at}/${row.mark}`
  }

  #expected(name: string): Expected {
    const known = this.#points.get(name)
    if (known !== undefined) return known
    const fresh: Expected = {
      terms: undefined,
      keys: new Map(),
      frozen: undefined,
      pending: undefined,
      orderAt: 0,
      memberships: [],
    }
    this.#points.set(name, fresh)
    return fresh
  }

  compare(point: Point): void {
    const { keys, frozen, pending, orderAt, memberships } = this.#expected(point.id)
    const add = (what: string, expected: unknown, got: unknown) => {
      if (expected === got) return
      this.#faults.add(`point ${point.id}`, 'journal/broken', `${what} ${expected} expected by the journal, got ${got}`)
    }
    for (const { key, last } of point.keys) {
      const expected = keys.get(formatPublicKey(key))
      const name = `key ...${formatPublicKey(key).slice(-16)}:`
      if (expected !== 'unknown') add(`${name} last place`, expected, last === undefined ? '' : formatPlace(last))
    }
    add('number of keys', keys.size, point.keys.length)
    add('freeze', frozen ?? 'none', point.frozen ?? 'none')
    add('waiting order', formatPending(pending), formatPending(point.pending))
    add('youngest order', orderAt, point.orderAt)
    const found = this.#memberships.filter((each) => each.child === point.rowId && !isEmpty(each))
    add('places in the tree', memberships.join('; '), found.map(formatMembership).join('; '))
  }
}

interface Noted {
  readonly note: Note
  readonly documents: Documents
}

interface Restated {
  readonly before: Terms | undefined
  readonly stated: StatedTerms
  readonly documents: Documents
}

function close(point: Expected, last: string): void {
  for (const [key, closed] of point.keys) if (closed === '') point.keys.set(key, last)
}

function checkUnsigned(before: Terms | undefined, terms: Terms): void {
  const isSame = before !== undefined && formatTerms({ ...before, ...late(before, terms) }) === formatTerms(terms)
  // Whoever has signed once is asked again: an operator's word takes nobody's point.
  if (isSame || (before?.ownerKey === undefined && terms.ownerKey === undefined)) return
  throw new WattError('order/unsigned', `terms of '${terms.owner}' are stated without a signed order`)
}

// What the first certificate tells later, where an operator had left it out.
function late(before: Terms, { maxPowerW, rolloverWh, first }: Terms): Partial<Terms> {
  if (before.maxPowerW !== undefined || maxPowerW === undefined) return {}
  return {
    maxPowerW,
    ...(rolloverWh === undefined ? {} : { rolloverWh }),
    ...(first === undefined ? {} : { first }),
  }
}

function formatTerms({ owner, role, behind, maxPowerW, rolloverWh, ownerKey, first }: Terms): string {
  return [owner, ownerKey?.slice(-16), role, behind, maxPowerW, rolloverWh, first?.import, first?.export].join(' ')
}

function formatPlace({ epoch, sequence }: Place): string {
  return `${epoch}/${sequence}`
}

function formatPending(pending: Waiting | undefined): string {
  if (pending === undefined) return 'none'
  const { entry, after, behind } = pending
  return `${entry} after ${formatPlace(after)}${behind === undefined ? '' : ` to behind ${behind}`}`
}

function formatMembership({ parent, fromAt, fromMark, untilAt, untilMark }: Membership): string {
  return `${parent} ${fromAt ?? '-'}/${fromMark} ${untilAt === undefined ? '-' : `${untilAt}/${untilMark}`}`
}
