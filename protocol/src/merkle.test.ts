import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { fromHex, sameBytes, toUpperHex } from './bytes.ts'
import {
  consistencyPath,
  hashLeaf,
  hashNode,
  inclusionPath,
  isConsistent,
  type MerkleHash,
  merkleRoot,
  nodesOf,
  rootFromPath,
} from './merkle.ts'

const hex = (bytes: Uint8Array) => toUpperHex(bytes).toLowerCase()
const bytes = (text: string) => fromHex(text)!

interface Vectors {
  readonly leaves: readonly string[]
  readonly roots: readonly string[]
  readonly paths: readonly { readonly index: number; readonly size: number; readonly path: readonly string[] }[]
  readonly consistency: readonly { readonly from: number; readonly to: number; readonly path: readonly string[] }[]
}

// The tree that the reference implementations of Certificate Transparency are tested with.
const vectors: Vectors = JSON.parse(readFileSync(new URL('../vectors/merkle.json', import.meta.url), 'utf8'))

/** RFC 6962 §2.1 as it is written there, over the leaves' contents, with other people's SHA-256. */
function definition(contents: readonly Uint8Array[]): Uint8Array {
  const sha = (...parts: readonly Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
  if (contents.length === 0) return sha()
  if (contents.length === 1) return sha(Uint8Array.of(0), contents[0]!)
  let k = 1
  while (k * 2 < contents.length) k *= 2
  return sha(Uint8Array.of(1), definition(contents.slice(0, k)), definition(contents.slice(k)))
}

function tree(contents: readonly Uint8Array[]) {
  const leaves = contents.map(hashLeaf)
  return { leaves, nodes: nodesOf(leaves), size: leaves.length }
}

const contents = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 70 })

test('SPEC-97: the published vectors of RFC 6962 trees hold', (t) => {
  const { nodes, leaves } = tree(vectors.leaves.map(bytes))
  t.deepEqual(
    vectors.roots.map((_, size) => hex(merkleRoot(nodes, size))),
    vectors.roots,
  )
  for (const { index, size, path } of vectors.paths) {
    t.deepEqual(inclusionPath(nodes, index, size).map(hex), path, `${index} of ${size}`)
    const root = rootFromPath({ leaf: leaves[index]!, index, size, path: path.map(bytes) })
    t.is(root && hex(root), vectors.roots[size]!, `${index} of ${size}`)
  }
})

test('SPEC-185: the published consistency proofs hold', (t) => {
  const { nodes } = tree(vectors.leaves.map(bytes))
  const known = (count: number) => ({ count, root: bytes(vectors.roots[count]!) })
  for (const { from, to, path } of vectors.consistency) {
    t.deepEqual(consistencyPath(nodes, from, to).map(hex), path, `${from} to ${to}`)
    t.true(isConsistent(known(from), known(to), path.map(bytes)), `${from} to ${to}`)
  }
})

// RFC 6962 §2.1.2 as it is written there.
function subproof(m: number, all: readonly Uint8Array[], known: boolean): Uint8Array[] {
  const n = all.length
  if (m === n) return known ? [] : [definition(all)]
  let k = 1
  while (k * 2 < n) k *= 2
  return m <= k
    ? [...subproof(m, all.slice(0, k), known), definition(all.slice(k))]
    : [...subproof(m - k, all.slice(k), false), definition(all.slice(0, k))]
}

