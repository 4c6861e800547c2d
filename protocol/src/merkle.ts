import { sha256 } from '@noble/hashes/sha2.js'
import { sameBytes } from './bytes.ts'

// SPEC-97: the Merkle tree of RFC 6962 §2.1 and RFC 9162 §2.1. Leaves and inner nodes are hashed with different first
// bytes, so no inner node can pass for a leaf, and a tree of any size has one shape. Indices and sizes are plain numbers:
// no bit operations, which would end at 2^31.

/** SHA-256, 32 bytes. */
export type MerkleHash = Uint8Array

/** Hashes of complete subtrees: all that roots and paths are made of. */
export interface MerkleNodes {
  /** The hash over the 2^level leaves that begin at leaf `index` × 2^level. */
  node(level: number, index: number): MerkleHash
}

/** The hash of a leaf. */
export function hashLeaf(content: Uint8Array): MerkleHash {
  return sha256(Uint8Array.of(0, ...content))
}

/** The hash of an inner node. */
export function hashNode(left: MerkleHash, right: MerkleHash): MerkleHash {
  const bytes = new Uint8Array(65)
  bytes[0] = 1
  bytes.set(left, 1)
  bytes.set(right, 33)
  return sha256(bytes)
}

/** The nodes of a tree whose leaves are all at hand, given as their hashes. */
export function nodesOf(leaves: readonly MerkleHash[]): MerkleNodes {
  const levels: (readonly MerkleHash[])[] = [leaves]
  for (let below = leaves; below.length > 1; ) {
    const level: MerkleHash[] = []
    for (let at = 0; at + 1 < below.length; at += 2) level.push(hashNode(pick(below, at), pick(below, at + 1)))
    levels.push(level)
    below = level
  }
  return { node: (level, index) => pick(levels[level] ?? [], index) }
}

function pick(hashes: readonly MerkleHash[], index: number): MerkleHash {
  const hash = hashes[index]
  if (hash === undefined) throw new RangeError(`node ${index}: the tree has none there`)
  return hash
}

/** The root over the first `size` leaves; of none, the hash of nothing. */
export function merkleRoot(nodes: MerkleNodes, size: number): MerkleHash {
  return size === 0 ? sha256(new Uint8Array()) : rangeRoot(nodes, 0, size)
}

// The root over the leaves from `begin` on. A subtree always begins at a multiple of its own width.
function rangeRoot(nodes: MerkleNodes, begin: number, size: number): MerkleHash {
  const { level, width } = largestBelow(size + 1)
  if (width === size) return nodes.node(level, begin / width)
  const left = nodes.node(level, begin / width)
  return hashNode(left, rangeRoot(nodes, begin + width, size - width))
}

// The largest power of two below a number.
function largestBelow(size: number): { readonly level: number; readonly width: number } {
  let [level, width] = [0, 1]
  while (width * 2 < size) {
    width *= 2
    level++
  }
  return { level, width }
}

/** The hashes that lead from leaf `index` to the root over `size` leaves, lowest first (RFC 6962 §2.1.1). */
export function inclusionPath(nodes: MerkleNodes, index: number, size: number): readonly MerkleHash[] {
  if (!Number.isInteger(index) || index < 0 || index >= size) {
    throw new RangeError(`leaf ${index}: a tree of ${size} has none there`)
  }
  const path: MerkleHash[] = []
  let [begin, rest] = [0, size]
  while (rest > 1) {
    const { width } = largestBelow(rest)
    if (index < begin + width) {
      path.push(rangeRoot(nodes, begin + width, rest - width))
      rest = width
    } else {
      path.push(rangeRoot(nodes, begin, width))
      begin += width
      rest -= width
    }
  }
  return path.toReversed()
}

/** Where a leaf is said to stand. */
export interface Inclusion {
  readonly leaf: MerkleHash
  readonly index: number
  readonly size: number
  readonly path: readonly MerkleHash[]
}

/**
 * The root that a path leads to (RFC 9162 §2.1.3.2), or undefined where a tree of that size has no such leaf, or where
 * the path is too long or too short for it.
 */
export function rootFromPath({ leaf, index, size, path }: Inclusion): MerkleHash | undefined {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return undefined
  let [at, last, hash] = [index, size - 1, leaf]
  for (const sibling of path) {
    if (last === 0) return undefined
    if (at % 2 === 1 || at === last) {
      hash = hashNode(sibling, hash)
      // At the right edge a node without a sibling rises as it is.
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)]
    } else {
      hash = hashNode(hash, sibling)
    }
    ;[at, last] = [Math.floor(at / 2), Math.floor(last / 2)]
  }
  return last === 0 ? hash : undefined
}

/** The hashes that show a tree of `size` leaves to begin with one of `earlier` leaves (RFC 6962 §2.1.2). */
export function consistencyPath(nodes: MerkleNodes, earlier: number, size: number): readonly MerkleHash[] {
  if (!Number.isInteger(earlier) || earlier < 0 || earlier > size) {
    throw new RangeError(`${earlier} leaves: a tree of ${size} has not so many`)
  }
  const path: MerkleHash[] = []
  // The part that is split; as long as it begins with the first leaf and is the earlier tree, whoever asks has its root.
  let [begin, rest, wanted] = [0, size, earlier]
  while (wanted > 0 && wanted < rest) {
    const { width } = largestBelow(rest)
    if (wanted <= width) {
      path.push(rangeRoot(nodes, begin + width, rest - width))
      rest = width
    } else {
      path.push(rangeRoot(nodes, begin, width))
      begin += width
      rest -= width
      wanted -= width
    }
  }
  if (begin > 0) path.push(rangeRoot(nodes, begin, rest))
  return path.toReversed()
}

/** A tree as somebody knows it. */
export interface KnownTree {
  readonly count: number
  readonly root: MerkleHash
}

/** Whether a path shows that one tree begins with all leaves of another (RFC 9162 §2.1.4.2). */
export function isConsistent(earlier: KnownTree, later: KnownTree, path: readonly MerkleHash[]): boolean {
  const [from, to] = [earlier.count, later.count]
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || from > to) return false
  // Of nothing there is one tree, and every other one begins with it.
  if (from === 0) return path.length === 0 && sameBytes(earlier.root, sha256(new Uint8Array()))
  if (from === to) return path.length === 0 && sameBytes(earlier.root, later.root)
  let [at, last] = [from - 1, to - 1]
  while (at % 2 === 1) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)]
  // A complete earlier tree is a node of the later one.
  const [first, ...rest] = at === 0 ? [earlier.root, ...path] : path
  if (first === undefined) return false
  let [before, after] = [first, first]
  for (const hash of rest) {
    if (last === 0) return false
    if (at % 2 === 1 || at === last) {
      ;[before, after] = [hashNode(hash, before), hashNode(hash, after)]
      while (at % 2 === 0 && at !== 0) [at, last] = [at / 2, Math.floor(last / 2)]
    } else {
      after = hashNode(after, hash)
    }
    ;[at, last] = [Math.floor(at / 2), Math.floor(last / 2)]
  }
  return last === 0 && sameBytes(before, earlier.root) && sameBytes(after, later.root)
}
