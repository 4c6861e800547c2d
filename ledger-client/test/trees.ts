import type { Role } from '@wattline/protocol'
import fc from 'fast-check'
import type { LedgerEngine } from '../src/engine.ts'
import { accountOf } from '../src/ledger/accounts.ts'
import { Device, type Message, startMs } from './rig.ts'

// Random trees of metering points, their readings, and the rule of SPEC-84 and SPEC-96 written down a second time.

/** One reading of a meter: seconds since the one before, and what flowed meanwhile. */
export interface Step {
  readonly seconds: number
  readonly importWh: number
  readonly exportWh: number
  readonly state: 'ok' | 'no-answer' | 're-based'
}

export interface Meter {
  readonly role: Role
  /** Index of the point one level up; -1 for none. */
  readonly parent: number
  readonly steps: readonly Step[]
}

/** A point that changes its place after its record number `after`, counted from 1. */
export interface Move {
  readonly child: number
  readonly after: number
  readonly to: number
}

const step: fc.Arbitrary<Step> = fc.record({
  seconds: fc.integer({ min: 1, max: 90 }),
  importWh: fc.integer({ min: 0, max: 40 }),
  exportWh: fc.integer({ min: 0, max: 40 }),
  state: fc.oneof(
    { weight: 12, arbitrary: fc.constant('ok' as const) },
    { weight: 1, arbitrary: fc.constant('no-answer' as const) },
    { weight: 1, arbitrary: fc.constant('re-based' as const) },
  ),
})
const role = fc.constantFrom<Role>('producer', 'consumer', 'bidirectional', 'charger', 'storage')

/** Trees of up to five points, which begin at any time and miss readings. */
export const trees = treesOf({ meters: 1, steps: 0 })

/** Trees of at least so many meters and readings each. */
export function treesOf(least: { readonly meters: number; readonly steps: number }): fc.Arbitrary<readonly Meter[]> {
  return fc
    .array(fc.tuple(role, fc.nat(), fc.array(step, { minLength: least.steps, maxLength: 8 })), {
      minLength: least.meters,
      maxLength: 5,
    })
    .map((rows) =>
      rows.map(([own, up, steps], index) => ({
        role: index === 0 ? ('bidirectional' as const) : own,
        parent: index === 0 ? -1 : up % index,
        steps,
      })),
    )
}

/** Gives each meter a last reading after all others, those below later than those above: everything can be settled. */
export function closed(meters: readonly Meter[]): readonly Meter[] {
  return meters.map((meter, index) => {
    const seconds = 10_000 + index - meter.steps.reduce((sum, each) => sum + each.seconds, 0)
    return { ...meter, steps: [...meter.steps, { seconds, importWh: 1, exportWh: 1, state: 'ok' }] }
  })
}

/** Signs every meter's readings. */
export function sign(meters: readonly Meter[]): { devices: Device[]; streams: Message[][] } {
  const devices = meters.map(
    ({ role: own, parent }, index) =>
      new Device({
        meter: `m${index}`,
        role: own,
        owner: 'alice',
        key: 5000 + index,
        ...(parent < 0 ? {} : { behind: `gw-1/m${parent}` }),
      }),
  )
  const streams = meters.map(({ steps }, index) => {
    let [at, imported, exported] = [startMs, 1000n, 1000n]
    return steps.map(({ seconds, importWh, exportWh, state }) => {
      at += seconds * 1000
      imported += BigInt(importWh)
      exported += BigInt(exportWh)
      return devices[index]!.read({ import: imported, export: exported }, { takenAt: at, state })
    })
  })
  return { devices, streams }
}

/** Sends all streams in an order that keeps each stream's own; `picks` chooses whose turn it is. */
export function interleave<T>(streams: readonly (readonly T[])[], picks: readonly number[]): T[] {
  const rest = streams.map((stream) => [...stream])
  const out: T[] = []
  for (let turn = 0; rest.some((stream) => stream.length > 0); turn++) {
    const open = rest.filter((stream) => stream.length > 0)
    const next = open[(picks[turn % picks.length] ?? 0) % open.length]!.shift()
    if (next !== undefined) out.push(next)
  }
  return out
}

export interface Sums {
  readonly minted: bigint
  readonly burned: bigint
  readonly carried: bigint
  /** Into a storage, and out of it. */
  readonly charged: bigint
  readonly discharged: bigint
}

export function sums(engine: LedgerEngine, devices: readonly Device[]): Sums[] {
  return devices.map(({ id }) => {
    const { mintedWh, burnedWh, carriedWh } = engine.registry.get(id)!
    const [charged, discharged] = [accountOf.charged(id), accountOf.discharged(id)].map((name) =>
      engine.ledger.balance(name),
    ) as [bigint, bigint]
    return { minted: mintedWh, burned: burnedWh, carried: carriedWh, charged: -charged, discharged }
  })
}

