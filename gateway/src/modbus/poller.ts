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
  /** How often the other values are read; never where it is 0 or absent. */
  readonly valuesIntervalSeconds?: number
  readonly directions?: readonly EnergyDirection[]
  /** Which of a SunSpec device's models of the profile's kind is meant, counted from 1. */
  readonly sunspecInstance?: number
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
  /** What was read beside the energy, as soon as it is there. */
  readonly onValues?: (meterId: string, values: OtherValues) => void
}

export interface Poller {
  /** No snapshot comes after this; a poll under way is dropped. */
  stop(): void
}

interface Slots {
  readonly intervalMs: number
  /** Keeps the meters of one bus out of each other's way. */
  readonly offsetMs: number
}

interface Task {
  readonly meterId: string
  readonly reader: MeterReader
  readonly polls: Slots
  readonly values: Slots | undefined
  isPolling: boolean
  isReadingValues: boolean
  /** A meter that is silent is not asked for more than its energy. */
  answers: boolean
  /** Read, and not told with a snapshot yet. */
  fresh: OtherValues | undefined
}

// Neighbours are read one after the other but close together: a parent and its children are compared later.
const longestOffsetMs = 250
// The first values follow the first poll; then they come before the poll that tells them, so that they are fresh.
const firstValuesMs = 500
const valuesLeadMs = 5000

/**
 * Polls each meter at once and then at multiples of its interval in wall-clock time. A poll that finds the one
 * before still under way is left out, and never made up for.
 */
export function startPoller(meters: readonly PolledMeter[], deps: PollerDeps): Poller {
  const timers = new Set<() => void>()
  let isStopped = false
  const repeat = (slots: Slots, delayMs: number, run: () => Promise<void>) => {
    const cancel = deps.scheduler.after(delayMs, () => {
      timers.delete(cancel)
      repeat(slots, nextDelayMs(deps.clock.now(), slots), run)
      void run()
    })
    timers.add(cancel)
  }
  const poll = async (task: Task) => {
    if (task.isPolling) return
    task.isPolling = true
    const answer = await task.reader.read()
    task.isPolling = false
    task.answers = answer.outcome.ok
    const { meterId, fresh } = task
    task.fresh = undefined
    if (!isStopped) deps.onSnapshot({ meterId, ...answer, ...(fresh === undefined ? {} : { values: fresh }) })
  }
  const readValues = async (task: Task) => {
    if (task.isReadingValues || !task.answers) return
    task.isReadingValues = true
    const values = await task.reader.readValues()
    task.isReadingValues = false
    if (values === undefined || isStopped) return
    task.fresh = values
    deps.onValues?.(task.meterId, values)
  }
  for (const task of meters.map((meter) => makeTask(meter, meters, deps))) {
    const { polls, values } = task
    repeat(polls, polls.offsetMs, () => poll(task))
    if (values !== undefined) repeat(values, polls.offsetMs + firstValuesMs, () => readValues(task))
  }
  return {
    stop: () => {
      isStopped = true
      for (const cancel of timers) cancel()
    },
  }
}

/**
 * How long to wait for the next slot. The slot that is nearest to now is taken for the one just used: timers fire
 * a little early or late, and a clock that was set must cause neither two polls at once nor a long gap.
 */
export function nextDelayMs(nowMs: number, slots: Slots): number {
  const { intervalMs, offsetMs } = slots
  const slot = Math.round((nowMs - offsetMs) / intervalMs)
  return (slot + 1) * intervalMs + offsetMs - nowMs
}

function makeTask(meter: PolledMeter, meters: readonly PolledMeter[], deps: PollerDeps): Task {
  const bus = deps.buses.get(meter.bus)
  if (bus === undefined) throw new Error(`meter ${meter.id}: no bus ${meter.bus}`)
  const neighbours = meters.filter((other) => other.bus === meter.bus)
  const intervalMs = meter.intervalSeconds * 1000
  const offsetMs = neighbours.indexOf(meter) * Math.min(longestOffsetMs, intervalMs / neighbours.length)
  const valuesIntervalMs = (meter.valuesIntervalSeconds ?? 0) * 1000
  const leadMs = Math.min(valuesLeadMs, intervalMs / 2, valuesIntervalMs / 2)
  const { unitId, profile, directions, sunspecInstance } = meter
  const { clock, scheduler } = deps
  return {
    meterId: meter.id,
    reader: new MeterReader({ bus, unitId, profile, directions, sunspecInstance, intervalMs, clock, scheduler }),
    polls: { intervalMs, offsetMs },
    values: valuesIntervalMs === 0 ? undefined : { intervalMs: valuesIntervalMs, offsetMs: offsetMs - leadMs },
    isPolling: false,
    isReadingValues: false,
    answers: false,
    fresh: undefined,
  }
}
