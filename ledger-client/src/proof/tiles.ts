import { hash } from 'node:crypto'
import { inclusionPath, type MerkleHash, type MerkleNodes, merkleRoot } from '@wattline/protocol'

/** Hashes in one tile: eight levels of the tree, worked out from the lowest where they are needed. */
export const tileWidth = 256
const hashBytes = 32
const levelsPerTile = 8
/** Tiles that are kept at hand: a path asks the same one eight times. */
const cacheLimit = 64

/** Where the tiles of one tree are kept. A tile of level 1 holds the roots of full tiles of level 0, and so on. */
export interface TileStore {
  /** The hashes of a tile, one after the other; undefined where there is none. */
  read(level: number, number: number): Uint8Array | undefined
  write(level: number, number: number, hashes: Uint8Array): void
  /** The number of leaves. */
  size(): number
}

/** SHA-256 as OpenSSL does it: ten times as fast as the reference, with which a test compares it. */
export function hashPair(left: Uint8Array, right: Uint8Array): MerkleHash {
  return hash('sha256', Buffer.concat([one, left, right]), 'buffer')
}
const one = Buffer.of(1)

/** A Merkle tree that grows (SPEC-97). Only the hashes of leaves are stored, and one in 256 of the nodes above them. */
export class MerkleTiles implements MerkleNodes {
  readonly #store: TileStore
  readonly #cache = new Map<string, Uint8Array>()

  constructor(store: TileStore) {
    this.#store = store
  }

  get size(): number {
    return this.#store.size()
  }

  /** Adds leaves, given as their hashes. */
  append(leaves: readonly MerkleHash[]): void {
    this.#append(0, this.size, leaves)
  }

  #append(level: number, size: number, hashes: readonly MerkleHash[]): void {
    const full: MerkleHash[] = []
    for (let [at, place] = [0, size]; at < hashes.length; ) {
      const number = Math.floor(place / tileWidth)
      const used = place % tileWidth
      const added = hashes.slice(at, at + tileWidth - used)
      const before = used === 0 ? new Uint8Array() : this.#read(level, number)
      const tile = Buffer.concat([before.subarray(0, used * hashBytes), ...added])
      this.#store.write(level, number, tile)
      this.#remember(level, number, tile)
      if (used + added.length === tileWidth) full.push(rootOf(tile))
      at += added.length
      place += added.length
    }
    if (full.length > 0) this.#append(level + 1, Math.floor(size / tileWidth), full)
  }

  node(level: number, index: number): MerkleHash {
    const tileLevel = Math.floor(level / levelsPerTile)
    const width = 2 ** (level % levelsPerTile)
    const first = index * width
    const number = Math.floor(first / tileWidth)
    const begin = (first % tileWidth) * hashBytes
    const hashes = this.#read(tileLevel, number).subarray(begin, begin + width * hashBytes)
    if (hashes.length !== width * hashBytes) throw new RangeError(`node ${level}/${index}: the tree has none there`)
    return rootOf(hashes)
  }

  /** The hash of one leaf. */
  leaf(index: number): MerkleHash {
    return this.node(0, index)
  }

  /** The root over the first leaves, as it was when there were no more. */
  root(size: number): string {
    return Buffer.from(merkleRoot(this, size)).toString('hex')
  }

  path(index: number, size: number): readonly MerkleHash[] {
    return inclusionPath(this, index, size)
  }

  /** Forgets what it has read: another connection may have written, or a transaction was taken back. */
  forget(): void {
    this.#cache.clear()
  }

  #read(level: number, number: number): Uint8Array {
    const known = this.#cache.get(`${level}/${number}`)
    if (known !== undefined) return known
    const tile = this.#store.read(level, number)
    if (tile === undefined) throw new RangeError(`tile ${level}/${number}: the tree has none there`)
    this.#remember(level, number, tile)
    return tile
  }

  #remember(level: number, number: number, tile: Uint8Array): void {
    if (this.#cache.size >= cacheLimit) {
      const [oldest] = this.#cache.keys()
      if (oldest !== undefined) this.#cache.delete(oldest)
    }
    this.#cache.set(`${level}/${number}`, tile)
  }
}

// The root over a power of two of hashes that lie one after the other.
function rootOf(hashes: Uint8Array): MerkleHash {
  let level = hashes
  while (level.length > hashBytes) {
    const above = new Uint8Array(level.length / 2)
    for (let at = 0; at < level.length; at += 2 * hashBytes) {
      const middle = at + hashBytes
      above.set(hashPair(level.subarray(at, middle), level.subarray(middle, middle + hashBytes)), at / 2)
    }
    level = above
  }
  return level
}

/** Tiles in memory, on top of others that are only read: to look further than what is stored. */
export class MemoryTiles implements TileStore {
  readonly #below: TileStore | undefined
  readonly #tiles = new Map<string, Uint8Array>()
  #size: number

  constructor(below?: TileStore) {
    this.#below = below
    this.#size = below?.size() ?? 0
  }

  read(level: number, number: number): Uint8Array | undefined {
    return this.#tiles.get(`${level}/${number}`) ?? this.#below?.read(level, number)
  }

  write(level: number, number: number, hashes: Uint8Array): void {
    this.#tiles.set(`${level}/${number}`, hashes)
    if (level === 0) this.#size = number * tileWidth + hashes.length / hashBytes
  }

  size(): number {
    return this.#size
  }
}