test('SPEC-185: a tree of any size is shown to begin with one of any earlier size, and nothing altered shows it', (t) => {
  fc.assert(
    fc.property(contents, fc.nat(), fc.nat(), fc.nat({ max: 255 }), (all, cut, other, bit) => {
      const { nodes, size } = tree(all.map((content, at) => Uint8Array.of(at, ...content)))
      const earlier = cut % (size + 1)
      const known = (count: number) => ({ count, root: merkleRoot(nodes, count) })
      const path = consistencyPath(nodes, earlier, size)
      const written = all.map((content, at) => Uint8Array.of(at, ...content))
      if (earlier > 0) t.deepEqual(path.map(hex), subproof(earlier, written, true).map(hex))
      t.true(isConsistent(known(earlier), known(size), path))
      const flip = (hash: MerkleHash) => hash.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
      for (const [at, hash] of path.entries()) {
        t.false(isConsistent(known(earlier), known(size), path.with(at, flip(hash))))
        t.false(isConsistent(known(earlier), known(size), path.toSpliced(at, 1)))
      }
      t.false(isConsistent(known(earlier), known(size), [...path, flip(known(size).root)]))
      const { count, root } = known(earlier)
      t.false(isConsistent({ count, root: flip(root) }, known(size), path))
      if (earlier > 0) t.false(isConsistent(known(earlier), { count: size, root: flip(known(size).root) }, path))
      // Another earlier tree is not shown by it, and another past of the same size neither.
      const wrong = other % (size + 1)
      if (wrong !== earlier) t.false(isConsistent(known(wrong), known(size), path) && wrong > 0 && earlier > 0)
      const rewritten = tree(written.with(0, Uint8Array.of(255, 1))).nodes
      const forged = { count: earlier, root: merkleRoot(rewritten, earlier) }
      if (earlier > 0) t.false(isConsistent(forged, known(size), path))
    }),
    { numRuns: 60 },
  )
})

test('SPEC-185: sizes that no tree has show nothing', (t) => {
  const nodes = nodesOf([1, 2, 3].map((byte) => hashLeaf(Uint8Array.of(byte))))
  const known = (count: number) => ({
    count,
    root: merkleRoot(nodes, Math.min(3, Math.max(0, Math.floor(count) || 0))),
  })
  for (const [from, to] of [
    [3, 2],
    [-1, 2],
    [1.5, 2],
    [Number.NaN, 2],
    [1, Number.POSITIVE_INFINITY],
  ] as const) {
    t.false(isConsistent(known(from), known(to), []), `${from} to ${to}`)
  }
  t.false(isConsistent(known(2), known(3), []), 'too short')
  t.false(isConsistent(known(3), { count: 4, root: known(3).root }, []), 'nothing at all')
  t.true(isConsistent(known(0), known(3), []))
  t.false(isConsistent({ count: 0, root: known(1).root }, known(3), []))
  for (const from of [4, -1, 0.5, Number.NaN])
    t.throws(() => consistencyPath(nodes, from, 3), { instanceOf: RangeError })
})

test('SPEC-97: root and every path are those of the definition, for any size', (t) => {
  fc.assert(
    fc.property(contents, (all) => {
      const { leaves, nodes, size } = tree(all)
      const root = merkleRoot(nodes, size)
      t.deepEqual(hex(root), hex(definition(all)))
      for (const [index, leaf] of leaves.entries()) {
        const path = inclusionPath(nodes, index, size)
        t.true(path.length <= Math.ceil(Math.log2(size)))
        t.deepEqual(rootFromPath({ leaf, index, size, path }), root)
      }
    }),
    { numRuns: 40 },
  )
})

test('SPEC-97: a tree of any earlier size is in the later one', (t) => {
  fc.assert(
    fc.property(contents, fc.nat(), (all, cut) => {
      const { leaves, nodes, size } = tree(all)
      const earlier = 1 + (cut % size)
      const root = merkleRoot(nodes, earlier)
      t.deepEqual(hex(root), hex(definition(all.slice(0, earlier))))
      const index = cut % earlier
      t.deepEqual(
        rootFromPath({ leaf: leaves[index]!, index, size: earlier, path: inclusionPath(nodes, index, earlier) }),
        root,
      )
    }),
    { numRuns: 40 },
  )
})

