import { type OcmfTemplate, type PointId, parseOcmfText } from '@wattline/protocol'
import { isAfter, type Place, type Point, type PointKey, type Registry } from '../points/registry.ts'
import type { FinalPlace, FinalPlaces } from '../store/final-places.ts'
import type { Blocks, ChainHead, PointStatus, Reason, SettlementContract } from './attestation-contract.ts'
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
  /** The newest block; absent where nothing waits, and the chain was not asked. */
  readonly newest?: bigint
}

type Parsed = ReturnType<typeof parseOcmfText>

/** One key whose records may wait, as the ledger held it when the look began. */
interface Look {
  readonly point: Point
  readonly key: PointKey
  readonly device: string
  /** Up to where receipts went. */
  readonly told: Place
}

/** What a look at one key's records has found. */
interface Finding {
  readonly look: Look
  /** Where they begin to wait. */
  readonly wait?: Place
  readonly status?: PointStatus
  readonly refused?: readonly (readonly [record: Parsed, reason: Reason])[]
}

/** A key with records that tell what the final block does not. */
interface Pending {
  readonly look: Look
  readonly head: ChainHead
  readonly records: readonly [Parsed, ...Parsed[]]
  /** Beyond the records that were read nobody has looked yet. */
  readonly end: { readonly wait?: Place }
}

const start: Place = { epoch: 0, sequence: 0 }
// Refused for good: the next record that counts tells that energy, as where the ledger itself refuses it (SPEC-81).
// Anything else may still be counted, or needs a person first.
const hopeless: readonly Reason[] = ['Rotated', 'BooksNothing', 'MeterChanged', 'RegisterDecreased', 'OverLimit']
const isHopeless = (reason: Reason | undefined) => reason !== undefined && hopeless.includes(reason)
/** Records of one key that one look goes through. */
const pageSize = 100
/** Of these so many are tried in one look, where the first is refused for good. */
const triedAtOnce = 20
/** Points that are asked for together, which bounds what a look holds in memory. */
const pointsAtOnce = 100

/** How far receipts may go where a chain counts (SPEC-170). */
export class Finality {
  readonly #places: FinalPlaces
  readonly #registry: Registry
  readonly #contract: SettlementContract
  /** Keys whose next record would count, as far as was asked, and where the chain and that record stood then. */
  readonly #counts = new Map<string, string>()

  constructor(places: FinalPlaces, registry: Registry, contract: SettlementContract) {
    this.#places = places
    this.#registry = registry
    this.#contract = contract
  }

  /** Asks the chain, a few questions for a hundred points; what this gives is committed. */
  async advance(): Promise<Advance> {
    const waiting = this.#registry.all().filter((point) => this.#isWaiting(point))
    const advance = { moved: [] as PointId[], held: [] as HeldPoint[], refused: [] as RefusedRecord[] }
    if (waiting.length === 0) return advance
    const blocks = await this.#contract.blocks()
    for (let from = 0; from < waiting.length; from += pointsAtOnce) {
      const { moved, held, refused } = await this.#advance(waiting.slice(from, from + pointsAtOnce), blocks)
      advance.moved.push(...moved)
      advance.held.push(...held)
      advance.refused.push(...refused)
    }
    return { ...advance, newest: blocks.newest }
  }

