import {
  type Direction,
  directions,
  type EnergySnapshot,
  type ErrorCode,
  noticeTime,
  type ReadingState,
  type Registers,
} from '@wattline/protocol'
import { type CompareRules, compare } from './guard-compare.ts'
import { type GridLimits, judgeGrid } from './guard-grid.ts'
import type { GuardHistory, Moment, Standstill } from './guard-history.ts'
import type { OtherValues } from './modbus/other-values.ts'

/** What one poll of a meter brought. */
export type Observation = Reading | { readonly kind: 'failed'; readonly moment: Moment; readonly code: ErrorCode }

/** A poll that brought registers. */
export interface Reading {
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

/**
 * What the guard goes by. The fuse and the width are what is enrolled: the ledger applies the same numbers, so what
 * passes here counts there. The grid is what the configuration says; without it nothing is said of the grid.
 */
export interface GuardRules extends CompareRules {
  readonly grid?: GridLimits
}

/** What may be signed of an observation, and what to remember of it. */
export interface Judgement {
  readonly state: ReadingState
  /** For people: the figures that a doubt follows from. */
  readonly reason?: string
  readonly registers: Registers
  readonly history: GuardHistory
}

const msPerHour = 3_600_000
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
  before: GuardHistory,
  seen: Observation,
  rules: GuardRules,
  { accepted }: { readonly accepted: boolean },
): Judgement {
  const timed = noticeClock(before, seen.moment)
  if (seen.kind === 'failed') return { state: toFailedState(seen.code), registers: {}, history: timed }
  // It is read now and then only: what comes with a reading that cannot be judged is judged with the next that can.
  const { heardSerial: serial, ...history } = { ...timed, ...hear(seen.serial) }
  const heard = { ...history, ...hear(serial) }
  const registers = toRegisters(seen.energy)
  // Without it the base would lose the register, and with it whatever passes until it comes back.
  const missing = directions.some((one) => history.base?.registers[one] !== undefined && registers[one] === undefined)
  if (missing && !accepted) return { state: 'read-error', registers: {}, history: heard }
  // Before everything else that the meter says: of a wrong map nothing may be learned, nor accepted.
  const { oddGrid, ...cleared } = stepGrid(history, seen, rules.grid)
  if (oddGrid !== undefined) {
    return { state: 'implausible-grid', reason: oddGrid, registers, history: { ...heard, oddGrid } }
  }
  if (accepted) return { state: 're-based', registers, history: startAnew(cleared, serial, registers, seen.moment) }
  return judgeRegisters(bindSerial(cleared, serial), registers, seen, rules)
}

function hear(serial: string | undefined): Pick<GuardHistory, 'heardSerial'> {
  return serial === undefined ? {} : { heardSerial: serial }
}

function judgeRegisters(history: GuardHistory, registers: Registers, seen: Reading, rules: GuardRules): Judgement {
  const { serial, foreignSerial } = history
  if (foreignSerial !== '') {
    return { state: 'meter-swapped', reason: `serial number ${foreignSerial}, ${serial} before`, registers, history }
  }
  const standstill = stepStandstill(history.standstill, registers, seen)
  const resolutionWh = toResolutions(seen.energy)
  const { state, floors, ...told } = compare(history, { registers, resolutionWh, moment: seen.moment }, rules)
  const watched = { ...history, standstill }
  if (state !== 'ok' && state !== 'roll-over') return { state, ...told, registers, history: { ...watched, floors } }
  const frozen = findFrozen(standstill, seen.energy)
  if (frozen !== undefined) return { state: 'frozen', reason: frozen, registers, history: watched }
  return { state, registers, history: { ...watched, floors: {}, base: { registers, moment: seen.moment } } }
}

// Every record tells the time, whatever else it says.
function noticeClock(history: GuardHistory, moment: Moment): GuardHistory {
  const { base } = history
  return base === undefined ? history : { ...history, base: { ...base, moment: noticeTime(base.moment, moment) } }
}

// The values come more seldom than the registers: a doubt stays until they are there and sound. A grid that is dead is
// no doubt where it was seen alive before, as an inverter's at night; a map that shows nothing but zeros was not.
function stepGrid(history: GuardHistory, { values }: Reading, limits: GridLimits | undefined): GuardHistory {
  const { oddGrid, ...cleared } = history
  if (limits === undefined) return cleared
  const verdict = values === undefined ? { kind: 'untold' as const } : judgeGrid(values, limits)
  if (verdict.kind === 'sound') return cleared
  if (verdict.kind === 'odd') return { ...history, oddGrid: verdict.reason }
  if (verdict.kind === 'dead' && history.base === undefined) return { ...history, oddGrid: 'no voltage on any phase' }
  return history
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

function toResolutions(energy: EnergySnapshot): Readonly<Partial<Record<Direction, number>>> {
  return Object.fromEntries(Object.entries(energy).map(([direction, { resolutionWh }]) => [direction, resolutionWh]))
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

// Adds up the energy that must have passed, from the smaller of two neighbouring powers, since a register last moved.
function stepStandstill(last: Standstill | undefined, registers: Registers, { moment, powerW }: Reading): Standstill {
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

function findFrozen(standstill: Standstill, energy: EnergySnapshot): string | undefined {
  for (const direction of directions) {
    const register = energy[direction]
    const missed = standstill.missedWh[direction]
    if (register === undefined || missed < Math.max(missedWh, missedSteps * register.resolutionWh)) continue
    return `${direction} stands at ${register.registerWh} Wh, about ${Math.round(missed)} Wh have flowed`
  }
  return undefined
}
