import { type OcmfTemplate, type ParsedOcmf, type PublicKey, parseOcmfText } from '@wattline/protocol'
import type { ChainHead, SettlementContract } from './attestation-contract.ts'
import { isSettleable, mustSettle, type Settlement, toDeviceAddress, toSettlement } from './settlement.ts'
import type { Wallet } from './wallet.ts'

/** A place in a point's chain. */
export interface Place {
  readonly epoch: number
  readonly sequence: number
}

/** The records of one key that the ledger has counted, in the order of the chain. */
export interface Lane {
  readonly publicKey: PublicKey
  /** At most `limit` texts after a place. */
  after(place: Place, limit: number): readonly string[]
}

/** What one step came to. `looking`: what was tried does not count, and there is more to try. */
export type StepOutcome = 'idle' | 'sent' | 'waiting' | 'too-dear' | 'looking'

interface Candidate {
  readonly parsed: ParsedOcmf
  readonly publicKey: PublicKey
}

/** Records read from one lane at once, and settled in one transaction at most. */
const pageSize = 500
const batchSize = 100

/**
 * Brings records to the contract. It remembers nothing that matters: each step begins at what the chain says it has
 * counted, so a crash, a lost or doubled transaction and a reorg all heal by the next step.
 */
export class Relayer {
  readonly #contract: SettlementContract
  readonly #wallet: Wallet
  readonly #templates = new Map<string, number>()
  /** How far a lane was looked through in vain: what lies there did not count when it was last asked. */
  readonly #passed = new Map<string, Place>()
  /** Keys whose last record does not count from where the chain is: all before it are tried as well. */
  readonly #thorough = new Set<string>()

  constructor(contract: SettlementContract, wallet: Wallet) {
    this.#contract = contract
    this.#wallet = wallet
  }

  /** Sends at most one transaction. */
  async step(lanes: readonly Lane[]): Promise<StepOutcome> {
    if (await this.#wallet.isBusy()) return 'waiting'
    const candidates: Candidate[] = []
    for (const lane of lanes) {
      if (candidates.length < batchSize) candidates.push(...(await this.#look(lane)))
    }
    const batch = candidates.slice(0, batchSize)
    const settlements: Settlement[] = []
    for (const { parsed, publicKey } of batch) {
      const template = await this.#templateId(parsed.record.template)
      // A template that a reorg took back, or that nobody has stored yet.
      if (template === undefined) return this.#contract.registerTemplate(parsed.record.template)
      settlements.push(toSettlement(parsed, publicKey, template))
    }
    if (settlements.length === 0) return 'idle'
    const reasons = await this.#contract.tryOut(settlements, 'latest')
    const good = settlements.filter((_, i) => reasons[i] === 'Counted')
    if (good.length === 0) return this.#giveUp(batch)
    for (const [i, { publicKey }] of batch.entries()) {
      if (reasons[i] === 'Counted') this.#thorough.delete(toDeviceAddress(publicKey))
    }
    return this.#contract.settle(good)
  }

  // Nothing of it counts now; a template that a reorg took back may be why. Before records are passed over they are
  // tried one by one: the limit allows a tolerance for each, so what is too much in one step may count in several.
  #giveUp(batch: readonly Candidate[]): StepOutcome {
    this.#templates.clear()
    const devices = batch.map(({ publicKey }) => toDeviceAddress(publicKey))
    const isNews = devices.some((device) => !this.#thorough.has(device))
    for (const [i, device] of devices.entries()) {
      if (this.#thorough.has(device)) this.#pass(device, batch[i]?.parsed)
    }
    for (const device of devices) this.#thorough.add(device)
    return isNews || batch.length === batchSize ? 'looking' : 'idle'
  }

  async #look(lane: Lane): Promise<readonly Candidate[]> {
    const { publicKey } = lane
    const device = toDeviceAddress(publicKey)
    const head = await this.#contract.headOf(device, 'latest')
    if (head.status !== 'active' && head.status !== 'revoked') return []
    const page = lane.after(later(head, this.#passed.get(device)), pageSize).map((text) => parseOcmfText(text))
    const sound = page.filter(isSettleable)
    const found = this.#thorough.has(device) ? sound : pick(sound, head)
    if (found.length === 0) this.#pass(device, page.at(-1))
    return found.map((parsed) => ({ parsed, publicKey }))
  }

  // What did not count is asked again once everything behind it was: its time may have come.
  #pass(device: string, parsed: ParsedOcmf | undefined): void {
    if (parsed === undefined) this.#passed.delete(device)
    else this.#passed.set(device, parsed.record)
  }

  async #templateId(template: OcmfTemplate): Promise<number | undefined> {
    const key = JSON.stringify(template)
    const known = this.#templates.get(key) ?? (await this.#contract.templateId(template, 'latest'))
    if (known !== undefined) this.#templates.set(key, known)
    return known
  }
}

// The last record tells the energy of all before it. Where a register begins anew, the record before it is the last.
function pick(page: readonly ParsedOcmf[], head: ChainHead): readonly ParsedOcmf[] {
  return page.filter((parsed, i) => {
    const next = page[i + 1]
    return mustSettle(parsed) || ((next === undefined || mustSettle(next)) && moves(head, parsed))
  })
}

/** Whether a record tells anything beyond what is counted: a settlement without energy costs as much as one with it. */
export function moves({ books, registers }: ChainHead, { record }: ParsedOcmf): boolean {
  if (record.state !== 'ok') return true
  const { import: imported, export: exported } = record.registers
  return (
    ((books & 1) !== 0 && (imported ?? registers.import) !== registers.import) ||
    ((books & 2) !== 0 && (exported ?? registers.export) !== registers.export)
  )
}

function later(a: Place, b: Place | undefined): Place {
  if (b === undefined) return a
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.sequence >= b.sequence) ? a : b
}
