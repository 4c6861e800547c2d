import type { Observation } from './guard.ts'
import type { MeterSnapshot } from './modbus/poller.ts'

/** Says of one poll what the guard wants to know. */
export function toObservation({ takenAt, clockStatus, outcome, values }: MeterSnapshot, bootId: string): Observation {
  // Taken when the poll is over, a little after the registers were read: the guard's margins are wider than that.
  // CLOCK_MONOTONIC: on Linux it counts from the machine's start, so that two runs of this program agree on it.
  const uptimeMs = Number(process.hrtime.bigint() / 1_000_000n)
  const moment = { takenAt, clockStatus, bootId, uptimeMs }
  if (!outcome.ok) return { kind: 'failed', moment, code: outcome.error.code }
  const { snapshot, serial, powerW } = outcome
  return {
    kind: 'read',
    moment,
    energy: snapshot,
    ...(serial === undefined ? {} : { serial }),
    ...(powerW === undefined ? {} : { powerW }),
    ...(values === undefined ? {} : { values }),
  }
}
