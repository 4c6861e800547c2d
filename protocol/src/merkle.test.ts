import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { fromHex, sameBytes, toUpperHex } from './bytes.ts'
import { hashLeaf, hashNode, inclusionPath, type MerkleHash, merkleRoot, nodesOf, rootFromPath } from './merkle.ts'

const hex = (bytes: Uint8Array) => toUpperHex(bytes).toLowerCase()
const bytes = (text: string) => fromHex(text)!

interface Vectors {
  readonly leaves: readonly string[]
  readonly roots: readonly string[]
  readonly paths: readonly { readonly index: number; readonly size: number; readonly path: readonly string[] }[]
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
})
