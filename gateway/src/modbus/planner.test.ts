import test from 'ava'
import fc from 'fast-check'
import {
  type Block,
  type Learnt,
  learnAnswer,
  learnNothing,
  learnRefusal,
  planBlocks,
  planCostMs,
  type Span,
  splitBlock,
  type WireCost,
} from './planner.ts'
import { requestCost } from './rtu-framing.ts'

const at9600 = requestCost({ baudRate: 9600, parity: 'none', stopBits: 1 }, 0)

/** Values that stand in a device's map: none overlaps another. */
const items = (most: number) =>
  fc
    .array(fc.tuple(fc.constantFrom(3, 4), fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 4 })), {
      minLength: 1,
      maxLength: most,
    })
    .map((places) => {
      let next = 0
      return places.map(([functionCode, hole, count]): Span => {
        const address = next + hole
        next = address + count
        return { functionCode: functionCode as 3 | 4, address, count }
      })
    })
const costs = fc.record({
  requestMs: fc.double({ min: 0.5, max: 100, noNaN: true }),
  registerMs: fc.double({ min: 0.001, max: 5, noNaN: true }),
})
const limits = fc.integer({ min: 4, max: 125 })

const registersOf = ({ functionCode, address, count }: Span) =>
  Array.from({ length: count }, (_, i) => `${functionCode}/${address + i}`)

test('every wanted register is in exactly one request, and no request is longer than the limit', (t) => {
  fc.assert(
    fc.property(items(40), limits, costs, (wanted, limit, cost) => {
      const blocks = planBlocks(wanted, learnNothing(limit), cost)
      const covered = blocks.flatMap(registersOf)
      t.is(new Set(covered).size, covered.length)
      for (const register of wanted.flatMap(registersOf)) t.true(covered.includes(register))
      t.true(blocks.every(({ count }) => count <= limit))
      t.is(blocks.flatMap((block) => block.items).length, wanted.length)
    }),
  )
})

/** Joins as long as the hole alone is cheaper than a request: what one would write first. */
function joinGreedily(wanted: readonly Span[], limit: number, cost: WireCost): Span[] {
  const blocks: Span[] = []
  for (const item of wanted.toSorted((a, b) => a.functionCode - b.functionCode || a.address - b.address)) {
    const last = blocks.at(-1)
    const count = last === undefined ? 0 : item.address + item.count - last.address
    const hole = last === undefined ? 0 : item.address - last.address - last.count
    const joins = last?.functionCode === item.functionCode && count <= limit && hole * cost.registerMs < cost.requestMs
    if (last !== undefined && joins) blocks[blocks.length - 1] = { ...last, count }
    else blocks.push(item)
  }
  return blocks
}

test('a plan never costs more than single reads, nor than joining over cheap holes', (t) => {
  fc.assert(
    fc.property(items(40), limits, costs, (wanted, limit, cost) => {
      const planned = planCostMs(planBlocks(wanted, learnNothing(limit), cost), cost)
      t.true(planned <= planCostMs(wanted, cost) + 1e-6)
      t.true(planned <= planCostMs(joinGreedily(wanted, limit, cost), cost) + 1e-6)
    }),
  )
})

/** All ways to cut a row in two or more, or not at all. */
function* partitions(wanted: readonly Span[]): Generator<Span[]> {
  if (wanted.length === 0) yield []
  for (let to = 1; to <= wanted.length; to++) {
    const [first, last] = [wanted[0]!, wanted[to - 1]!]
    const block = { ...first, count: last.address + last.count - first.address }
    for (const rest of partitions(wanted.slice(to))) yield [block, ...rest]
  }
}

test('no other way to cut a row of registers is cheaper', (t) => {
  const row = items(7).map((wanted) => wanted.map((item) => ({ ...item, functionCode: 4 as const })))
  fc.assert(
    fc.property(row, limits, costs, (wanted, limit, cost) => {
      const planned = planCostMs(planBlocks(wanted, learnNothing(limit), cost), cost)
      const allowed = [...partitions(wanted)].filter((blocks) => blocks.every(({ count }) => count <= limit))
      const cheapest = Math.min(...allowed.map((blocks) => planCostMs(blocks, cost)))
      t.true(Math.abs(planned - cheapest) < 1e-6)
    }),
  )
})

