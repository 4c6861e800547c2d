import {
  type Direction,
  directions,
  type EnergySnapshot,
  type ErrorCode,
  type ReadingState,
  type Registers,
  type Wh,
} from '@wattline/protocol'
import type { GuardHistory, Moment, Standstill } from './guard-history.ts'
import type { OtherValues } from './modbus/other-values.ts'

/** What one poll of a meter brought. */
export type Observation =
  | {
      readonly kind: 'read'
      readonly moment: Moment
      readonly energy: EnergySnapshot
      /** Where it was read this time. */
      readonly serial?: string
      /** Import positive, export negative; where the meter tells. */
      readonly powerW?: number
      /** What was read beside the energy since the observation before; absent where nothing was. */
      readonly values?: OtherValues
    }
  | { readonly kind: 'failed'; readonly moment: Moment; readonly code: ErrorCode }

/** What is enrolled of a metering point. The ledger applies the same numbers, so what passes here counts there. */
export interface GuardRules {
  readonly maxPowerW: number
  readonly rolloverWh?: Wh
}

/** What may be signed of an observation, and what to remember of it. */
export interface Judgement {
  readonly state: ReadingState
  readonly registers: Registers
  readonly history: GuardHistory
}

/** SPEC-81: what two clocks and a coarse register may disagree by. */
const toleranceWh = 100n
const msPerHour = 3_600_000
/** A roll-over leaves from the last tenth of a register and arrives in the first: anything else is a reset. */
const rolloverShare = 10n
/** Meters start to count at about 10 W; below this, standing still is no sign of anything. */
const flowingW = 50
/** Between two readings further apart than this, the power in between is anybody's guess. */
const longestFlowMs = 15 * 60_000
/** A register that misses this many of its own steps, and this much energy, is frozen. */
const missedSteps = 30
const missedWh = 100

/**
 * Compares an observation with the metering point's history. Pure: the same arguments always give the same judgement.
 * `accepted` says that the installer has accepted whatever meter and register there is now.
 */
export function judge(
  history: GuardHistory,
  seen: Observation,
  rules: GuardRules,
  { accepted }: { readonly accepted: boolean },
): Judgement {
  if (seen.kind === 'failed') return { state: toFailedState(seen.code), registers: {}, history }
  const registers = toRegisters(seen.energy)
  // Without it the base would lose the register, and with it whatever passes until it comes back.
  const missing = directions.some((one) => history.base?.registers[one] !== undefined && registers[one] === undefined)
  if (missing && !accepted) return { state: 'read-error', registers: {}, history }
  if (accepted)
    return { state: 're-based', registers, history: startAnew(history, seen.serial, registers, seen.moment) }
  const named = bindSerial(history, seen.serial)
  if (named.foreignSerial !== '') return { state: 'meter-swapped', registers, history: named }
  const standstill = stepStandstill(named.standstill, registers, seen)
  const { state, floors } = compare(named, registers, seen.moment, rules)
  const watched = { ...named, standstill }
  if (state !== 'ok' && state !== 'roll-over') return { state, registers, history: { ...watched, floors } }
  if (isFrozen(standstill, seen.energy)) return { state: 'frozen', registers, history: watched }
  return { state, registers, history: { ...watched, floors: {}, base: { registers, moment: seen.moment } } }
}

function toFailedState(code: ErrorCode): ReadingState {
  if (code === 'bus/timeout') return 'no-answer'
  return code === 'bus/closed' || code.startsWith('port/') ? 'disconnected' : 'read-error'
}

function toRegisters(energy: EnergySnapshot): Registers {
  return Object.fromEntries(
    directions.flatMap((direction) => {
      const register = energy[direction]
      return register === undefined ? [] : [[direction, register.registerWh]]
    }),
  )
}

function startAnew(
  history: GuardHistory,
  serial: string | undefined,
  registers: Registers,
  moment: Moment,
): GuardHistory {
  const present = history.foreignSerial === '' ? history.serial : history.foreignSerial
  return { serial: serial ?? present, foreignSerial: '', floors: {}, base: { registers, moment } }
}

