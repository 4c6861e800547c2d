import {
  type ClockStatus,
  type EnergySnapshot,
  type ErrorCode,
  makeTimestamp,
  readingStates,
  type Timestamp,
} from '@wattline/protocol'
import { type GuardRules, judge, type Observation } from '../src/guard.ts'
import { defaultGridLimits } from '../src/guard-grid.ts'
import { formatHistory, type GuardHistory, noHistory, parseHistory } from '../src/guard-history.ts'
import type { OtherValue, OtherValues } from '../src/modbus/other-values.ts'

const startMs = 1_800_000_000_000
export const rules: GuardRules = { maxPowerW: 54_338, rolloverWh: 1_000_000n, grid: defaultGridLimits }
const minute = 60_000

/** One poll of the test's meter. */
export interface Step {
  /** Minutes after the start. */
  readonly at: number
  readonly wh?: number
  readonly exportWh?: number
  readonly serial?: string
  readonly powerW?: number
  readonly code?: ErrorCode
  readonly accepted?: boolean
  readonly boot?: string
  /** Where the wall clock and the uptime disagree, in minutes. */
  readonly clockOffBy?: number
  readonly uptime?: number
  readonly clock?: ClockStatus
  /** Phase by phase, L1 first; and the frequency, where it is told. */
  readonly volts?: readonly number[]
  readonly hz?: number
  /** What a register can show, in Wh. */
  readonly stepWh?: number
}

/** Voltages and frequency as a meter tells them beside its energy. */
export function toValues({ volts, hz }: Pick<Step, 'volts' | 'hz'>, takenAt: Timestamp): OtherValues | undefined {
  if (volts === undefined && hz === undefined) return undefined
  const phases = ['L1', 'L2', 'L3'] as const
  const list: OtherValue[] = phases.flatMap((phase, at) => {
    const value = volts?.[at]
    return value === undefined ? [] : [{ measurand: 'Voltage', phase, value }]
  })
  return { takenAt, list: hz === undefined ? list : [...list, { measurand: 'Frequency', value: hz }] }
}

/** What a poll would bring. */
export function observe(step: Step): Observation {
  const { at, wh, exportWh, code, clockOffBy = 0, boot = 'a', uptime = at, clock = 'S', stepWh = 1 } = step
  const moment = {
    takenAt: makeTimestamp(startMs + (at + clockOffBy) * minute),
    clockStatus: clock,
    bootId: boot,
    uptimeMs: uptime * minute,
  }
  if (code !== undefined) return { kind: 'failed', moment, code }
  const energy: EnergySnapshot = {
    ...(wh === undefined ? {} : { import: { registerWh: BigInt(wh), resolutionWh: stepWh } }),
    ...(exportWh === undefined ? {} : { export: { registerWh: BigInt(exportWh), resolutionWh: stepWh } }),
  }
  const { serial, powerW } = step
  const values = toValues(step, moment.takenAt)
  return {
    kind: 'read',
    moment,
    energy,
    ...(serial === undefined ? {} : { serial }),
    ...(powerW === undefined ? {} : { powerW }),
    ...(values === undefined ? {} : { values }),
  }
}

/** Runs the steps through the guard, the history through the database's form each time. */
export function run(steps: readonly Step[], guardRules = rules): string[] {
  let history: GuardHistory = noHistory
  return steps.map((step) => {
    const judged = judge(history, observe(step), guardRules, { accepted: step.accepted === true })
    history = parseHistory(formatHistory(judged.history), 'test')
    const absent = readingStates[judged.state].energy === 'absent'
    if (absent !== (Object.keys(judged.registers).length === 0)) throw new Error('registers go with the state')
    return judged.state
  })
}
