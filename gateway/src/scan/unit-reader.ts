import { type ReadRegisters, WattError } from '@wattline/protocol'
import type { LineProber, Outcome } from './line-prober.ts'

/** The words at a place, or undefined where the device has none. */
export type TryRead = (functionCode: 3 | 4, address: number, count: number) => Promise<readonly number[] | undefined>

const tries = 4
const silentTries = 2
// Some devices are silent where they should refuse. One that is so often in a row is gone.
const mostSilences = 20

/** Reads the registers of one unit, each of them once. */
export class UnitReader {
  readonly #prober: LineProber
  readonly #unitId: number
  readonly #words = new Map<string, number>()
  readonly #refused = new Set<string>()
  readonly #latenciesMs: number[] = []
  #waitMs: number
  #silences = 0

  constructor(prober: LineProber, unitId: number, waitMs: number) {
    this.#prober = prober
    this.#unitId = unitId
    this.#waitMs = waitMs
  }

  get latenciesMs(): readonly number[] {
    return this.#latenciesMs
  }

  get isGone(): boolean {
    return this.#silences >= mostSilences
  }

  readonly read: TryRead = async (functionCode, address, count) => {
    if (address < 0 || address + count > 0x1_0000) return undefined
    const known = this.#known(functionCode, address, count)
    const key = `${functionCode}/${address}/${count}`
    if (known !== undefined || this.isGone || this.#refused.has(key)) return known
    const words = await this.readAnew(functionCode, address, count)
    if (words === undefined) this.#refused.add(key)
    else words.forEach((word, i) => void this.#words.set(`${functionCode}/${address + i}`, word))
    return words
  }

  async readAnew(functionCode: 3 | 4, address: number, count: number): Promise<readonly number[] | undefined> {
    const request = { unitId: this.#unitId, functionCode, address, count }
    let outcome = await this.#prober.read(request, this.#waitMs)
    for (let again = 1; again < this.#triesFor(outcome); again++)
      outcome = await this.#prober.read(request, this.#waitMs)
    this.#silences = outcome.kind === 'silent' ? this.#silences + 1 : 0
    if (outcome.kind !== 'words') return undefined
    this.#latenciesMs.push(outcome.latencyMs)
    return outcome.words
  }

  // A question that nobody answers is worth more tries on a line that spoils what goes over it.
  #triesFor(outcome: Outcome): number {
    if (outcome.kind === 'garbled') return tries
    const isSpoiling = this.#prober.tally.unit(this.#unitId).garbled > 0
    return outcome.kind !== 'silent' ? 0 : isSpoiling ? tries : silentTries
  }

  #known(functionCode: number, address: number, count: number): readonly number[] | undefined {
    const words: number[] = []
    for (let at = address; at < address + count; at++) {
      const word = this.#words.get(`${functionCode}/${at}`)
      if (word === undefined) return undefined
      words.push(word)
    }
    return words
  }
}

/** As the SunSpec walk wants to read: a refusal is an error. */
export function insisting(read: TryRead): ReadRegisters {
  return async (functionCode, address, count) => {
    const words = await read(functionCode, address, count)
    if (words === undefined) throw new WattError('bus/exception', `${count} registers at ${address}: refused`)
    return words
  }
}

/** A map whose registers all stand some addresses off. */
export function shifted(read: TryRead, by: number): TryRead {
  return (functionCode, address, count) => read(functionCode, address + by, count)
}
