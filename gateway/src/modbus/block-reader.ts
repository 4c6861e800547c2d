import { WattError } from '@wattline/protocol'
import type { RegisterBus } from './bus.ts'
import {
  type Block,
  type Learnt,
  learnAnswer,
  learnNothing,
  learnRefusal,
  planBlocks,
  type Span,
  splitBlock,
} from './planner.ts'
import type { Scheduler } from './scheduler.ts'

export interface BlockReaderOptions {
  readonly bus: RegisterBus
  readonly unitId: number
  /** What the device's profile promises. */
  readonly maxRegisters: number
  readonly minGapMs: number
  readonly scheduler: Scheduler
}

/** What became of an item: its words, or why there are none. */
export type ItemOutcome =
  | { readonly ok: true; readonly words: readonly number[] }
  | { readonly ok: false; readonly error: WattError }

// The bus varies the length of a read by so many registers, as a pseudo transaction id.
const variation = 7
// What a device does not have is asked for again after so long.
const absentMs = 3_600_000
// Some devices are silent, or plead failure, where they should refuse; but any answer may get lost once.
const silencesToRefusal = 2
// A noisy line teaches what is not so, and a meter's firmware may change.
const forgetMs = 86_400_000

/** Reads many values of one device in few requests, behind everything else that the bus has to do. */
export class BlockReader {
  readonly #options: BlockReaderOptions
  readonly #absent = new Map<string, { readonly untilMs: number; readonly error: WattError }>()
  readonly #silences = new Map<string, number>()
  #learnt: Learnt
  #learntSinceMs: number

  constructor(options: BlockReaderOptions) {
    this.#options = options
    this.#learnt = this.#learnNothing()
    this.#learntSinceMs = options.scheduler.now()
  }

  /** Another device may answer now. */
  reset(): void {
    this.#learnt = this.#learnNothing()
    this.#learntSinceMs = this.#options.scheduler.now()
    this.#absent.clear()
    this.#silences.clear()
  }

  /** Reads the items, as far as the device has them and answers. Never throws what a bus throws. */
  async read<T extends Span>(items: readonly T[]): Promise<ReadonlyMap<T, ItemOutcome>> {
    const { bus, unitId, scheduler } = this.#options
    if (scheduler.now() - this.#learntSinceMs >= forgetMs) this.reset()
    const outcomes = new Map<T, ItemOutcome>()
    const present = items.filter((item) => {
      const error = this.#absence(item)
      if (error !== undefined) outcomes.set(item, { ok: false, error })
      return error === undefined
    })
    const blocks = planBlocks(present, this.#learnt, bus.cost(unitId))
    for (const block of blocks) {
      const failure = await this.#readBlock(block, outcomes)
      if (typeof failure !== 'object') continue
      // Whoever does not answer once is not asked for the rest.
      for (const item of items) if (!outcomes.has(item)) outcomes.set(item, { ok: false, error: failure })
      break
    }
    return outcomes
  }

  // Whether the whole block was read; an error where there is no use in going on.
  async #readBlock<T extends Span>(block: Block<T>, outcomes: Map<T, ItemOutcome>): Promise<boolean | WattError> {
    try {
      const words = await this.#ask(block)
      this.#learnt = learnAnswer(this.#learnt, block.count)
      this.#silences.delete(nameOf(block))
      for (const item of block.items) {
        const from = item.address - block.address
        outcomes.set(item, { ok: true, words: words.slice(from, from + item.count) })
      }
      return true
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      if (!this.#isRefusal(block, error)) return error
      return this.#afterRefusal(block, error, outcomes)
    }
  }

  async #afterRefusal<T extends Span>(
    block: Block<T>,
    error: WattError,
    outcomes: Map<T, ItemOutcome>,
  ): Promise<boolean | WattError> {
    const [only, ...others] = block.items
    if (only !== undefined && others.length === 0) {
      this.#absent.set(nameOf(only), { untilMs: this.#options.scheduler.now() + absentMs, error })
      outcomes.set(only, { ok: false, error })
      return false
    }
    let isWhole = true
    for (const half of splitBlock(block)) {
      const result = await this.#readBlock(half, outcomes)
      if (typeof result === 'object') return result
      isWhole &&= result
    }
    if (isWhole) this.#learnt = learnRefusal(this.#learnt, block)
    return false
  }

  #ask({ functionCode, address, count }: Block): Promise<readonly number[]> {
    const { bus, unitId, maxRegisters, minGapMs } = this.#options
    const { limit, longestAnswered } = this.#learnt
    // Once the device has shown a limit of its own, it is not asked for more, not even to vary the length.
    const maxCount = limit < roomyLimit(maxRegisters) ? Math.max(longestAnswered, count) : maxRegisters
    return bus.read({ unitId, functionCode, address, count, maxCount, minGapMs, priority: 'last' })
  }

  #isRefusal(block: Block, error: WattError): boolean {
    if (error.code === 'bus/exception' && !error.retryable) return true
    if (!['bus/exception', 'bus/timeout', 'bus/frame'].includes(error.code)) return false
    const silences = (this.#silences.get(nameOf(block)) ?? 0) + 1
    this.#silences.set(nameOf(block), silences)
    return silences >= silencesToRefusal
  }

  #absence(item: Span): WattError | undefined {
    const absence = this.#absent.get(nameOf(item))
    if (absence !== undefined && absence.untilMs > this.#options.scheduler.now()) return absence.error
    this.#absent.delete(nameOf(item))
    return undefined
  }

  #learnNothing(): Learnt {
    return learnNothing(roomyLimit(this.#options.maxRegisters))
  }
}

// Leaves room to vary the length of the longest block, where that does not make it much shorter.
function roomyLimit(maxRegisters: number): number {
  return maxRegisters >= 2 * variation ? maxRegisters - variation : maxRegisters
}

function nameOf({ functionCode, address, count }: Span): string {
  return `${functionCode}/${address}/${count}`
}