// The first serial number that is seen stays bound. Another one is a swap until the installer accepts it, or until
// the bound meter is seen again: then its own register takes up where it was.
function bindSerial(history: GuardHistory, serial: string | undefined): GuardHistory {
  if (serial === undefined) return history
  if (history.serial === '' || history.serial === serial) return { ...history, serial, foreignSerial: '' }
  return { ...history, foreignSerial: serial }
}

interface Comparison {
  readonly state: ReadingState
  readonly floors: Registers
}

/**
 * A jump must not become plausible by waiting, although the energy that the fuse allows since the base grows with
 * time. So the lowest doubtful register is kept as a floor, with the time of its first sight judged once and for all:
 * whatever stands at or above the floor is the same jump, however late. A register below it shows that the doubtful one
 * was misread, for registers do not run backwards; it is compared with the base anew.
 */
function compare(history: GuardHistory, registers: Registers, moment: Moment, rules: GuardRules): Comparison {
  const { base, floors } = history
  if (base === undefined) return { state: 'ok', floors: {} }
  const { elapsedMs, trusted } = elapsedSince(base.moment, moment)
  const limitWh = (BigInt(rules.maxPowerW) * BigInt(Math.floor(elapsedMs))) / BigInt(msPerHour) + toleranceWh
  const verdicts = directions.map((direction) => ({
    direction,
    state: compareOne(base.registers[direction], registers[direction], floors[direction], limitWh, rules.rolloverWh),
  }))
  const worst = severity.find((state) => verdicts.some((verdict) => verdict.state === state)) ?? 'ok'
  const jumped = verdicts.filter(({ state }) => state === 'implausible-jump').map(({ direction }) => direction)
  return { state: worst, floors: trusted ? lower(floors, registers, jumped) : floors }
}

const severity = ['register-decreased', 'implausible-jump', 'roll-over'] as const satisfies readonly ReadingState[]

function compareOne(
  before: Wh | undefined,
  after: Wh | undefined,
  floor: Wh | undefined,
  limitWh: Wh,
  widthWh: Wh | undefined,
): ReadingState {
  if (before === undefined || after === undefined) return 'ok' // a register that is new to the point starts to count
  if (floor !== undefined && after >= floor) return 'implausible-jump'
  if (after < before) return wrapsPlausibly(before, after, limitWh, widthWh) ? 'roll-over' : 'register-decreased'
  return after - before > limitWh ? 'implausible-jump' : 'ok'
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
function elapsedSince(before: Moment, now: Moment): { readonly elapsedMs: number; readonly trusted: boolean } {
  if (before.bootId !== '' && before.bootId === now.bootId) {
    return { elapsedMs: Math.max(0, now.uptimeMs - before.uptimeMs), trusted: true }
  }
  const wallMs = now.takenAt - before.takenAt
  const trusted = before.clockStatus === 'S' && now.clockStatus === 'S' && wallMs >= 0
  return { elapsedMs: Math.max(wallMs, now.uptimeMs, 0), trusted }
}

// Adds up the energy that must have passed, from the smaller of two neighbouring powers, since a register last moved.
function stepStandstill(
  last: Standstill | undefined,
  registers: Registers,
  { moment, powerW }: Extract<Observation, { kind: 'read' }>,
): Standstill {
  const missed = { import: 0, export: 0 }
  for (const direction of directions) {
    if (last === undefined || last.registers[direction] !== registers[direction]) continue
    missed[direction] = last.missedWh[direction] + flowedWh(direction, last, moment, powerW)
  }
  return { registers, moment, missedWh: missed, ...(powerW === undefined ? {} : { powerW }) }
}

function flowedWh(direction: Direction, last: Standstill, now: Moment, powerW: number | undefined): number {
  const spanMs = now.uptimeMs - last.moment.uptimeMs
  const sameRun = last.moment.bootId === now.bootId && spanMs >= 0 && spanMs <= longestFlowMs
  if (!sameRun || last.powerW === undefined || powerW === undefined) return 0
  const sign = direction === 'import' ? 1 : -1
  const power = Math.min(sign * last.powerW, sign * powerW)
  return power < flowingW ? 0 : (power * spanMs) / msPerHour
}

function isFrozen(standstill: Standstill, energy: EnergySnapshot): boolean {
  return directions.some((direction) => {
    const register = energy[direction]
    if (register === undefined) return false
    return standstill.missedWh[direction] >= Math.max(missedWh, missedSteps * register.resolutionWh)
  })
}