/** When a meter's reading number `count` was taken, from 1; before its first reading, never. */
export function timeOf({ steps }: Meter, count: number): number | undefined {
  if (count < 1) return undefined
  return steps.slice(0, count).reduce((sum, { seconds }) => sum + seconds * 1000, startMs)
}

interface Stay {
  readonly child: number
  readonly parent: number
  readonly from: number
  readonly until: number
  /** It was told that it would come, and has not spoken since. */
  readonly soon: boolean
}

// From when until when each point stood where. Who never speaks again has not moved.
function staysOf(meters: readonly Meter[], moves: readonly Move[]): Stay[] {
  return meters.flatMap(({ parent, steps }, child) => {
    const always = { child, parent, from: -Infinity, until: Infinity, soon: false }
    const move = moves.find((each) => each.child === child)
    if (move === undefined) return [always]
    const coming = { ...always, parent: move.to, soon: true }
    if (steps.length <= move.after) return [always, coming]
    const border = timeOf(meters[child]!, move.after) ?? -Infinity
    return [
      { ...always, until: border },
      { ...coming, from: border, soon: false },
    ]
  })
}

interface Booked {
  readonly at: number
  readonly wh: bigint
}

/** What each point has booked in the end, over complete lists and without any order of arrival. */
export function model(meters: readonly Meter[], moves: readonly Move[] = []): Sums[] {
  const stays = staysOf(meters, moves)
  const below = (parent: number) => stays.filter((stay) => stay.parent === parent)
  const counted = meters.map(count)
  const booked: Booked[][] = meters.map(() => [])
  /** The first reading that must wait. */
  const waiting = meters.map(() => Infinity)
  const at = (child: number, time: number) => booked[child]!.findLast((each) => each.at <= time)?.wh ?? 0n
  const hasPassed = (child: number, time: number) => (counted[child]!.at(-1)?.at ?? -Infinity) > time
  const isSettled = (child: number, time: number): boolean =>
    (meters[child]!.role === 'storage' || (hasPassed(child, time) && waiting[child]! > time)) && isKnown(child, time)
  const isKnown = (parent: number, time: number): boolean =>
    below(parent).every(({ child, from, until, soon }) =>
      soon ? hasPassed(child, time) : from >= time || until <= from || isSettled(child, Math.min(time, until)),
    )
  const sum = (parent: number, from: number, until: number): bigint =>
    below(parent).reduce((total, stay) => {
      const [begins, ends] = [Math.max(from, stay.from), Math.min(until, stay.until)]
      if (stay.soon || begins >= ends) return total
      return total + at(stay.child, ends) - at(stay.child, begins) + sum(stay.child, begins, ends)
    }, 0n)
  const result: Sums[] = []
  for (let index = meters.length - 1; index >= 0; index--) {
    const { role: own } = meters[index]!
    const out = { minted: 0n, burned: 0n, carried: 0n, charged: 0n, discharged: 0n }
    result[index] = out
    let [wh, net, excluded, before] = [0n, 0n, 0n, -Infinity]
    for (const { at: time, kind, importWh, exportWh } of counted[index]!) {
      net += exportWh - importWh
      if (own !== 'storage' && below(index).length === 0) {
        out.minted += exportWh
        out.burned += importWh
        wh += exportWh - importWh
      } else if (own === 'storage' && below(index).length === 0) {
        out.charged += importWh
        out.discharged += exportWh
      } else if (own !== 'storage' && kind !== 'kept') {
        if (!isKnown(index, time)) {
          waiting[index] = time
          break
        }
        if (kind === 'base') excluded += sum(index, -Infinity, time) - sum(index, -Infinity, before)
        const remainder = net - (sum(index, -Infinity, time) - excluded)
        if (remainder < wh) {
          out.burned += wh - remainder
          wh = remainder
        }
        out.carried = remainder - wh
      }
      if (kind !== 'kept') before = time
      booked[index]!.push({ at: time, wh })
    }
  }
  return result
}

function count({ role: own, steps }: Meter) {
  let [at, importWh, exportWh, started] = [startMs, 0n, 0n, false]
  return steps.map((each) => {
    at += each.seconds * 1000
    importWh += own === 'producer' ? 0n : BigInt(each.importWh)
    exportWh += own === 'consumer' || own === 'charger' ? 0n : BigInt(each.exportWh)
    if (each.state === 'no-answer') return { at, kind: 'kept', importWh: 0n, exportWh: 0n }
    const isBase = !started || each.state === 're-based'
    const reading = {
      at,
      kind: isBase ? 'base' : 'counted',
      importWh: isBase ? 0n : importWh,
      exportWh: isBase ? 0n : exportWh,
    }
    started = true
    ;[importWh, exportWh] = [0n, 0n]
    return reading
  })
}
