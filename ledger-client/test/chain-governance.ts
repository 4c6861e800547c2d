import {
  type OcmfRecord,
  type ParsedOcmf,
  parseOcmfText,
  type ReadingState,
  type Registers,
  type Signer,
  stepBase,
} from '@wattline/protocol'
import fc from 'fast-check'
import { roof, signerOf } from '../../protocol/test/arbitraries.ts'
import { type Settlement, toSettlement } from '../src/evm/settlement.ts'
import { isAfter, type Place } from '../src/points/registry.ts'
import { type Chain, certificateOf, signedBody, signedPair, toItem, walletOf } from './chain.ts'
import { genesisMs, type Reading, signReadings } from './chain-records.ts'

// Everything that anybody may do with the contracts, in any order, beside what README.md says of it, written once more.

const keyCount = 6
const recordCount = 12
const ownerCount = 3
const aheadMs = 15 * 60_000
const terms = { maxPowerW: 60_000, rolloverWh: 10_000n } as const

const reading = fc.record({
  state: fc.constantFrom<ReadingState>('ok', 'ok', 'ok', 'ok', 'roll-over', 're-based'),
  step: fc.integer({ min: -400, max: 1500 }),
  tells: fc.integer({ min: 1, max: 3 }),
  /** A clock that is an hour behind or, now and then, ten days ahead. */
  clock: fc.constantFrom(0, 0, 0, 0, -60, 14_400),
  serial: fc.constantFrom('10223344', '10223344', '10223344', '', '999'),
  newEpoch: fc.constantFrom(false, false, false, true),
})
const key = fc.nat(keyCount - 1)
const who = fc.nat(ownerCount - 1)
/** Records by how far they are from where the chain stands, so that most are news. */
const picks = fc.array(fc.tuple(key, fc.integer({ min: -2, max: 2 })), { minLength: 1, maxLength: 6 })
const step = fc.oneof(
  { weight: 16, arbitrary: fc.record({ do: fc.constant('settle' as const), picks }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('settle while paused' as const), picks }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('enrol' as const),
      ...{ key, who, books: fc.integer({ min: 0, max: 3 }) },
      behind: fc.option(key, { freq: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rotate' as const), key, next: key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('revoke' as const), key, at: fc.nat(recordCount - 1) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('equivocate' as const), key }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('skipped' as const), key, at: fc.nat(recordCount - 1) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('offer' as const), key, who, by: who }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('accept' as const), key, who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('upgrade' as const), forgotten: key }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('adopt' as const), key }) },
)

/** What meters tell, and what people do. */
export const histories = fc.record({
  readings: fc.array(fc.array(reading, { minLength: recordCount, maxLength: recordCount }), {
    minLength: keyCount,
    maxLength: keyCount,
  }),
  steps: fc.array(step, { minLength: 80, maxLength: 80 }),
})
type History = typeof histories extends fc.Arbitrary<infer H> ? H : never
type Step = History['steps'][number]

interface Key {
  readonly signer: Signer
  readonly device: string
  readonly parsed: readonly ParsedOcmf[]
  readonly packed: readonly Settlement[]
  readonly pair: object
}

interface Point {
  owner: number
  books: number
  status: 'active' | 'frozen' | 'revoked' | 'rotated'
  registers: Registers
  at: number
  place: Place
  base: Place
  last: Place
  meter: string
  offeredTo?: number
  /** Whether the contract that books now has taken it over. */
  isHere: boolean
}

type Picks = readonly (readonly [Key, number])[]

const nowhere: Place = { epoch: 0, sequence: 0 }
let serial = 0

/** Runs a history on a chain; gives the first difference between what happened and what should have. */
export async function findDifference(chain: Chain, { readings, steps }: History): Promise<string | undefined> {
  const first = 200_000 + ++serial * 100
  const keys = readings.map((each, i) => makeKey(chain, signerOf(first + i), each))
  const owners = Array.from({ length: ownerCount }, (_, i) => first + 50 + i)
  for (const owner of owners) await chain.impersonate(walletOf(owner).address)
  const world = new World(chain, keys, owners)
  const begun = [1, 2, 3, 2].map((books, k) => ({ do: 'enrol' as const, key: k, who: k % 2, books, behind: null }))
  for (const [i, each] of [...begun, ...steps].entries()) {
    const wrong = (await world.perform(each)) ?? (await world.compare())
    if (wrong !== undefined) return `step ${i}, ${JSON.stringify(each)}: ${wrong}`
  }
  return undefined
}

function makeKey(chain: Chain, signer: Signer, plan: History['readings'][number]): Key {
  let [wh, epoch] = [5000, genesisMs]
  const told = plan.map(({ state, step: by, tells, clock, serial: meterSerial, newEpoch }, i): Reading => {
    wh = (wh + by + 10_000) % 10_000
    if (newEpoch) epoch += 1
    const registers = { ...(tells & 1 ? { import: BigInt(wh) } : {}), ...(tells & 2 ? { export: BigInt(wh) } : {}) }
    return { state, registers, epoch, template: { ...roof, meterSerial }, minute: 120 + i + clock }
  })
  const records = signReadings(told, signer)
  const parsed = records.map(({ text }) => parseOcmfText(text))
  const [other] = signReadings([{ ...told[0], registers: { export: 1n } }], signer)
  return {
    ...{ signer, device: chain.deviceOf(signer), parsed },
    packed: parsed.map((each) => toSettlement(each, signer.publicKey, 0)),
    pair: signedPair(records[0], other, signer),
  }
}

/** The chain, and what it should be. */
class World {
  readonly #chain: Chain
  readonly #keys: readonly Key[]
  readonly #owners: readonly number[]
  readonly #points = new Map<Key, Point>()
  readonly #net = new Map<number, { held: bigint; owed: bigint }>()

  constructor(chain: Chain, keys: readonly Key[], owners: readonly number[]) {
    this.#chain = chain
    this.#keys = keys
    this.#owners = owners
    for (const owner of owners) this.#net.set(owner, { held: 0n, owed: 0n })
  }

  async perform(what: Step): Promise<string | undefined> {
    if (what.do === 'settle') return this.#settle(this.#find(what.picks))
    if (what.do === 'settle while paused') {
      const pause = (isOn: boolean) => this.#chain.send('Attestation', 'setPaused', isOn, this.#chain.council)
      await pause(true)
      const wrong = await this.#expect(false, this.#chain.settle(await this.#packAll(this.#find(what.picks))), () => {})
      await pause(false)
      return wrong
    }
    if (what.do === 'upgrade') {
      await this.#chain.upgrade()
      const remembered = [...this.#points].filter(([each]) => each !== this.#keys[what.forgotten])
      for (const point of this.#points.values()) point.isHere = false
      for (const [, point] of remembered) point.isHere = true
      const devices = remembered.map(([{ device }]) => device)
      await this.#chain.send('Attestation', 'adopt', devices)
      return undefined
    }
    const own = this.#keys[what.key] as Key
    const point = this.#points.get(own)
    const here = point?.isHere === true ? point : undefined
    return this.#act(what, own, { point, here })
  }

  // Whether each act goes through, and what it changes.
  async #act(
    what: Exclude<Step, { do: 'settle' | 'settle while paused' | 'upgrade' }>,
    own: Key,
    { point, here }: { point: Point | undefined; here: Point | undefined },
  ): Promise<string | undefined> {
    const chain = this.#chain
    const { device } = own
    const send = (method: string, args: unknown, from: string) => chain.send('Attestation', method, args, from)
    const stoppable = here !== undefined && (here.status === 'active' || here.status === 'revoked')
    switch (what.do) {
      case 'enrol': {
        const above = what.behind === null ? undefined : (this.#keys[what.behind] as Key)
        const parent = above && this.#points.get(above)
        const isFit = above === undefined || (above !== own && parent?.isHere === true && parent.status !== 'rotated')
        const owner = this.#owners[what.who] as number
        const behind = above === undefined ? {} : { behind: above.device }
        const first = { at: genesisMs, registers: { import: 5000n, export: 5000n } }
        const enrolment = chain.enrolment(own.signer, { ...terms, ...behind, owner, books: what.books, first })
        return this.#expect(point === undefined && isFit, send('enrol', enrolment, chain.council), () => {
          if (parent !== undefined) parent.books = 0
          const registers = pick(first.registers, what.books)
          const places = { place: nowhere, base: nowhere, last: nowhere }
          const fresh = { owner, books: what.books, status: 'active', meter: '', isHere: true } as const
          this.#points.set(own, { ...fresh, ...places, registers, at: first.at })
        })
      }
      case 'rotate': {
        const next = this.#keys[what.next] as Key
        const args = { device, ...signedBody(certificateOf(next.signer), next.signer) }
        const isFit = here !== undefined && here.status !== 'rotated' && !this.#points.has(next)
        return this.#expect(isFit, send('rotateKey', args, chain.council), () => {
          const old = here as Point
          this.#points.set(next, { ...old, status: 'active', place: nowhere, base: nowhere, last: nowhere })
          old.status = 'rotated'
        })
      }
      case 'revoke': {
        const { epoch, sequence } = (own.parsed[what.at] as ParsedOcmf).record
        const args = { device, epoch: BigInt(epoch), sequence: BigInt(sequence) }
        return this.#expect(stoppable, send('revoke', args, chain.council), () => {
          Object.assign(here as Point, { status: 'revoked', last: { epoch, sequence } })
        })
      }
      case 'equivocate':
        return this.#expect(stoppable, send('proveEquivocation', own.pair, chain.relayer), () => {
          ;(here as Point).status = 'frozen'
        })
      case 'skipped': {
        const later = own.parsed.findIndex(({ record }, i) => i >= what.at && record.state === 're-based')
        const at = later < 0 ? what.at : later
        const { record } = own.parsed[at] as ParsedOcmf
        const wasSkipped =
          stoppable && record.state === 're-based' && isAfter(record, here.base) && isAfter(here.place, record)
        const item = toItem(await this.#pack(own, at))
        return this.#expect(wasSkipped, send('proveSkippedBase', item, chain.relayer), () => {
          ;(here as Point).status = 'frozen'
        })
      }
      case 'offer': {
        const to = this.#owners[what.who] as number
        const by = what.by === 0 && here !== undefined ? here.owner : (this.#owners[what.by] as number)
        const args = { device, to: walletOf(to).address }
        return this.#expect(here?.owner === by, send('offerPoint', args, walletOf(by).address), () => {
          ;(here as Point).offeredTo = to
        })
      }
      case 'accept': {
        const to = (what.who === 0 ? here?.offeredTo : undefined) ?? (this.#owners[what.who] as number)
        return this.#expect(here?.offeredTo === to, send('acceptPoint', device, walletOf(to).address), () => {
          const { offeredTo: _, ...rest } = here as Point
          this.#points.set(own, { ...rest, owner: to })
        })
      }
      default:
        return this.#expect(point !== undefined, send('adopt', [device], chain.relayer), () => {
          ;(point as Point).isHere = true
        })
    }
  }

  async #expect(isFit: boolean, act: Promise<unknown>, change: () => void): Promise<string | undefined> {
    const error = await act.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (isFit !== (error === undefined)) return isFit ? `refused: ${String(error)}` : 'not refused'
    if (isFit) change()
    return undefined
  }

  async #pack(own: Key, at: number): Promise<Settlement> {
    const { template } = (own.parsed[at] as ParsedOcmf).record
    const packed = own.packed[at] as Settlement
    return { ...packed, numbers: packed.numbers | BigInt(await this.#chain.templateId(template)) }
  }

  async #packAll(picks: Picks): Promise<readonly Settlement[]> {
    const settlements: Settlement[] = []
    for (const [own, at] of picks) settlements.push(await this.#pack(own, at))
    return settlements
  }

  #find(near: readonly (readonly [key: number, offset: number])[]): Picks {
    return near.map(([k, offset]) => {
      const own = this.#keys[k] as Key
      const { place = nowhere } = this.#points.get(own) ?? {}
      const next = own.parsed.findIndex(({ record }) => isAfter(record, place))
      const at = (next < 0 ? recordCount : next) + offset
      return [own, Math.min(Math.max(at, 0), recordCount - 1)]
    })
  }

  async #settle(picks: Picks): Promise<string | undefined> {
    const { settled, skipped } = await this.#chain.settle(await this.#packAll(picks))
    const { timestamp } = await this.#chain.anvil.rpc<{ timestamp: string }>('eth_getBlockByNumber', 'latest', false)
    const expected: string[] = []
    for (const [i, [own, at]] of picks.entries()) {
      const reason = this.#count(own, (own.parsed[at] as ParsedOcmf).record, Number(timestamp) * 1000)
      if (reason !== 'Counted') expected.push(`${i} ${reason}`)
    }
    const happened = skipped.map(({ index, reason }) => `${index} ${reason}`)
    if (happened.join() !== expected.join()) return `skipped ${happened.join()}, expected ${expected.join()}`
    return settled.length === picks.length - expected.length ? undefined : `${settled.length} settled`
  }

  // README.md, `What settle does with a record`.
  #count(own: Key, record: OcmfRecord, nowMs: number): string {
    const p = this.#points.get(own)
    if (p?.isHere !== true) return 'UnknownKey'
    if (p.status === 'frozen') return 'Frozen'
    if (p.status === 'rotated') return 'Rotated'
    if (p.status === 'revoked' && isAfter(record, p.last)) return 'Revoked'
    if (!isAfter(record, p.place)) return record.epoch < p.place.epoch ? 'EpochClosed' : 'Replayed'
    if (record.takenAt > nowMs + aheadMs) return 'AheadOfTime'
    const registers = pick(record.registers, p.books)
    const isRebased = record.state === 're-based'
    if (Object.keys(registers).length === 0 && (!isRebased || p.books === 0)) return 'BooksNothing'
    const begins = isRebased || Object.keys(p.registers).length === 0
    const { meterSerial } = record.template
    if (!begins && meterSerial !== '' && p.meter !== '' && meterSerial !== p.meter) return 'MeterChanged'
    let energy = { import: 0n, export: 0n }
    if (!begins) {
      // A clock that is not trusted never makes the time from a base that is longer (SPEC-81).
      const base = { registers: p.registers, takenAt: p.at as never, clockStatus: 'S' } as const
      const counted = stepBase(base, { ...record, registers, clockStatus: 'U' }, terms)
      if (counted.kind === 'refused') return counted.code === 'register/decreased' ? 'RegisterDecreased' : 'OverLimit'
      if (counted.kind === 'counted') energy = { ...counted.energy }
    } else p.base = record
    p.registers = begins ? registers : { ...p.registers, ...registers }
    p.at = Math.max(p.at, record.takenAt)
    p.place = record
    if (meterSerial !== '') p.meter = meterSerial
    this.#book(p.owner, energy.export - energy.import)
    return 'Counted'
  }

  #book(owner: number, wh: bigint): void {
    const net = this.#net.get(owner) as { held: bigint; owed: bigint }
    const held = net.held + wh
    this.#net.set(owner, held < 0n ? { held: 0n, owed: net.owed - held } : { ...net, held })
  }

  /** Whether the chain's state is what it should be. */
  async compare(): Promise<string | undefined> {
    const devices = this.#keys.map(({ device }) => device)
    const heads = await this.#chain.read<{ status: bigint; books: bigint; head: bigint }[]>(
      'Attestation',
      'headsOf',
      devices,
    )
    for (const [i, own] of this.#keys.entries()) {
      const point = this.#points.get(own)
      const { status, books, head } = heads[i] as (typeof heads)[number]
      const told = `${statuses[Number(status)]} ${books} ${head & ((1n << 136n) - 1n)}`
      const { epoch, sequence } = point?.place ?? nowhere
      const place = BigInt(point?.at ?? 0) | (BigInt(sequence) << 48n) | (BigInt(epoch) << 88n)
      const expected = point?.isHere === true ? `${point.status} ${point.books} ${place}` : 'unknown 0 0'
      if (told !== expected) return `key ${i} is ${told}, expected ${expected}`
    }
    for (const [owner, { held, owed }] of this.#net) {
      const [has, owes] = [await this.#chain.balanceOf(owner), await this.#chain.shortfallOf(owner)]
      if (has !== held || owes !== owed) return `${owner} has ${has}, owes ${owes}; expected ${held}, ${owed}`
    }
    return undefined
  }
}

const statuses = ['unknown', 'active', 'frozen', 'revoked', 'rotated']

function pick({ import: imported, export: exported }: Registers, books: number): Registers {
  return {
    ...(books & 1 && imported !== undefined ? { import: imported } : {}),
    ...(books & 2 && exported !== undefined ? { export: exported } : {}),
  }
}