test('SPEC-97: another leaf, place, size, or a changed, longer or shorter path leads elsewhere', (t) => {
  fc.assert(
    fc.property(contents, fc.nat(), fc.nat(), (all, pickLeaf, pickBit) => {
      // Two leaves that are the same may stand in each other's place: here each is different.
      const { leaves, nodes, size } = tree(all.map((content, at) => Uint8Array.of(at, ...content)))
      const index = pickLeaf % size
      const root = merkleRoot(nodes, size)
      const good = { leaf: leaves[index]!, index, size, path: inclusionPath(nodes, index, size) }
      const leadsHome = (changed: Partial<typeof good>) => {
        const found = rootFromPath({ ...good, ...changed })
        return found !== undefined && sameBytes(found, root)
      }
      const flip = (hash: MerkleHash) => hash.map((byte, at) => (at === pickBit % 32 ? byte ^ 1 : byte))
      t.true(leadsHome({}))
      t.false(leadsHome({ leaf: flip(good.leaf) }))
      t.false(leadsHome({ path: [...good.path, good.leaf] }))
      t.false(leadsHome({ path: good.path.slice(1) }) && good.path.length > 0)
      for (const [at, hash] of good.path.entries()) t.false(leadsHome({ path: good.path.with(at, flip(hash)) }))
      for (let other = 0; other < size; other++) t.is(leadsHome({ index: other }), other === index)
    }),
    { numRuns: 40 },
  )
})

test('SPEC-97: an inner node does not pass for a leaf (second preimage)', (t) => {
  fc.assert(
    fc.property(contents, fc.nat(), (all, choice) => {
      const { leaves, nodes, size } = tree(all)
      if (size < 2) return
      const root = merkleRoot(nodes, size)
      const pair = choice % Math.floor(size / 2)
      const [left, right] = [leaves[2 * pair]!, leaves[2 * pair + 1]!]
      // Whoever hashes leaves and nodes alike would take the two hashes for the content of one leaf of a smaller tree.
      const forged = hashLeaf(Uint8Array.of(...left, ...right))
      t.notDeepEqual(forged, hashNode(left, right))
      const path = inclusionPath(nodes, 2 * pair, size).slice(1)
      for (let claimed = 1; claimed <= size; claimed++) {
        for (let index = 0; index < claimed; index++) {
          const found = rootFromPath({ leaf: forged, index, size: claimed, path })
          t.false(found !== undefined && sameBytes(found, root))
        }
      }
    }),
    { numRuns: 25 },
  )
})

test('SPEC-97: a place that a tree does not have leads nowhere', (t) => {
  const leaf = hashLeaf(Uint8Array.of(1))
  for (const [index, size] of [
    [1, 1],
    [-1, 1],
    [0.5, 1],
    [0, 0],
    [0, Number.POSITIVE_INFINITY],
    [Number.NaN, 3],
  ] as const) {
    t.is(rootFromPath({ leaf, index, size, path: [] }), undefined, `${index} of ${size}`)
  }
  for (const index of [1, -1, 0.5, Number.NaN]) {
    t.throws(() => inclusionPath(nodesOf([leaf]), index, 1), { instanceOf: RangeError })
  }
  t.is(rootFromPath({ leaf, index: 0, size: 2, path: [] }), undefined, 'too short')
  t.is(rootFromPath({ leaf, index: 0, size: 1, path: [leaf] }), undefined, 'too long')
  t.throws(() => merkleRoot(nodesOf([leaf]), 2), { instanceOf: RangeError })
})

test('SPEC-97: sizes beyond 32 bits are counted right', (t) => {
  const size = 2 ** 40 + 3
  const same = hashLeaf(Uint8Array.of(7))
  // A tree in which every leaf is the same: one hash a level is the whole of it.
  const levels: MerkleHash[] = [same]
  for (let level = 0; level < 41; level++) levels.push(hashNode(levels[level]!, levels[level]!))
  const nodes = { node: (level: number) => levels[level]! }
  const root = merkleRoot(nodes, size)
  for (const index of [0, 1, 2 ** 31, 2 ** 33 + 5, 2 ** 40, size - 1]) {
    const path = inclusionPath(nodes, index, size)
    t.deepEqual(rootFromPath({ leaf: same, index, size, path }), root, `${index}`)
  }
  for (const count of [1, 2 ** 31 + 1, 2 ** 33 + 5, 2 ** 40, size - 1]) {
    const earlier = { count, root: merkleRoot(nodes, count) }
    t.true(isConsistent(earlier, { count: size, root }, consistencyPath(nodes, count, size)), `${count}`)
  }
})
