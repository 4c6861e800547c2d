import { type AnchorFacts, type Clock, formatAnchor, noHash, parseAnchor, type Signer } from '@wattline/protocol'
import type { Ledger } from '../ledger/ledger.ts'
import type { Database, Statement } from '../store/database.ts'
import { Archive, type Leaf, SqliteTiles, type TreeName, type Trees, treeNames } from './archive.ts'
import { MerkleTiles } from './tiles.ts'

/** Records, and entries, that one step puts into the trees: some ten milliseconds of work. */
const stepLimit = 1024
/** While the day goes on, fewer than this are left for later: one commit for many. */
const stepLeast = 256

/** An anchor as it is stored. */
export interface AnchorRow {
  readonly id: number
  /** The UTC day that it closes. */
  readonly day: string
  readonly hash: string
  readonly text: string
  readonly records: number
  readonly entries: number
  /** The journal entry that notes it. */
  readonly entry: number
}

/** The UTC day of a moment, as `2026-11-21`. Days compare as texts. */
export function toUtcDay(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}

function dayAfter(day: string, days = 1): string {
  return toUtcDay(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000)
}

/** All anchors, oldest first. */
export function readAnchors(db: Database): readonly AnchorRow[] {
  return db.prepare<[], AnchorRow>('SELECT id, day, hash, text, records, entries, entry FROM anchor ORDER BY id').all()
}

/** The facts that an anchor, or a head, states of two trees up to two counts. */
export function readFacts(db: Database, trees: Trees, counts: Readonly<Record<TreeName, number>>): AnchorFacts {
  const head = db.prepare<[number], { hash: string }>('SELECT hash FROM entry WHERE id = ?').get(counts.entries)
  const last = db
    .prepare<[number, number], { hash: string }>(
      'SELECT hash FROM anchor WHERE records <= ? AND entries <= ? ORDER BY id DESC LIMIT 1',
    )
    .get(counts.records, counts.entries)
  return {
    records: { count: counts.records, root: trees.records.root(counts.records) },
    entries: { count: counts.entries, root: trees.entries.root(counts.entries), head: head?.hash ?? noHash },
    previous: last?.hash ?? noHash,
  }
}

/** The parts that anchors are made with. */
export interface AnchorParts {
  readonly db: Database
  readonly ledger: Ledger
  readonly signer: Signer
  readonly clock: Clock
}

/**
 * SPEC-98: closes each UTC day with a signed anchor. The trees grow in small steps all day long, so that closing it costs
 * a few hashes and one signature, however large the archive is. A step is one transaction: trees, anchor and the
 * journal's note of it are there together or not at all, and a day has one anchor whatever is cut in between.
 */
export class Anchors {
  readonly #parts: AnchorParts
  readonly #archive: Archive
  readonly #trees: Trees
  readonly #last: Statement<[], { day: string; records: number; entries: number }>
  readonly #insert: Statement<[string, string, string, number, number, number], unknown>

  constructor(parts: AnchorParts) {
    const { db } = parts
    this.#parts = parts
    this.#archive = new Archive(db)
    this.#trees = {
      records: new MerkleTiles(new SqliteTiles(db, 'records')),
      entries: new MerkleTiles(new SqliteTiles(db, 'entries')),
    }
    this.#last = db.prepare('SELECT day, records, entries FROM anchor ORDER BY id DESC LIMIT 1')
    this.#insert = db.prepare('INSERT INTO anchor (day, hash, text, records, entries, entry) VALUES (?, ?, ?, ?, ?, ?)')
    db.onStale(() => {
      for (const name of treeNames) this.#trees[name].forget()
    })
  }

  /** Does a piece of work, if there is any; gives true where there is more. */
  step(): boolean {
    const { db, clock } = this.#parts
    const today = toUtcDay(clock.now())
    const waiting = treeNames.map((name) => this.#archive.count(name) - this.#trees[name].size)
    const open = this.#openDay(today)
    if (open === undefined) return false
    if (open === today && waiting.every((count) => count < stepLeast)) return false
    return db.write(() => this.#advance(today))
  }

  // The day that is to be closed next: that of the oldest thing no anchor has yet. Each day has one anchor, so it comes
  // after the last one's. Where a clock ran ahead and was put right, what it dated tells no day: it belongs to the next
  // anchor, or nothing would be closed until its time has come.
  #openDay(today: string): string | undefined {
    const last = this.#last.get()
    const first = treeNames.flatMap((name) => this.#archive.next(name, last?.[name] ?? 0, 1))
    if (first.length === 0) return undefined
    const told = first.map((leaf) => dayOf(leaf, today)).filter((day) => day !== undefined)
    const oldest = told.toSorted()[0] ?? dayAfter(today, -1)
    const earliest = last === undefined ? oldest : dayAfter(last.day)
    return oldest > earliest ? oldest : earliest
  }

  #advance(today: string): boolean {
    const open = this.#openDay(today)
    if (open === undefined) return false
    const reached = treeNames.map((name) => this.#grow(name, open, today))
    if (reached.includes('limit')) return true
    if (open >= today) return false
    this.#close(open)
    return true
  }

  // Puts what belongs to the open day, or to one before, into a tree.
  #grow(name: TreeName, open: string, today: string): 'limit' | 'end' {
    const tree = this.#trees[name]
    const leaves = this.#archive.next(name, tree.size, stepLimit)
    const cut = leaves.findIndex((leaf) => (dayOf(leaf, today) ?? open) > open)
    tree.append((cut === -1 ? leaves : leaves.slice(0, cut)).map(({ hash }) => hash))
    return cut === -1 && leaves.length === stepLimit ? 'limit' : 'end'
  }

  #close(day: string): void {
    const { db, ledger, signer } = this.#parts
    const counts = { records: this.#trees.records.size, entries: this.#trees.entries.size }
    const text = formatAnchor({ day, ...readFacts(db, this.#trees, counts) }, signer)
    const { hash } = parseAnchor(text, signer.publicKey)
    const entry = ledger.note('anchor', null, { day, hash })
    this.#insert.run(day, hash, text, counts.records, counts.entries, entry)
  }
}

function dayOf({ at }: Leaf, today: string): string | undefined {
  const day = toUtcDay(at)
  return day <= today ? day : undefined
}
