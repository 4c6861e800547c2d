import { type PointId, parseOcmfText } from '@wattline/protocol'
import { isAfter, type Place, type Point, type PointKey, type Registry } from '../points/registry.ts'
import type { FinalPlace, FinalPlaces } from '../store/final-places.ts'
import type { ChainHead, PointStatus, Reason, SettlementContract } from './attestation-contract.ts'
import { moves } from './relayer.ts'
import { isSettleable, toDeviceAddress, toSettlement } from './settlement.ts'

/** A point whose receipts stay where they are until a person acts, as the contract will not count it. */
export interface HeldPoint {
  readonly point: PointId
  readonly status: PointStatus
}

/** A record that the ledger has counted and the contract never will. */
export interface RefusedRecord extends Place {
  readonly point: PointId
  readonly reason: Reason
}

/** What a look at the chain has come to. */
export interface Advance {
  /** Points whose receipts reach further than before. */
  readonly moved: readonly PointId[]
  readonly held: readonly HeldPoint[]
  readonly refused: readonly RefusedRecord[]
}

type Parsed = ReturnType<typeof parseOcmfText>

/** What a look at one key's records has found. */
interface Finding {
  /** Where they begin to wait. */
  readonly wait?: Place
  readonly status?: PointStatus
  readonly refused?: readonly (readonly [record: Parsed, reason: Reason])[]
}

const start: Place = { epoch: 0, sequence: 0 }
// Refused for good: the next record that counts tells that energy, as where the ledger itself refuses it (SPEC-81).
// Anything else may still be counted, or needs a person first.
const hopeless: readonly Reason[] = ['Rotated', 'BooksNothing', 'MeterChanged', 'RegisterDecreased', 'OverLimit']
/** Records of one key that one look goes through. */
const pageSize = 100

/** How far receipts may go where a chain counts (SPEC-170). */
export class Finality {
  readonly #places: FinalPlaces
  readonly #registry: Registry
  readonly #contract: SettlementContract

  constructor(places: FinalPlaces, registry: Registry, contract: SettlementContract) {
    this.#places = places
    this.#registry = registry
    this.#contract = contract
  }

  /** Asks the chain; what this gives is committed. */
  async advance(): Promise<Advance> {
    const waiting = this.#registry.all().filter((point) => this.#isWaiting(point))
    const block = waiting.length === 0 ? 0n : await this.#contract.finalBlock()
    const reached: { point: Point; place: FinalPlace }[] = []
    const held: HeldPoint[] = []
    const refused: RefusedRecord[] = []
    for (const point of waiting) {
      const told = this.#places.of(point) ?? start
      // What is accepted while the chain is asked waits for the next look.
      const looked: RefusedRecord[] = []
      let until: Place = { epoch: point.head?.epoch ?? 0, sequence: (point.head?.sequence ?? 0) + 1 }
      for (const key of point.keys) {
        const { wait, status, refused: given = [] } = await this.#look(point, { key, told, block })
        if (wait !== undefined && isAfter(until, wait)) until = wait
        if (status !== undefined) held.push({ point: point.id, status })
        for (const [{ record }, reason] of given) {
          looked.push({ point: point.id, epoch: record.epoch, sequence: record.sequence, reason })
        }
      }
      const place = this.#places.before(point, until)
      if (place === undefined || !isAfter(place, told)) continue
      reached.push({ point, place })
      refused.push(...looked.filter((record) => !isAfter(record, place)))
    }
    if (reached.length > 0) this.#places.store(reached)
    return { moved: reached.map(({ point }) => point.id), held, refused }
  }

  #isWaiting(point: Point): boolean {
    return point.head !== undefined && isAfter(point.head, this.#places.of(point) ?? start)
  }

  async #look(point: Point, { key, told, block }: { key: PointKey; told: Place; block: bigint }): Promise<Finding> {
    // Where nothing is left to wait for, the chain need not be asked.
    if (this.#list(key, told).length === 0) return {}
    const head = await this.#contract.headOf(toDeviceAddress(key.key), block)
    const isUnknown = head.status === 'unknown'
    if (isUnknown && this.#isKeptHere(point)) return {}
    const page = this.#list(key, isAfter(head, told) ? head : told)
    const pending = page.filter((parsed) => isSettleable(parsed) && (isUnknown || moves(head, parsed)))
    const [first] = pending
    if (first !== undefined && (isUnknown || head.status === 'frozen')) {
      // An enrolment, or the proof of a freeze, may be on its way to be final.
      const { status } = await this.#contract.headOf(toDeviceAddress(key.key), 'latest')
      return { wait: first.record, ...(status === head.status ? { status } : {}) }
    }
    const found = first === undefined ? {} : await this.#whatWaits(key, { head, pending, block })
    if (found.wait !== undefined || page.length < pageSize) return found
    // Beyond this page nobody has looked yet.
    const { epoch, sequence } = page.at(-1)?.record ?? start
    return { ...found, wait: { epoch, sequence: sequence + 1 } }
  }

  // As long as the chain is on its way from the final place, everything waits. Where it stands still, it is asked why.
  async #whatWaits(
    { key }: PointKey,
    { head, pending, block }: { head: ChainHead; pending: readonly Parsed[]; block: bigint },
  ): Promise<Finding> {
    const [first] = pending
    const wait = first === undefined ? {} : { wait: first.record }
    if (isAfter(await this.#contract.headOf(toDeviceAddress(key), 'latest'), head)) return wait
    const settlements = []
    for (const parsed of pending) {
      const template = await this.#contract.templateId(parsed.record.template, block)
      if (template === undefined) return wait
      settlements.push(toSettlement(parsed, key, template))
    }
    const reasons = await this.#contract.tryOut(settlements, block)
    const at = reasons.findIndex((reason) => !hopeless.includes(reason))
    const refused = pending
      .slice(0, at < 0 ? pending.length : at)
      .map((parsed, i) => [parsed, reasons[i] ?? 'Malformed'] as const)
    const stopped = at < 0 ? undefined : pending[at]
    if (stopped === undefined) return { refused }
    return { refused, wait: stopped.record, ...(reasons[at] === 'Revoked' ? { status: 'revoked' as const } : {}) }
  }

  #list(key: PointKey, after: Place): readonly Parsed[] {
    return this.#places.countedAfter(key, after, pageSize).map((text) => parseOcmfText(text))
  }

  // What no chain books need not be enrolled there: the ledger's commit is all there is to wait for.
  #isKeptHere({ id, terms }: Point): boolean {
    return terms.role === 'storage' || this.#registry.isParent(id)
  }
}
