// Fills the data folder of a gateway.yaml with weeks of readings, one a minute and meter, as a gateway would that never
// meets its broker: time is virtual, session, guard, signatures and commits are real. Every second day the machine is
// started anew, which opens a new epoch. Arguments: the config, the days, the seed. Prints a JSON line for each day,
// and at the end what the meters themselves counted.
import {
  type Direction,
  directions,
  type MeterId,
  makeGatewayId,
  makeTimestamp,
  roleDirections,
  type Wh,
} from '@wattline/protocol'
import { makeAttestor, type PointObservation } from '../src/attest.ts'
import { loadConfig } from '../src/config.ts'
import type { Observation } from '../src/guard.ts'
import { defaultProfileFolder, loadProfiles } from '../src/modbus/profiles.ts'
import { Readings } from '../src/readings.ts'
import { RecordWriter } from '../src/record-writer.ts'
import { openSession } from '../src/session.ts'
import { type MeterSetup, type PointSetup, setUpMeters, setUpPoints } from '../src/setup.ts'
import { type PowerFlow, VirtualHouse } from './virtual-house.ts'

const [configPath = '', days = '28', seed = '1'] = process.argv.slice(2)
const minutesPerDay = 24 * 60
const daysPerRun = 2
const startMs = Date.UTC(2026, 5, 1)
/** Neighbours on a bus are read one after the other. */
const betweenMetersMs = 250
/** The tree's books close exactly when nothing flows any more and each meter was read again. */
const quietMinutes = 3

const config = loadConfig(configPath)
const { dataDir, id } = config.gateway
const meters = setUpMeters(config, loadProfiles(defaultProfileFolder()))
const lastMinute = Number(days) * minutesPerDay
const house = new VirtualHouse(Number(seed))

/** What a meter showed at the first and at the last poll that it answered. */
interface Counted {
  first?: PowerFlow
  last?: PowerFlow
  polls: number
  failed: number
}
const counted = new Map<MeterId, Counted>()

let nowMs = startMs
const clock = { now: () => makeTimestamp(nowMs), status: () => 'S' as const }

/** Polls one meter of the house. */
function observe(meter: MeterSetup, minute: number, run: number): Observation {
  const takenAt = clock.now()
  const moment = { takenAt, clockStatus: clock.status(), bootId: `run-${run}`, uptimeMs: takenAt - runStartMs(run) }
  const flow = house.read(meter.config.id)
  const tally = counted.get(meter.meterId) ?? { polls: 0, failed: 0 }
  counted.set(meter.meterId, tally)
  tally.polls++
  // The first poll counts from somewhere, and the last ones must be sound.
  const failure = minute === 0 || minute >= lastMinute - quietMinutes ? undefined : house.fails(meter.config.id)
  if (failure !== undefined) {
    tally.failed++
    return { kind: 'failed', moment, code: failure }
  }
  tally.first ??= flow
  tally.last = flow
  const energy = Object.fromEntries(
    roleDirections[meter.config.role].map((one) => [one, { registerWh: toWh(flow, one), resolutionWh: 1 }]),
  )
  return { kind: 'read', moment, energy, serial: `${meter.config.unitId}`, powerW: flow.powerW }
}

function toWh(flow: PowerFlow, direction: Direction): Wh {
  return BigInt(Math.floor(direction === 'import' ? flow.importWh : flow.exportWh))
}

function runStartMs(run: number): number {
  return startMs + run * daysPerRun * minutesPerDay * 60_000 - 30_000
}

/** Polls all meters for one run of the machine. */
function fillRun(run: number): void {
  nowMs = runStartMs(run)
  let setups: readonly PointSetup[] = []
  const prepare = (store: Parameters<typeof setUpPoints>[2]) => {
    setups = setUpPoints(meters, dataDir, store)
  }
  const session = openSession(dataDir, clock, prepare, `run-${run}`)
  const { store, epochs, witness } = session
  const writer = new RecordWriter({ store, dataDir, gatewayId: makeGatewayId(id), epochs, witness })
  const attestor = makeAttestor({ store, writer, setups })
  const fail = (_count: number, error: unknown) => {
    throw error
  }
  const readings = new Readings(attestor, { signed: () => {}, lost: fail })
  const firstMinute = run * daysPerRun * minutesPerDay
  const end = Math.min(lastMinute, firstMinute + daysPerRun * minutesPerDay)
  for (let minute = firstMinute; minute < end; minute++) {
    if (minute > 0) house.advance(minute % minutesPerDay, minute < lastMinute - quietMinutes)
    for (const observation of pollAll(minute, run)) readings.push(observation)
    readings.flush()
    if ((minute + 1) % minutesPerDay === 0) tellDay((minute + 1) / minutesPerDay)
  }
  session.close()
}

function* pollAll(minute: number, run: number): Generator<PointObservation> {
  for (const [at, meter] of meters.entries()) {
    nowMs = startMs + minute * 60_000 + at * betweenMetersMs
    yield { meterId: meter.meterId, seen: observe(meter, minute, run) }
  }
}

function tell(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function tellDay(day: number): void {
  tell({ day, residentMb: process.memoryUsage.rss() / 1e6 })
}

for (let run = 0; run * daysPerRun < Number(days); run++) fillRun(run)
for (const [meterId, { first, last, polls, failed }] of counted) {
  const movedWh = directions.map((direction) => [
    direction,
    Number(first === undefined || last === undefined ? 0n : toWh(last, direction) - toWh(first, direction)),
  ])
  tell({ meterId, polls, failed, movedWh: Object.fromEntries(movedWh) })
}
