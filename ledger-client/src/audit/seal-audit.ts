import type { Database } from '../store/database.ts'
import { emptySeal, type SealBlock, sealText } from '../store/seal.ts'
import type { Faults } from './report.ts'

/** A count of sealed records and the seal that somebody has seen there. */
export interface SeenSeal {
  readonly records: number
  readonly seal: string
  /** Who says so. */
  readonly witness: string
}

interface Row {
  readonly id: number
  readonly text: string
}

/** Reads all records once in the order of their acceptance and compares them with their seals (SPEC-53). */
export class SealAudit {
  /** Row ids of sealed texts that are as they were, ascending, as [first, last]. */
  readonly #intact: (readonly [first: number, last: number])[] = []
  readonly #broken: SealBlock[] = []
  #sealed = 0
  #at = 0

  constructor(db: Database, seen: readonly SeenSeal[], faults: Faults) {
    const blocks = db.prepare<[], SealBlock>('SELECT block, first, last, records, digest FROM seal ORDER BY block')
    const rows = db.prepare<[number, number], Row>('SELECT id, text FROM record WHERE id BETWEEN ? AND ? ORDER BY id')
    let before: SealBlock = { block: -1, first: 0, last: 0, records: 0, digest: emptySeal }
    const waiting = seen.toSorted((a, b) => a.records - b.records)
    for (const block of blocks.iterate()) {
      let [records, digest] = [before.records, before.digest]
      for (const { text } of rows.iterate(block.first, block.last)) {
        digest = sealText(digest, text)
        records++
        while (waiting[0]?.records === records) compareSeen(waiting.shift(), digest, faults)
      }
      const isNext = block.block === before.block + 1
      if (isNext && digest === block.digest && records === block.records) this.#keep(block)
      else this.#broken.push(block)
      // A block that is broken must not break the ones after it: each goes on from what the one before says.
      before = block
      this.#sealed = block.records
    }
    for (const { witness, records } of waiting) {
      if (records > 0)
        faults.add('records', 'chain/missing', `${witness}: ${records} records, ${this.#sealed} are here`)
    }
  }

  /** How many records stand under seals. */
  get sealed(): number {
    return this.#sealed
  }

  /** Blocks whose seal does not fit their texts. */
  get broken(): readonly SealBlock[] {
    return this.#broken
  }

  /** Whether the text of a record, its signature included, is the one that was accepted. */
  isIntact(id: number): boolean {
    // Rows are asked for in the order of a point's chain, so the block is nearly always the same or the next one.
    const covers = (at: number) => {
      const range = this.#intact[at]
      return range !== undefined && range[0] <= id && id <= range[1]
    }
    if (covers(this.#at)) return true
    let [low, high] = [0, this.#intact.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#intact[middle]?.[1] ?? 0) < id) low = middle + 1
      else high = middle
    }
    this.#at = low
    return covers(low)
  }

  #keep({ first, last }: SealBlock): void {
    const previous = this.#intact.at(-1)
    if (previous !== undefined && previous[1] + 1 === first) this.#intact[this.#intact.length - 1] = [previous[0], last]
    else this.#intact.push([first, last])
  }
}

function compareSeen(seen: SeenSeal | undefined, digest: string, faults: Faults): void {
  if (seen === undefined || seen.seal === digest) return
  const problem = `${seen.witness}: the first ${seen.records} records had the seal ${seen.seal.slice(0, 8)}, now ${digest.slice(0, 8)}`
  faults.add('records', 'chain/inserted', problem)
}
