import { integerBetween } from '@wattline/protocol'
import * as v from 'valibot'

/** Watt-hours in a row of the database: JSON has no integers of this size. */
export const whShape = v.pipe(
  v.string(),
  v.regex(/^\d{1,20}$/),
  v.transform((text) => BigInt(text)),
)
export const msShape = integerBetween(0, Number.MAX_SAFE_INTEGER)

const sightShape = v.object({ wh: whShape, at: msShape, claimedAt: msShape, arrivedAt: msShape })

/** What is remembered of the register at a place. */
export const registerShape = v.object({
  /** Goes up whenever the station's register was found to have begun anew, or to have rolled over. */
  epoch: integerBetween(1, Number.MAX_SAFE_INTEGER),
  /** The register as it counts here, over all epochs: it never falls. */
  placeWh: whShape,
  /** The highest value of this epoch as the station tells it, and when. */
  seen: sightShape,
  /** The station's register where the epoch began, and when: nothing is known of what lies below or before. */
  baseWh: whShape,
  openedAt: msShape,
  /** A value that does not follow from the last one. Another that follows from this one opens a new epoch. */
  candidate: v.optional(sightShape),
  /** Where the epoch before ended, where this one was opened by a candidate. */
  beforeWh: v.optional(whShape),
})

export type RegisterState = v.InferOutput<typeof registerShape>

/** One value of the station's register. */
export interface Sight {
  readonly wh: bigint
  /** When it was, as far as we know. */
  readonly at: number
  readonly claimedAt: number
  readonly arrivedAt: number
  /** Whether a session begins or ends with it. */
  readonly mark: 'now' | 'begin' | 'end'
}

/** What became of a value. `late`: it belongs before the last one. `below`: a little less than the last one. */
export type Finding = 'counted' | 'late' | 'below' | 'restarted' | 'rolled-over' | 'unbelievable'

export interface Taken {
  readonly state: RegisterState | undefined
  readonly finding: Finding
  /** The value on the register of the place; absent where that cannot be said. */
  readonly wh?: bigint
}

/** A station that is charged from with more than this is none of those that we know. */
const mostW = 500_000n
const slackWh = 1_000n
/** A fall by no more than this is imprecision of the station, and no restart. */
const dipWh = 100n
/** Where registers begin again at zero, and how much may lie between the last value before and the first after. */
const rollOvers = [
  { modulusWh: 1_000_000n, mostStepWh: 20_000n },
  { modulusWh: 1n << 32n, mostStepWh: 100_000n },
] as const

/** Takes one more value of a station's register (SPEC-110 to SPEC-114). Pure; `placeWh` never falls. */
export function takeSight(state: RegisterState | undefined, sight: Sight): Taken {
  if (sight.wh < 0n) return { state, finding: 'unbelievable' }
  const { wh, at, claimedAt, arrivedAt } = sight
  const seen = { wh, at, claimedAt, arrivedAt }
  if (state === undefined) {
    return { state: { epoch: 1, placeWh: wh, seen, baseWh: 0n, openedAt: 0 }, finding: 'counted', wh }
  }
  if (at < state.openedAt) return { state, finding: 'late' }
  if (wh >= state.seen.wh) return takeHigher(state, sight)
  if (at <= state.seen.at) return { state, finding: 'late', ...toPlace(state, wh) }
  return takeLower(state, sight)
}

function takeHigher(state: RegisterState, sight: Sight): Taken {
  const { beforeWh, seen } = state
  // Low values in between were none of the register's: it goes on where it was before them.
  const returned = beforeWh !== undefined && seen.wh * 2n < beforeWh && sight.wh >= beforeWh
  const step = sight.wh - (returned ? beforeWh : seen.wh)
  if (step > allowedWh(seen, sight)) {
    return sight.at <= seen.at ? { state, finding: 'late' } : takeUnbelievable(state, sight)
  }
  const at = Math.max(sight.at, seen.at)
  const passed = beforeWh === undefined || sight.wh >= beforeWh
  return accept(
    { ...state, seen: { ...seen, at }, ...(passed ? { beforeWh: undefined } : {}) },
    { ...sight, at },
    step,
    'counted',
  )
}

function takeLower(state: RegisterState, sight: Sight): Taken {
  const { seen, placeWh } = state
  const restartsAtZero = sight.mark === 'begin' && sight.wh === 0n
  const rollOver = restartsAtZero ? undefined : findRollOver(seen, sight)
  if (rollOver !== undefined) return accept(openEpoch(state, 0n, sight.at), sight, rollOver, 'rolled-over')
  if (restartsAtZero) return accept(openEpoch(state, 0n, sight.at), sight, 0n, 'restarted')
  // What stations send where they do not know the register.
  if (sight.mark === 'end' && sight.wh === 0n) return { state, finding: 'unbelievable' }
  if (seen.wh - sight.wh <= dipWh) return { state, finding: 'below', wh: placeWh }
  return takeUnbelievable(state, sight)
}

// One strange value proves nothing; two that follow from each other do.
function takeUnbelievable(state: RegisterState, { wh, at, claimedAt, arrivedAt }: Sight): Taken {
  const sight = { wh, at, claimedAt, arrivedAt }
  const { candidate, seen } = state
  const follows =
    candidate !== undefined &&
    wh >= candidate.wh &&
    at > candidate.at &&
    wh - candidate.wh <= allowedWh(candidate, sight)
  if (!follows) return { state: { ...state, candidate: sight }, finding: 'unbelievable' }
  const opened = {
    ...openEpoch(state, candidate.wh, candidate.at),
    beforeWh: candidate.wh < seen.wh ? seen.wh : undefined,
  }
  return accept(opened, sight, wh - candidate.wh, 'restarted')
}

function findRollOver(seen: RegisterState['seen'], sight: Sight): bigint | undefined {
  const steps = rollOvers
    .filter(({ modulusWh }) => seen.wh < modulusWh)
    .map(({ modulusWh, mostStepWh }) => ({ step: modulusWh - seen.wh + sight.wh, mostStepWh }))
  return steps.find(({ step, mostStepWh }) => step <= mostStepWh && step <= allowedWh(seen, sight))?.step
}

function openEpoch(state: RegisterState, baseWh: bigint, openedAt: number): RegisterState {
  return { ...state, epoch: state.epoch + 1, baseWh, openedAt, beforeWh: undefined }
}

function accept(state: RegisterState, sight: Omit<Sight, 'mark'>, step: bigint, finding: Finding): Taken {
  const placeWh = state.placeWh + step
  const { wh, at, claimedAt, arrivedAt } = sight
  const seen = { wh, at, claimedAt, arrivedAt }
  return { state: { ...state, placeWh, seen, candidate: undefined }, finding, wh: placeWh }
}

function toPlace({ placeWh, seen, baseWh }: RegisterState, wh: bigint): { wh?: bigint } {
  const below = seen.wh - wh
  return wh < baseWh || below > placeWh ? {} : { wh: placeWh - below }
}

type Times = Pick<Sight, 'at' | 'claimedAt' | 'arrivedAt'>

// A clock that is put right, or a message that was kept back, makes either difference too short.
function allowedWh(from: Times, to: Times): bigint {
  const elapsedMs = Math.max(to.at - from.at, to.claimedAt - from.claimedAt, to.arrivedAt - from.arrivedAt, 0)
  return (mostW * BigInt(elapsedMs)) / 3_600_000n + slackWh
}

/** Where a value of the present epoch stands on the register of the place. */
export function toPlaceWh(state: RegisterState | undefined, wh: bigint): bigint | undefined {
  return state === undefined || wh > state.seen.wh ? undefined : toPlace(state, wh).wh
}
