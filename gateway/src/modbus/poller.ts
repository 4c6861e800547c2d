import type { Clock, EnergyDirection, MeterProfile } from '@wattline/protocol'
import type { RegisterBus } from './bus.ts'
import { type MeterAnswer, MeterReader } from './meter-reader.ts'
import type { OtherValues } from './other-values.ts'
import type { Scheduler } from './scheduler.ts'

export interface PolledMeter {
  readonly id: string
  /** Id of its bus. */
  readonly bus: string
  readonly unitId: number
  readonly profile: MeterProfile
  readonly intervalSeconds: number
  readonly directions?: readonly EnergyDirection[]
}

/** What one poll of one meter brought. */
export interface MeterSnapshot extends MeterAnswer {
  readonly meterId: string
  /** What was read beside the energy since the snapshot before. */
  readonly values?: OtherValues
}

export interface PollerDeps {
  readonly buses: ReadonlyMap<string, RegisterBus>
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly onSnapshot: (snapshot: MeterSnapshot) => void
}

export interface Poller {
  /** No snapshot comes after this; a poll under way is dropped. */
  stop(): void
}

interface Task {
  readonly meterId: string
  readonly reader: MeterReader
  readonly intervalMs: number
  /** Keeps the meters of one bus out of each other's way. */
  readonly offsetMs: number
  isReading: boolean
  cancel: () => void
}

// Neighbours are read one after the other but close together: a parent and its children are compared later.
const longestOffsetMs = 250

/**
 * Polls each meter at once and then at multiples of its interval in wall-clock time. A poll that finds the one
 * before still under way is left out, and never made up for.
 */
export function startPoller(meters: readonly PolledMeter[], deps: PollerDeps): Poller {
  const tasks = meters.map((meter) => makeTask(meter, meters, deps))
  let isStopped = false
  const poll = async (task: Task) => {
    if (task.isReading) return
    task.isReading = true
    const answer = await task.reader.read()
    task.isReading = false
    if (!isStopped) deps.onSnapshot({ meterId: task.meterId, ...answer })
  }
  const arm = (task: Task, delayMs: number) => {
    task.cancel = deps.scheduler.after(delayMs, () => {
      arm(task, nextDelayMs(deps.clock.now(), task))
      void poll(task)
    })
  }
  for (const task of tasks) arm(task, task.offsetMs)
  return {
    stop: () => {
      isStopped = true
      for (const task of tasks) task.cancel()
    },
  }
}

/**
 * How long to wait for the next slot. The slot that is nearest to now is taken for the one just used: timers fire
 * a little early or late, and a clock that was set must cause neither two polls at once nor a long gap.
 */
export function nextDelayMs(nowMs: number, slots: { readonly intervalMs: number; readonly offsetMs: number }): number {
  const { intervalMs, offsetMs } = slots
  const slot = Math.round((nowMs - offsetMs) / intervalMs)
  return (slot + 1) * intervalMs + offsetMs - nowMs
}

function makeTask(meter: PolledMeter, meters: readonly PolledMeter[], deps: PollerDeps): Task {
  const bus = deps.buses.get(meter.bus)
  if (bus === undefined) throw new Error(`meter ${meter.id}: no bus ${meter.bus}`)
  const neighbours = meters.filter((other) => other.bus === meter.bus)
  const intervalMs = meter.intervalSeconds * 1000
  const { unitId, profile, directions } = meter
  const { clock, scheduler } = deps
  return {
    meterId: meter.id,
    reader: new MeterReader({ bus, unitId, profile, directions, intervalMs, clock, scheduler }),
    intervalMs,
    offsetMs: neighbours.indexOf(meter) * Math.min(longestOffsetMs, intervalMs / neighbours.length),
    isReading: false,
    cancel: () => {},
  }
}