  async #advance(points: readonly Point[], blocks: Blocks): Promise<Advance> {
    // What is accepted while the chain is asked waits for the next look.
    const ends = points.map(({ head }) => ({ epoch: head?.epoch ?? 0, sequence: (head?.sequence ?? 0) + 1 }))
    const findings = await this.#look(points, blocks)
    const reached: { point: Point; place: FinalPlace }[] = []
    const held: HeldPoint[] = []
    const refused: RefusedRecord[] = []
    for (const [i, point] of points.entries()) {
      const own = findings.filter(({ look }) => look.point === point)
      let until = ends[i] ?? start
      for (const { wait, status } of own) {
        if (wait !== undefined && isAfter(until, wait)) until = wait
        if (status !== undefined) held.push({ point: point.id, status })
      }
      const place = this.#places.before(point, until)
      if (place === undefined || !isAfter(place, this.#places.of(point) ?? start)) continue
      reached.push({ point, place })
      for (const [{ record }, reason] of own.flatMap((found) => found.refused ?? [])) {
        const { epoch, sequence } = record
        if (!isAfter(record, place)) refused.push({ point: point.id, epoch, sequence, reason })
      }
    }
    if (reached.length > 0) this.#places.store(reached)
    return { moved: reached.map(({ point }) => point.id), held, refused }
  }

  #isWaiting(point: Point): boolean {
    return point.head !== undefined && isAfter(point.head, this.#places.of(point) ?? start)
  }

  async #look(points: readonly Point[], blocks: Blocks): Promise<readonly Finding[]> {
    // Where nothing is left to wait for, the chain need not be asked.
    const looks = points.flatMap((point) => this.#looksAt(point))
    const devices = looks.map(({ device }) => device)
    const heads = await this.#contract.headsOf(devices, blocks.final)
    const findings: Finding[] = []
    const pending: Pending[] = []
    for (const [i, look] of looks.entries()) {
      const found = this.#compare(look, heads[i] as ChainHead) // one for each
      if ('records' in found) pending.push(found)
      else findings.push(found)
    }
    return [...findings, ...(await this.#whatWaits(pending, blocks))]
  }

  #looksAt(point: Point): readonly Look[] {
    const told = this.#places.of(point) ?? start
    const looks = point.keys.map((key) => ({ point, key, told, device: toDeviceAddress(key.key) }))
    return looks.filter(({ key }) => this.#list(key, told).length > 0)
  }

  // What the ledger has counted of a key beyond what the contract has.
  #compare(look: Look, head: ChainHead): Pending | Finding {
    const { key, told, point } = look
    const isUnknown = head.status === 'unknown'
    if (isUnknown && this.#isKeptHere(point)) return { look }
    const page = this.#list(key, isAfter(head, told) ? head : told)
    const [first, ...more] = page.filter((parsed) => isSettleable(parsed) && (isUnknown || moves(head, parsed)))
    const { epoch, sequence } = page.at(-1)?.record ?? start
    const end = page.length < pageSize ? {} : { wait: { epoch, sequence: sequence + 1 } }
    return first === undefined ? { look, ...end } : { look, head, records: [first, ...more], end }
  }

  // As long as the chain is on its way from the final place, everything waits. Where it stands still, it is asked why.
  async #whatWaits(pending: readonly Pending[], { final, newest }: Blocks): Promise<readonly Finding[]> {
    const devices = pending.map(({ look }) => look.device)
    const findings: Finding[] = []
    const still: Pending[] = []
    for (const [i, now] of (await this.#contract.headsOf(devices, newest)).entries()) {
      const each = pending[i] as Pending // one for each
      const { look, head, records } = each
      const wait = records[0].record
      // An enrolment, or the proof of a freeze, may be on its way to be final.
      const isHeld = head.status === 'unknown' || head.status === 'frozen'
      if (isHeld) findings.push({ look, wait, ...(now.status === head.status ? { status: now.status } : {}) })
      else if (isAfter(now, head)) findings.push({ look, wait })
      else still.push(each)
    }
    return [...findings, ...(await this.#ask(still, final))]
  }

  // A record costs milliseconds to pack, and most only wait for their turn to be sent: of those that would count is asked
  // once. Where the first is refused for good, so may be some that follow.
  async #ask(still: readonly Pending[], final: bigint): Promise<readonly Finding[]> {
    const findings: Finding[] = []
    let open = still.filter((each) => this.#counts.get(each.look.device) !== toMark(each))
    for (const each of still) if (!open.includes(each)) findings.push(judge(each, ['Counted']))
    for (const most of [1, triedAtOnce]) {
      const tried = await this.#try(open, most, final)
      const goesOn = new Set<Pending>()
      for (const [i, each] of open.entries()) {
        const reasons = tried[i] ?? []
        if (reasons[0] === 'Counted') this.#counts.set(each.look.device, toMark(each))
        if (most === 1 && isHopeless(reasons[0]) && each.records.length > 1) goesOn.add(each)
        else findings.push(judge(each, reasons))
      }
      open = open.filter((each) => goesOn.has(each))
    }
    return findings
  }

  // What would become of the first records of each key; nothing is told where a template is still to come.
  async #try(keys: readonly Pending[], most: number, final: bigint): Promise<readonly (readonly Reason[])[]> {
    const templates = new Map<string, OcmfTemplate>()
    const nameOf = ({ record }: Parsed) => JSON.stringify(record.template)
    const first = keys.map(({ records }) => records.slice(0, most))
    for (const parsed of first.flat()) templates.set(nameOf(parsed), parsed.record.template)
    const numbers = await this.#contract.templateIds([...templates.values()], final)
    const ids = new Map([...templates.keys()].map((name, i) => [name, numbers[i]]))
    const packed = first.map((records, i) => {
      const { key } = (keys[i] as Pending).look.key // one for each
      const settlements = []
      for (const parsed of records) {
        const id = ids.get(nameOf(parsed))
        if (id === undefined) break
        settlements.push(toSettlement(parsed, key, id))
      }
      return settlements
    })
    const reasons = await this.#contract.tryOut(packed.flat(), final)
    let from = 0
    return packed.map(({ length }) => {
      from += length
      return reasons.slice(from - length, from)
    })
  }

  #list(key: PointKey, after: Place): readonly Parsed[] {
    return this.#places.countedAfter(key, after, pageSize).map((text) => parseOcmfText(text))
  }

  // What no chain books need not be enrolled there: the ledger's commit is all there is to wait for.
  #isKeptHere({ id, terms }: Point): boolean {
    return terms.role === 'storage' || this.#registry.isParent(id)
  }
}

// What the contract said of a key's records, or nothing where it was not asked.
function judge({ look, records, end }: Pending, reasons: readonly Reason[]): Finding {
  const refused: (readonly [Parsed, Reason])[] = []
  for (const [i, parsed] of records.entries()) {
    const reason = reasons[i]
    if (reason === undefined || !isHopeless(reason)) {
      return { look, refused, wait: parsed.record, ...(reason === 'Revoked' ? { status: 'revoked' as const } : {}) }
    }
    refused.push([parsed, reason])
  }
  return { look, refused, ...end }
}

function toMark({ head, records }: Pending): string {
  const { status, books, epoch, sequence, registers } = head
  const next = records[0].record
  return [status, books, epoch, sequence, registers.import, registers.export, next.epoch, next.sequence].join()
}
