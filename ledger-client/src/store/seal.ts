import { hash } from 'node:crypto'
import type { Database, Statement } from './database.ts'

/** Records under one seal: how closely a damaged text is found without checking signatures. */
export const blockRecords = 1024

/** What the first record is sealed upon. */
export const emptySeal = '0'.repeat(64)

/** SPEC-53: the running digest over the texts of all records, signatures included, in the order of their acceptance. */
export function sealText(seal: string, text: string): string {
  return hash('sha256', seal + text)
}

/** The seal of one block, as far as it has come. */
export interface SealBlock {
  /** Counts up by one from 0. */
  readonly block: number
  /** Row ids of its first and last record. */
  readonly first: number
  readonly last: number
  /** How many records are sealed up to the last one. */
  readonly records: number
  readonly digest: string
}

/**
 * Seals records as they are accepted. A record is authentic because a later one of its chain names it by hash, but
 * that hash does not cover its signature: the seal does, so that a damaged one is found without checking all of them.
 */
export class Seals {
  readonly #last: Statement<[], SealBlock>
  readonly #write: Statement<[number, number, number, number, string], unknown>
  readonly #changed = new Map<number, SealBlock>()
  #tip: SealBlock | undefined

  constructor(db: Database) {
    this.#last = db.prepare('SELECT block, first, last, records, digest FROM seal ORDER BY block DESC LIMIT 1')
    this.#write = db.prepare(
      `INSERT INTO seal (block, first, last, records, digest) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (block) DO UPDATE SET last = excluded.last, records = excluded.records, digest = excluded.digest`,
    )
    db.onStale(() => {
      this.#tip = undefined
      this.#changed.clear()
    })
    db.onCommit(() => this.#flush())
  }

  /** Seals the next record. */
  add(id: number, text: string): void {
    const before = this.tip()
    const records = (before?.records ?? 0) + 1
    const block = Math.floor((records - 1) / blockRecords)
    const first = before?.block === block ? before.first : id
    this.#tip = { block, first, last: id, records, digest: sealText(before?.digest ?? emptySeal, text) }
    this.#changed.set(block, this.#tip)
  }

  /** The newest seal. */
  tip(): SealBlock | undefined {
    this.#tip ??= this.#last.get()
    return this.#tip
  }

  #flush(): void {
    for (const { block, first, last, records, digest } of this.#changed.values()) {
      this.#write.run(block, first, last, records, digest)
    }
    this.#changed.clear()
  }
}