test('at 9600 baud a hole of nine registers is read along, one of eleven is not', (t) => {
  const counts = (hole: number) => {
    const wanted = [0, 2 + hole].map((address) => ({ functionCode: 4 as const, address, count: 2 }))
    return planBlocks(wanted, learnNothing(80), at9600).map(({ count }) => count)
  }
  t.deepEqual(counts(9), [13])
  t.deepEqual(counts(11), [2, 2])
})

test('what overlaps shares a request, unless it does not fit', (t) => {
  const wanted: Span[] = [
    { functionCode: 3, address: 0, count: 20 },
    { functionCode: 3, address: 2, count: 20 },
    { functionCode: 3, address: 40, count: 60 },
  ]
  t.deepEqual(
    planBlocks(wanted, learnNothing(50), at9600).map(({ address, count }) => [address, count]),
    [[0, 22]],
  )
  t.deepEqual(
    planBlocks(wanted, learnNothing(20), at9600).map(({ address, count }) => [address, count]),
    [
      [0, 20],
      [2, 20],
    ],
  )
})

interface Device {
  readonly refusesAcross: (register: number) => boolean
  readonly most: number
}

/** Reads as `BlockReader` does, until a whole round is answered. */
function readUntilAnswered(wanted: readonly Span[], limit: number, device: Device) {
  let learnt: Learnt = learnNothing(limit)
  let refusals = 0
  const absent = new Set<Span>()
  const isAnswered = (block: Span) =>
    block.count <= device.most &&
    registersOf({ ...block, functionCode: 4 }).every((_, i) => !device.refusesAcross(block.address + i))
  const read = (block: Block): boolean => {
    if (isAnswered(block)) {
      learnt = learnAnswer(learnt, block.count)
      return true
    }
    refusals++
    if (block.items.length === 1) {
      absent.add(block.items[0]!)
      return false
    }
    const halves = splitBlock(block).map(read)
    if (halves.every(Boolean)) learnt = learnRefusal(learnt, block)
    return false
  }
  const rounds: Block[][] = []
  for (let isAll = false; !isAll; ) {
    const present = wanted.filter((item) => !absent.has(item))
    const blocks = planBlocks(present, learnt, at9600)
    rounds.push(blocks)
    isAll = blocks.map(read).every(Boolean)
    if (rounds.length > 1000) throw new Error('does not end')
  }
  return { refusals, absent, learnt, blocks: rounds.at(-1)! }
}

test('splitting ends, whatever a device refuses, and reads all that the device has', (t) => {
  const holes = fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { maxLength: 30 })
  fc.assert(
    fc.property(items(25), holes, limits, limits, (wanted, missing, most, limit) => {
      const device = { refusesAcross: (register: number) => missing.includes(register), most }
      const { absent, blocks, refusals } = readUntilAnswered(wanted, limit, device)
      for (const item of wanted) {
        const has = registersOf(item).every((_, i) => !missing.includes(item.address + i))
        t.is(absent.has(item), !has)
        t.is(blocks.filter((block) => block.items.includes(item)).length, has ? 1 : 0)
      }
      t.true(refusals <= wanted.length * 12, `${refusals} refusals for ${wanted.length} items`)
    }),
  )
})

test('a device that takes ten registers is asked for ten, also where it promised eighty', (t) => {
  const wanted = Array.from({ length: 18 }, (_, i) => ({ functionCode: 4 as const, address: 2 * i, count: 2 }))
  const { learnt, blocks, refusals } = readUntilAnswered(wanted, 80, { refusesAcross: () => false, most: 10 })
  t.is(learnt.longestAnswered, 10)
  t.is(Math.max(...blocks.map(({ count }) => count)), 10)
  t.is(blocks.length, 4)
  t.true(refusals < 12, `${refusals}`)
})

test('a hole that a device refuses is read around, and nothing else becomes smaller', (t) => {
  const wanted = [0, 2, 4, 10, 12, 14].map((address) => ({ functionCode: 4 as const, address, count: 2 }))
  const { learnt, blocks } = readUntilAnswered(wanted, 80, { refusesAcross: (register) => register === 8, most: 80 })
  t.is(learnt.limit, 80)
  t.deepEqual(
    blocks.map(({ address, count }) => [address, count]),
    [
      [0, 6],
      [10, 6],
    ],
  )
})
