import { directions, parseOcmfText, type Registers, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { formatPlace } from '../reports.ts'
import type { Database, Statement } from '../store/database.ts'
import { tagOf } from '../store/records.ts'
import type { StatedTerms } from './journal-audit.ts'
import type { Faults } from './report.ts'

// SPEC-95: each record at which counting began anew has its note in the journal, and each note its records.

const side = v.object({
  hash: v.optional(v.string()),
  serial: v.optional(v.string()),
  importWh: v.optional(v.string()),
  exportWh: v.optional(v.string()),
})
/** `from` names no record where only a certificate came before. */
export const swapShape = { from: v.optional(side), to: v.optional(side) }
const shape = v.object(swapShape)
type Swap = v.InferOutput<typeof shape>

interface BaseRow {
  readonly point: number
  readonly name: string
  readonly epoch: number
  readonly sequence: number
  readonly hash: string
  readonly terms: number
}

/** Compares the journal's notes of swapped meters with the records. */
export class SwapAudit {
  readonly #db: Database
  readonly #record: Statement<[string, number, string], { text: string; outcome: string }>
  readonly #counted: Statement<[number, number, number], string>
  /** By the record at which counting began anew. */
  readonly #noted = new Map<string, Swap>()

  constructor(db: Database) {
    this.#db = db
    this.#record = db.prepare(
      'SELECT text, outcome FROM record WHERE point = (SELECT id FROM point WHERE name = ?) AND tag = ? AND hash = ?',
    )
    this.#counted = db
      .prepare<[number, number, number], string>(
        `SELECT hash FROM record WHERE point = ? AND (epoch, sequence) < (?, ?) AND outcome IN ('counted', 'base')
         ORDER BY epoch DESC, sequence DESC LIMIT 1`,
      )
      .pluck()
  }

  /** Takes one note. What it says stands in the two signed records. */
  take(point: string, swap: Swap): void {
    for (const each of [swap.from, swap.to]) {
      if (each?.hash === undefined) continue
      const row = this.#record.get(point, tagOf(each.hash), each.hash)
      if (row === undefined) throw new WattError('journal/broken', `record ${each.hash.slice(0, 8)} is not here`)
      const { registers, template } = parseOcmfText(row.text).record
      const told = [each.serial, each.importWh, each.exportWh].join(' ')
      const signed = [template.meterSerial, registers.import, registers.export].join(' ')
      if (told !== signed)
        throw new WattError('journal/broken', `meter and registers '${signed}' are signed, it says '${told}'`)
    }
    const key = `${point} ${swap.to?.hash}`
    if (this.#noted.has(key)) throw new WattError('journal/broken', 'another entry notes the same swap')
    this.#noted.set(key, swap)
  }

  /** Walks the records at which counting began, once every note is taken. */
  compare(stated: ReadonlyMap<number, StatedTerms>, faults: Faults): void {
    const bases = this.#db.prepare<[], BaseRow>(
      `SELECT record.point, name, record.epoch, record.sequence, record.hash, record.terms
       FROM record JOIN point ON point.id = record.point WHERE outcome = 'base'`,
    )
    for (const row of bases.iterate()) {
      const before = this.#counted.get(row.point, row.epoch, row.sequence)
      const key = `${row.name} ${row.hash}`
      const swap = this.#noted.get(key)
      this.#noted.delete(key)
      const place = formatPlace(row.name, row)
      const isNoted = before !== undefined || this.#beginsBelow(row, stated.get(row.terms)?.terms.first)
      if (isNoted && swap === undefined) {
        faults.add(place, 'journal/broken', 'counting began anew there, and no entry notes the swap')
      } else if (swap !== undefined && (!isNoted || swap.from?.hash !== before)) {
        const last = before === undefined ? 'no record' : `record ${before.slice(0, 8)}`
        faults.add(place, 'journal/broken', `${last} had counted before the swap, its entry says otherwise`)
      }
    }
    for (const key of this.#noted.keys()) {
      const [point, hash = ''] = key.split(' ')
      faults.add(`point ${point}`, 'journal/broken', `a swap is noted at record ${hash.slice(0, 8)}, none was there`)
    }
  }

  // A first count below what the certificate says is of another meter, or of one that was set back.
  #beginsBelow({ name, hash }: BaseRow, first: Registers | undefined): boolean {
    const row = first === undefined ? undefined : this.#record.get(name, tagOf(hash), hash)
    if (first === undefined || row === undefined) return false
    const registers = registersIn(row.text)
    return directions.some((each) => (registers[each] ?? first[each] ?? 0n) < (first[each] ?? 0n))
  }
}

function registersIn(text: string): Registers {
  try {
    return parseOcmfText(text).record.registers
  } catch (error) {
    if (error instanceof WattError) return {} // a damaged text is a fault of its own
    throw error
  }
}
