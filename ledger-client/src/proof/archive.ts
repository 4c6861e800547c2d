import { hash } from 'node:crypto'
import { type MerkleHash, WattError } from '@wattline/protocol'
import type { Database, Statement } from '../store/database.ts'
import { recordLeafContent } from './leaf.ts'
import { MemoryTiles, MerkleTiles, type TileStore } from './tiles.ts'

/** The two trees of a ledger (SPEC-97). */
export const treeNames = ['records', 'entries'] as const
export type TreeName = (typeof treeNames)[number]

/** Tiles in the ledger's database. */
export class SqliteTiles implements TileStore {
  readonly #tree: TreeName
  readonly #read: Statement<[string, number, number], { hashes: Buffer }>
  readonly #write: Statement<[string, number, number, Uint8Array], unknown>
  readonly #last: Statement<[string], { number: number; bytes: number }>

  constructor(db: Database, tree: TreeName) {
    this.#tree = tree
    this.#read = db.prepare('SELECT hashes FROM merkle_tile WHERE tree = ? AND level = ? AND number = ?')
    this.#write = db.prepare(
      `INSERT INTO merkle_tile (tree, level, number, hashes) VALUES (?, ?, ?, ?)
       ON CONFLICT (tree, level, number) DO UPDATE SET hashes = excluded.hashes`,
    )
    this.#last = db.prepare(
      `SELECT number, length(hashes) AS bytes FROM merkle_tile
       WHERE tree = ? AND level = 0 ORDER BY number DESC LIMIT 1`,
    )
  }

  read(level: number, number: number): Uint8Array | undefined {
    return this.#read.get(this.#tree, level, number)?.hashes
  }

  write(level: number, number: number, hashes: Uint8Array): void {
    this.#write.run(this.#tree, level, number, hashes)
  }

  size(): number {
    const last = this.#last.get(this.#tree)
    return last === undefined ? 0 : last.number * 256 + last.bytes / 32
  }
}

/** A record or an entry on its way into its tree. */
export interface Leaf {
  readonly id: number
  /** When it was accepted or made, in ms since 1970. */
  readonly at: number
  readonly hash: MerkleHash
}

/** What the trees are made of, in the order of acceptance: leaf n is the record, or the entry, with id n + 1. */
export class Archive {
  readonly #next: Readonly<Record<TreeName, Statement<[number, number], { id: number; at: number; content: string }>>>
  readonly #count: Readonly<Record<TreeName, Statement<[], { id: number | null }>>>

  constructor(db: Database) {
    this.#next = {
      records: db.prepare(
        `SELECT record.id, accepted_at AS at, coalesce(point.name, '') || char(10) || text AS content
         FROM record LEFT JOIN point ON point.id = record.point WHERE record.id > ? ORDER BY record.id LIMIT ?`,
      ),
      entries: db.prepare('SELECT id, at, hash AS content FROM entry WHERE id > ? ORDER BY id LIMIT ?'),
    }
    this.#count = {
      records: db.prepare('SELECT max(id) AS id FROM record'),
      entries: db.prepare('SELECT max(id) AS id FROM entry'),
    }
  }

  /** How many there are. */
  count(tree: TreeName): number {
    return this.#count[tree].get()?.id ?? 0
  }

  /** The leaves after the first `size`, at most `limit`; a gap in them is damage that no tree may hide. */
  next(tree: TreeName, size: number, limit: number): readonly Leaf[] {
    return this.#next[tree].all(size, limit).map(({ id, at, content }, index) => {
      if (id !== size + index + 1) {
        throw new WattError('storage/corrupt', `${tree}: number ${size + index + 1} is missing, ${id} follows`)
      }
      return { id, at, hash: leafHashOf(tree, content) }
    })
  }

  /** The trees over everything there is now: what is stored of them, and in memory what is not in them yet. */
  openTrees(stores: Readonly<Record<TreeName, TileStore | undefined>>): Trees {
    const open = (tree: TreeName) => {
      const tiles = new MerkleTiles(new MemoryTiles(stores[tree]))
      for (;;) {
        const leaves = this.next(tree, tiles.size, 4096)
        if (leaves.length === 0) return tiles
        tiles.append(leaves.map(({ hash }) => hash))
      }
    }
    return { records: open('records'), entries: open('entries') }
  }
}

export type Trees = Readonly<Record<TreeName, MerkleTiles>>

function leafHashOf(tree: TreeName, content: string): MerkleHash {
  const bytes = tree === 'records' ? Buffer.from(content, 'utf8') : Buffer.from(content, 'hex')
  return hash('sha256', Buffer.concat([zero, bytes]), 'buffer')
}
const zero = Buffer.of(0)

/** The leaf of a record as the archive makes it: with OpenSSL, for whoever hashes many. */
export function archiveLeaf(point: string, text: string): MerkleHash {
  return leafHashOf('records', recordLeafContent(point, text))
}
