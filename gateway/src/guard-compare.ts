import {
  type Direction,
  directions,
  elapsedMsSince,
  type ReadingState,
  type Registers,
  toleranceWh,
  type Wh,
} from '@wattline/protocol'
import type { BaseMoment, GuardHistory, Moment } from './guard-history.ts'

/** What the comparison needs to know of a metering point. */
export interface CompareRules {
  readonly maxPowerW: number
  readonly rolloverWh?: Wh
}

/** The registers of a reading, and how coarse they are. */
export interface SeenRegisters {
  readonly registers: Registers
  /** The smallest difference that each can show, in Wh. */
  readonly resolutionWh: Readonly<Partial<Record<Direction, number>>>
  readonly moment: Moment
}

/** What the registers are against those before. */
export interface Comparison {
  readonly state: ReadingState
  /** For people: the figures that the state follows from. */
  readonly reason?: string
  readonly floors: Registers
}

type Verdict = Omit<Comparison, 'floors'>

const msPerHour = 3_600_000
/** A roll-over leaves from the last tenth of a register and arrives in the first: anything else is a reset. */
const rolloverShare = 10n
const severity = ['register-decreased', 'implausible-jump', 'too-coarse', 'roll-over'] as const
const sound: Verdict = { state: 'ok' }

/**
 * A jump must not become plausible by waiting, although the energy that the fuse allows since the base grows with
 * time. So the lowest doubtful register is kept as a floor, with the time of its first sight judged once and for all:
 * whatever stands at or above the floor is the same jump, however late. A register below it shows that the doubtful one
 * was misread, for registers do not run backwards; it is compared with the base anew.
 */
export function compare(history: GuardHistory, seen: SeenRegisters, rules: CompareRules): Comparison {
  const { base, floors } = history
  if (base === undefined) return { ...sound, floors: {} }
  const { elapsedMs, trusted } = elapsedSince(base.moment, seen.moment)
  const limitWh = (BigInt(rules.maxPowerW) * BigInt(Math.floor(elapsedMs))) / BigInt(msPerHour) + toleranceWh
  // A span that may be years too long would let a reset pass for a roll-over.
  const widthWh = trusted ? rules.rolloverWh : undefined
  const verdicts = directions.map((direction) => {
    const before = base.registers[direction]
    const after = seen.registers[direction]
    // A register that is new to the point starts to count.
    if (before === undefined || after === undefined) return { direction, verdict: sound }
    const floor = floors[direction]
    const stepWh = BigInt(Math.ceil(seen.resolutionWh[direction] ?? 1))
    return { direction, verdict: compareOne({ direction, before, after, floor, stepWh, limitWh, widthWh }) }
  })
  const worst = severity.find((state) => verdicts.some(({ verdict }) => verdict.state === state))
  const found = verdicts.find(({ verdict }) => verdict.state === worst)?.verdict ?? sound
  const jumped = verdicts
    .filter(({ verdict }) => verdict.state === 'implausible-jump')
    .map(({ direction }) => direction)
  return { ...found, floors: trusted ? lower(floors, seen.registers, jumped) : floors }
}

interface Pair {
  readonly direction: Direction
  readonly before: Wh
  readonly after: Wh
  readonly floor: Wh | undefined
  readonly stepWh: Wh
  readonly limitWh: Wh
  readonly widthWh: Wh | undefined
}

function compareOne({ direction, before, after, floor, stepWh, limitWh, widthWh }: Pair): Verdict {
  const told = `${direction} ${after} Wh, ${before} Wh before`
  if (floor !== undefined && after >= floor)
    return { state: 'implausible-jump', reason: `${told}, a jump since ${floor}` }
  if (after < before) {
    if (wrapsPlausibly(before, after, limitWh, widthWh)) return { state: 'roll-over' }
    return { state: 'register-decreased', reason: told }
  }
  if (after - before <= limitWh) return sound
  const reason = `${told}, at most ${limitWh} more can have flowed`
  // The last step may have been due for long: as much as it exceeds the tolerance is no proof of a jump.
  if (stepWh > toleranceWh && after - before <= limitWh + stepWh - toleranceWh) {
    return { state: 'too-coarse', reason: `${reason} and the register counts in steps of ${stepWh} Wh` }
  }
  return { state: 'implausible-jump', reason }
}

function wrapsPlausibly(before: Wh, after: Wh, limitWh: Wh, widthWh: Wh | undefined): boolean {
  if (widthWh === undefined || before >= widthWh) return false
  const near = widthWh / rolloverShare
  return before >= widthWh - near && after <= near && after + widthWh - before <= limitWh
}

function lower(floors: Registers, registers: Registers, jumped: readonly Direction[]): Registers {
  const lowered: Partial<Record<Direction, Wh>> = { ...floors }
  for (const direction of jumped) {
    const [floor, after] = [floors[direction], registers[direction]]
    if (after !== undefined && (floor === undefined || after < floor)) lowered[direction] = after
  }
  return lowered
}

/**
 * Boards without a clock of their own wake up with the wrong time. Within one run of the machine the kernel's uptime
 * tells the time that passed, exactly. Across runs the wall clock must, but at least this run's uptime has passed;
 * unless both moments are synchronised, a doubt that rests on that span sets no floor, so that it can heal.
 */
function elapsedSince(before: BaseMoment, now: Moment): { readonly elapsedMs: number; readonly trusted: boolean } {
  if (before.bootId !== '' && before.bootId === now.bootId) {
    return { elapsedMs: Math.max(0, now.uptimeMs - before.uptimeMs), trusted: true }
  }
  const synchronised = before.clockStatus === 'S' && now.clockStatus === 'S'
  const trusted = synchronised && before.since === undefined && now.takenAt >= before.takenAt
  return { elapsedMs: Math.max(elapsedMsSince(before, now.takenAt), now.uptimeMs), trusted }
}
