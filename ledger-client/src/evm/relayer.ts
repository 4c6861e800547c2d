import { type OcmfTemplate, type ParsedOcmf, type PublicKey, parseOcmfText } from '@wattline/protocol'
import type { ChainHead, Reason, SettlementContract } from './attestation-contract.ts'
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

/** A candidate and what would become of it now. */
interface Tried extends Candidate {
  readonly device: string
  readonly settlement: Settlement
  readonly reason: Reason
}

/** Records read from one lane at once, and settled in one transaction at most. */
const pageSize = 500
const batchSize = 100
/** Lanes whose heads are asked for in one question. */
const askedAtOnce = 500

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
    const batch = await this.#gather(lanes)
    if (batch.length === 0) return 'idle'
    await this.#learn(batch.map(({ parsed }) => parsed.record.template))
    const settlements: Settlement[] = []
    for (const { parsed, publicKey } of batch) {
      const template = this.#templates.get(JSON.stringify(parsed.record.template))
      // A template that a reorg took back, or that nobody has stored yet.
      if (template === undefined) return this.#contract.registerTemplate(parsed.record.template)
      settlements.push(toSettlement(parsed, publicKey, template))
    }
    const reasons = await this.#contract.tryOut(settlements, 'latest')
    const tried = batch.map((candidate, i) => ({
      ...candidate,
      device: toDeviceAddress(candidate.publicKey),
      settlement: settlements[i] as Settlement, // one for each
      reason: reasons[i] ?? 'Malformed',
    }))
    return this.#settle([...Map.groupBy(tried, ({ device }) => device).values()], batch.length === batchSize)
  }

  async #settle(groups: readonly (readonly Tried[])[], isFull: boolean): Promise<StepOutcome> {
    let goesOn = false
    const chosen: Tried[][] = []
    for (const group of groups) {
      const verdict = this.#choose(group)
      if (verdict === 'look closer' || (verdict === 'passed' && isFull)) goesOn = true
      if (typeof verdict === 'object') chosen.push(verdict)
    }
    if (chosen.length > 0) return this.#contract.settle(await this.#thin(chosen))
    // A template that a reorg took back may be why nothing counts.
    this.#templates.clear()
    return goesOn ? 'looking' : 'idle'
  }

  // What to send of one key's records. Nothing may overtake a record that could still count: a re-base that is counted
  // before its predecessor ends the register that the predecessor would have told.
  #choose(group: readonly Tried[]): Tried[] | 'look closer' | 'passed' | 'waits' {
    const ahead = group.findIndex(({ reason }) => reason === 'AheadOfTime')
    const ripe = ahead < 0 ? group : group.slice(0, ahead)
    const last = ripe.at(-1)
    if (last === undefined) return 'waits'
    const counted = ripe.filter(({ reason }) => reason === 'Counted')
    // The limit allows a tolerance for each record, so what is too much in one step may count in several.
    if (counted.length < ripe.length && !this.#thorough.has(last.device)) {
      this.#thorough.add(last.device)
      return 'look closer'
    }
    if (counted.length === 0) {
      this.#pass(last.device, last.parsed)
      return 'passed'
    }
    this.#thorough.delete(last.device)
    return counted
  }

  // Of those that were tried one by one the last may suffice after all.
  async #thin(chosen: readonly (readonly Tried[])[]): Promise<readonly Settlement[]> {
    const all = chosen.flat().map(({ settlement }) => settlement)
    const few = chosen.flatMap((group) => group.filter(({ parsed }, i) => isLast(parsed, group[i + 1]?.parsed)))
    if (few.length === all.length) return all
    const fewest = few.map(({ settlement }) => settlement)
    const reasons = await this.#contract.tryOut(fewest, 'latest')
    return reasons.every((reason) => reason === 'Counted') ? fewest : all
  }

  // What might count next, of as many lanes as fill a transaction.
  async #gather(lanes: readonly Lane[]): Promise<readonly Candidate[]> {
    const candidates: Candidate[] = []
    for (let from = 0; from < lanes.length && candidates.length < batchSize; from += askedAtOnce) {
      const some = lanes.slice(from, from + askedAtOnce)
      const devices = some.map(({ publicKey }) => toDeviceAddress(publicKey))
      for (const [i, head] of (await this.#contract.headsOf(devices, 'latest')).entries()) {
        const [lane, device] = [some[i], devices[i]]
        if (lane === undefined || device === undefined || candidates.length >= batchSize) break
        candidates.push(...this.#look(lane, device, head))
      }
    }
    return candidates.slice(0, batchSize)
  }

  #look(lane: Lane, device: string, head: ChainHead): readonly Candidate[] {
    const { publicKey } = lane
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

  // The numbers of the templates that are not known yet, in one question.
  async #learn(templates: readonly OcmfTemplate[]): Promise<void> {
    const asked = new Map(templates.map((template) => [JSON.stringify(template), template]))
    for (const key of this.#templates.keys()) asked.delete(key)
    const ids = await this.#contract.templateIds([...asked.values()], 'latest')
    for (const [i, key] of [...asked.keys()].entries()) {
      const id = ids[i]
      if (id !== undefined) this.#templates.set(key, id)
    }
  }
}

// The last record tells the energy of all before it. Where a register begins anew, the record before it is the last.
function pick(page: readonly ParsedOcmf[], head: ChainHead): readonly ParsedOcmf[] {
  return page.filter((parsed, i) => mustSettle(parsed) || (isLast(parsed, page[i + 1]) && moves(head, parsed)))
}

function isLast(parsed: ParsedOcmf, next: ParsedOcmf | undefined): boolean {
  return mustSettle(parsed) || next === undefined || mustSettle(next)
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
