/** Registers that must come from one request: a value, with its scale factor where it has one. */
export interface Span {
  readonly functionCode: 3 | 4
  /** Zero-based PDU address. */
  readonly address: number
  readonly count: number
}

/** One request, and what it is for. The registers between its items are read and thrown away. */
export interface Block<T extends Span = Span> extends Span {
  readonly items: readonly T[]
}

/** What reading costs on a bus: a request without its registers, and each register. */
export interface WireCost {
  readonly requestMs: number
  readonly registerMs: number
}

/** What a device has shown of what it takes. */
export interface Learnt {
  /** The most registers that one request may ask for. */
  readonly limit: number
  readonly longestAnswered: number
  /** Addresses of items that no block may reach from before: the device refused to be read across. */
  readonly cuts: ReadonlySet<string>
}

/** Nothing is known but what the device's profile promises. */
export function learnNothing(limit: number): Learnt {
  return { limit, longestAnswered: 0, cuts: new Set() }
}

/**
 * Puts items into the cheapest requests. A hole is read along where that costs less than another request. Items that
 * are wider than the limit are left out: nothing can read them.
 */
export function planBlocks<T extends Span>(items: readonly T[], learnt: Learnt, cost: WireCost): Block<T>[] {
  const readable = items.filter(({ count }) => count <= learnt.limit)
  return ([3, 4] as const).flatMap((functionCode) => {
    const sorted = readable.filter((item) => item.functionCode === functionCode)
    return partition(
      sorted.sort((a, b) => a.address - b.address || a.count - b.count),
      learnt,
      cost,
    )
  })
}

// The cheapest way to cut a row of items into blocks: for each item, the cheapest way for all before it is known.
function partition<T extends Span>(sorted: readonly T[], { limit, cuts }: Learnt, cost: WireCost): Block<T>[] {
  const best: { readonly costMs: number; readonly from: number }[] = [{ costMs: 0, from: 0 }]
  for (let to = 1; to <= sorted.length; to++) {
    let cheapest = { costMs: Number.POSITIVE_INFINITY, from: to - 1 }
    let end = 0
    for (let from = to - 1; from >= 0; from--) {
      const first = sorted[from] as T
      end = Math.max(end, first.address + first.count)
      const count = end - first.address
      if (count > limit) break
      const costMs = (best[from]?.costMs ?? 0) + cost.requestMs + cost.registerMs * count
      // At the same price, fewer requests.
      if (costMs <= cheapest.costMs) cheapest = { costMs, from }
      if (cuts.has(cutBefore(first))) break
    }
    best.push(cheapest)
  }
  const blocks: Block<T>[] = []
  for (let to = sorted.length; to > 0; to = best[to]?.from ?? 0) {
    blocks.unshift(toBlock(sorted.slice(best[to]?.from, to)))
  }
  return blocks
}

/** What a plan costs on the wire. */
export function planCostMs(blocks: readonly Span[], { requestMs, registerMs }: WireCost): number {
  return blocks.reduce((sum, { count }) => sum + requestMs + registerMs * count, 0)
}

/** Cuts a refused block of several items in two: at its widest hole, for there the device may have nothing, else in the middle. */
export function splitBlock<T extends Span>({ items, address, count }: Block<T>): [Block<T>, Block<T>] {
  const middle = address + count / 2
  let at = 1
  for (let i = 2; i < items.length; i++) {
    const [wider, nearer] = [holeBefore(items, i) - holeBefore(items, at), distance(items, at) - distance(items, i)]
    if (wider > 0 || (wider === 0 && nearer > 0)) at = i
  }
  return [toBlock(items.slice(0, at)), toBlock(items.slice(at))]

  function distance(all: readonly T[], i: number): number {
    return Math.abs((all[i]?.address ?? 0) - middle)
  }
}

/** The device has answered that many registers at once. */
export function learnAnswer(learnt: Learnt, count: number): Learnt {
  return count <= learnt.longestAnswered ? learnt : { ...learnt, longestAnswered: count }
}

/**
 * The device refused a block although it answers both its halves: it does not let itself be read across the place where
 * they meet, or not that much at once. The size is blamed only where there is no hole, and nothing as long was ever
 * answered; it is then searched for between what was answered and what was refused.
 */
export function learnRefusal<T extends Span>(learnt: Learnt, block: Block<T>): Learnt {
  const [left, right] = splitBlock(block)
  const { longestAnswered, cuts } = learnt
  if (holeBefore(block.items, left.items.length) > 0 || longestAnswered >= block.count) {
    const [first] = right.items
    return first === undefined ? learnt : { ...learnt, cuts: new Set([...cuts, cutBefore(first)]) }
  }
  return { ...learnt, limit: Math.max(longestAnswered, Math.floor((longestAnswered + block.count) / 2)) }
}

function toBlock<T extends Span>(items: readonly T[]): Block<T> {
  const { functionCode, address } = items[0] as T
  return { functionCode, address, count: endOf(items) - address, items }
}

function endOf(items: readonly Span[]): number {
  return Math.max(...items.map(({ address, count }) => address + count))
}

function holeBefore(items: readonly Span[], at: number): number {
  return (items[at]?.address ?? 0) - endOf(items.slice(0, at))
}

function cutBefore({ functionCode, address }: Span): string {
  return `${functionCode}/${address}`
}
