import type { Database, Statement } from '../store/database.ts'

/** From when until when a metering point stood behind another one (SPEC-96). Rows are only added, or closed once. */
export interface Membership {
  readonly rowId: number
  readonly child: number
  /** By name: it may not be enrolled yet. */
  readonly parent: string
  /** When the child's last record before was taken; absent where it stood there from its first record on. */
  readonly fromAt?: bigint
  /** Only what was settled with later records knows of the beginning. */
  readonly fromMark: bigint
  /** When the child's last record there was taken; absent while it stands there. */
  readonly untilAt?: bigint
  readonly untilMark: bigint
}

/** A stretch of time: after `from`, up to and with `until`. */
export interface Span {
  readonly from?: bigint
  readonly until: bigint
}

interface Row {
  id: bigint
  child: bigint
  parent: string
  from_at: bigint | null
  from_mark: bigint
  until_at: bigint | null
  until_mark: bigint
}

/** A moment at which a point changes its place: its last record before, and the last record known of anybody. */
export interface Border {
  readonly at: number | undefined
  readonly mark: bigint
}

/** The tree as it was at every moment. */
export class Memberships {
  readonly #read: Statement<[], Row>
  readonly #insert: Statement<[number, string, number | null, bigint], unknown>
  readonly #close: Statement<[number, bigint, number], unknown>
  readonly #mark: Statement<[], { id: bigint | null }>

  constructor(db: Database) {
    this.#read = db.prepareWide('SELECT * FROM membership ORDER BY id')
    this.#insert = db.prepare('INSERT INTO membership (child, parent, from_at, from_mark) VALUES (?, ?, ?, ?)')
    this.#close = db.prepare('UPDATE membership SET until_at = ?, until_mark = ? WHERE child = ? AND until_at IS NULL')
    this.#mark = db.prepareWide('SELECT max(id) AS id FROM record')
  }

  all(): readonly Membership[] {
    return this.#read.all().map(toMembership)
  }

  /** The border that a change has which is made now. */
  borderAt(at: number | undefined): Border {
    return { at, mark: this.#mark.get()?.id ?? 0n }
  }

  /** Takes a child from where it stands to another place, or to none. */
  move(child: number, parent: string | undefined, { at, mark }: Border): void {
    // What never had a record leaves an empty stretch behind: a parent stays one.
    this.#close.run(at ?? 0, mark, child)
    if (parent !== undefined) this.#insert.run(child, parent, at ?? null, at === undefined ? 0n : mark)
  }
}

function toMembership(row: Row): Membership {
  return {
    rowId: Number(row.id),
    child: Number(row.child),
    parent: row.parent,
    ...(row.from_at === null ? {} : { fromAt: row.from_at }),
    fromMark: row.from_mark,
    ...(row.until_at === null ? {} : { untilAt: row.until_at }),
    untilMark: row.until_mark,
  }
}

/** The part of a stretch in which a membership held, as far as it was known with records up to `mark`. */
export function overlap({ from, until }: Span, membership: Membership, mark: bigint): Span | undefined {
  const { fromAt, fromMark, untilAt, untilMark } = membership
  if (fromAt !== undefined && mark <= fromMark) return undefined
  const begins = from === undefined || (fromAt !== undefined && fromAt > from) ? fromAt : from
  const ends = untilAt !== undefined && mark > untilMark && untilAt < until ? untilAt : until
  if (begins === undefined) return isEmpty(membership) ? undefined : { until: ends }
  return begins < ends ? { from: begins, until: ends } : undefined
}

/** Whether a point left a place before it ever recorded anything there. */
export function isEmpty({ fromAt, untilAt }: Membership): boolean {
  return untilAt !== undefined && untilAt <= (fromAt ?? 0n)
}
