import { createHash } from 'node:crypto'
import { hashLeaf, hashNode, inclusionPath, merkleRoot, nodesOf } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { hashPair, MemoryTiles, MerkleTiles } from './tiles.ts'

const leafOf = (number: number) => createHash('sha256').update(`${number}`).digest()
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

test('SPEC-97: nodes are hashed as the reference does it', (t) => {
  const [left, right] = [hashLeaf(Uint8Array.of(1)), hashLeaf(Uint8Array.of(2))]
  t.is(hex(hashPair(left, right)), hex(hashNode(left, right)))
})

test('SPEC-97: tiles give the roots and paths of the whole list, however it was added', (t) => {
  const steps = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(steps, fc.nat(), (lengths, choice) => {
      const store = new MemoryTiles()
      const leaves: Buffer[] = []
      for (const length of lengths) {
        const added = Array.from({ length }, (_, at) => leafOf(leaves.length + at))
        // A new object each time: what was written is all that is left.
        new MerkleTiles(store).append(added)
        leaves.push(...added)
      }
      const tiles = new MerkleTiles(store)
      const nodes = nodesOf(leaves)
      t.is(tiles.size, leaves.length)
      const size = choice % (leaves.length + 1)
      t.is(tiles.root(size), hex(merkleRoot(nodes, size)))
      if (size === 0) return
      const index = (choice * 31) % size
      t.deepEqual(tiles.path(index, size).map(hex), inclusionPath(nodes, index, size).map(hex))
      t.is(hex(tiles.leaf(index)), hex(leafOf(index)))
    }),
    { numRuns: 30 },
  )
})

test('SPEC-97: a tree of three levels of tiles, and one read through another store', (t) => {
  const count = 65_536 + 300
  // Any 32 bytes will do for a leaf's hash.
  const leaves = Array.from({ length: count }, (_, at) => Buffer.alloc(32, `${at}/`))
  const below = new MemoryTiles()
  new MerkleTiles(below).append(leaves.slice(0, count - 100))
  const above = new MemoryTiles(below)
  const tiles = new MerkleTiles(above)
  tiles.append(leaves.slice(count - 100))
  t.deepEqual([below.size(), above.size()], [count - 100, count])
  const level = (hashes: readonly Uint8Array[]): readonly Uint8Array[] =>
    hashes.length === 1
      ? hashes
      : level(Array.from({ length: hashes.length / 2 }, (_, at) => hashPair(hashes[2 * at]!, hashes[2 * at + 1]!)))
  t.is(hex(tiles.node(16, 0)), hex(level(leaves.slice(0, 65_536))[0]!))
  const rest = nodesOf(leaves.slice(65_536))
  t.is(tiles.root(count), hex(hashPair(tiles.node(16, 0), merkleRoot(rest, 300))))
})

test('SPEC-97: what is not there is told, not made up', (t) => {
  const tiles = new MerkleTiles(new MemoryTiles())
  t.throws(() => tiles.root(1), { instanceOf: RangeError })
  tiles.append([leafOf(0), leafOf(1), leafOf(2)])
  t.throws(() => tiles.leaf(3), { instanceOf: RangeError })
  t.throws(() => tiles.node(2, 0), { instanceOf: RangeError })
  t.notThrows(() => tiles.root(3))
})
