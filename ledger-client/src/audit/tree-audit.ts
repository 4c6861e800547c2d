import { WattError } from '@wattline/protocol'
import { isEmpty, type Membership } from '../points/memberships.ts'
import { parseDocuments } from '../points/owner-order-rules.ts'
import { documentsIn } from '../points/owner-orders.ts'
import type { Point, Registry } from '../points/registry.ts'
import type { Database, Statement } from '../store/database.ts'
import type { StatedTerms } from './journal-audit.ts'
import { FoundFault } from './walk.ts'

interface EntryRow {
  readonly id: number
  readonly kind: string
  readonly point: string
  readonly note: string
}

/** A remainder that was settled. */
interface Settled {
  /** The row of the parent's record. */
  readonly record: bigint
  readonly at: bigint
  /** The last record known of anybody when it was settled. */
  readonly mark: bigint
}

/** Since when a point books remainders. */
interface Parenthood {
  /** The journal entry that names it as a place to stand behind. */
  readonly entry: number
  /** The last record that is known to have been accepted before. */
  readonly before: bigint
}

/**
 * SPEC-84: whether a point books its own register or a remainder is not for its rows to say: the journal tells since
 * when something stands behind it. And a remainder is only right where the children had spoken by then.
 */
export class TreeAudit {
  readonly #registry: Registry
  readonly #parents = new Map<string, Parenthood>()
  /** Points that were not waited for at some time, as they were frozen or revoked. */
  readonly #silenced = new Set<string>()
  readonly #hasSpoken: Statement<[number, bigint, bigint], unknown>
  readonly #spokeBefore: Statement<[number, bigint], unknown>

  constructor(db: Database, registry: Registry, stated: ReadonlyMap<number, StatedTerms>) {
    this.#registry = registry
    this.#hasSpoken = db.prepare('SELECT 1 FROM record WHERE point = ? AND taken_at > ? AND id <= ? LIMIT 1')
    this.#spokeBefore = db.prepare('SELECT 1 FROM record WHERE point = ? AND id <= ? LIMIT 1')
    const first = new Map<string, number>()
    const notice = (behind: string | undefined, entry: number) => {
      if (behind !== undefined) first.set(behind, Math.min(entry, first.get(behind) ?? entry))
    }
    for (const { entry, terms } of stated.values()) notice(terms.behind, entry)
    const rows = db.prepare<[], EntryRow>(
      `SELECT id, kind, point, note FROM entry WHERE kind IN ('order', 'freeze', 'revocation') ORDER BY id`,
    )
    for (const row of rows.iterate()) {
      if (row.kind === 'order') notice(orderedPlace(row), row.id)
      else this.#silenced.add(row.point)
    }
    const lastClaim = db.prepare<[number], { claim: string }>(
      `SELECT claim FROM entry WHERE id < ? AND kind IN ('claim', 'session') ORDER BY id DESC LIMIT 1`,
    )
    for (const [name, entry] of first) {
      const before = recordOf(db, lastClaim.get(entry)?.claim)
      this.#parents.set(name, { entry, before })
    }
  }

  /** Throws where a record waits for children, or was settled with them, that its point did not have. */
  checkBooker({ id }: Point, { record, asParent }: { readonly record: bigint; readonly asParent: boolean }): void {
    const since = this.#parents.get(id)
    if (!asParent || (since !== undefined && record > since.before)) return
    const when = since === undefined ? 'nothing ever stood' : `before entry ${since.entry} nothing stood`
    throw new FoundFault('journal/broken', `it is booked as a remainder, and ${when} behind its point`)
  }

  /** Throws where an entry books a point's own register although something stands behind it. */
  checkOwnBooking({ id }: Point, entry: bigint): void {
    const since = this.#parents.get(id)
    if (since === undefined || entry < since.entry) return
    throw new FoundFault(
      'journal/broken',
      `entry ${entry} books the whole register, and since entry ${since.entry} something stands behind it`,
    )
  }

  /** Throws where a remainder was settled before everybody below had a later record. */
  checkWaited(point: Point, settled: Settled): void {
    if (settled.mark < settled.record) {
      throw new FoundFault(
        'journal/broken',
        `settled with the records up to ${settled.mark}, it is number ${settled.record}`,
      )
    }
    const early = this.#findUnheard(point, settled)
    if (early === undefined) return
    const known = `with the records up to ${settled.mark}`
    throw new FoundFault('journal/broken', `settled ${known}, when ${early} had told of no time after ${settled.at}`)
  }

  #findUnheard(point: Point, { record, at, mark }: Settled): string | undefined {
    for (const { child, membership } of this.#registry.membersOf(point.id)) {
      const until = stoodUntil(membership, at, mark)
      if (until === undefined) continue
      const { id, rowId, terms } = child
      // Whoever has no record yet may have had no certificate either; then nobody waits.
      const waits = terms.role !== 'storage' && !this.#silenced.has(id) && this.#spokeBefore.get(rowId, mark)
      if (waits && this.#hasSpoken.get(rowId, until, mark) === undefined) return id
      const below = this.#findUnheard(child, { record, at: until, mark })
      if (below !== undefined) return below
    }
    return undefined
  }
}

// Up to when a child counted below a reading, by what was known; undefined where it did not.
function stoodUntil(membership: Membership, at: bigint, mark: bigint): bigint | undefined {
  const { fromAt, fromMark, untilAt, untilMark } = membership
  if (isEmpty(membership) || (fromAt !== undefined && (mark <= fromMark || fromAt >= at))) return undefined
  return untilAt !== undefined && mark > untilMark && untilAt < at ? untilAt : at
}

// An order that cannot be read names no place: the audit of points tells of it.
function orderedPlace({ note }: EntryRow): string | undefined {
  try {
    const [action] = parseDocuments(documentsIn(note)).orders.map((order) => order.action)
    return action?.do === 'move' ? action.behind : undefined
  } catch (error) {
    if (error instanceof WattError || error instanceof SyntaxError) return undefined
    throw error
  }
}

function recordOf(db: Database, claim: string | undefined): bigint {
  const [, point = '', epoch = '0', sequence = '0'] = /^(.+)#(\d+)\/(\d+)$/.exec(claim ?? '') ?? []
  const row = db
    .prepareWide<[string, number, number], { id: bigint }>(
      `SELECT id FROM record WHERE point = (SELECT id FROM point WHERE name = ?) AND epoch = ? AND sequence = ?`,
    )
    .get(point, Number(epoch), Number(sequence))
  return row?.id ?? 0n
}
