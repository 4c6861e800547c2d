import test from 'ava'
import * as v from 'valibot'
import { allocate } from './allocate.ts'
import { makeSite, mapPhases, type PhaseCurrents } from './site.ts'
import { siteShape } from './site-config.ts'
import { Car, type CarOptions, SiteRig, StationModel, type StationOptions } from './site-rig.ts'

const hour = 3600
const fuseA = 25
const day = 24 * hour

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A household: a base load, appliances of one phase that come and go, a roof on all three. */
function household(seed: number): (second: number) => PhaseCurrents {
  const random = seeded(seed)
  const appliances = Array.from({ length: 140 }, () => ({
    phase: Math.floor(random() * 3),
    from: Math.floor(day * (random() < 0.7 ? 0.25 + 0.7 * random() : random())),
    seconds: 20 + Math.floor(1800 * random() ** 3),
    ampere: 1 + 9 * random(),
  }))
  const clouds = Array.from({ length: 60 }, () => ({ from: 7 * hour + 10 * hour * random(), seconds: 600 * random() }))
  return (second) => {
    const at = second / hour
    const sun = at > 7 && at < 17 ? Math.sin(((at - 7) / 10) * Math.PI) : 0
    const isCloudy = clouds.some(({ from, seconds }) => second >= from && second < from + seconds)
    const roofA = 13 * sun * (isCloudy ? 0.3 : 1)
    const on = appliances.filter(({ from, seconds }) => second >= from && second < from + seconds)
    // A household that trips its own fuse is none of our business.
    const loadOf = (phase: number) => on.reduce((sum, one) => sum + (one.phase === phase ? one.ampere : 0), 1.5)
    return mapPhases((phase) => Math.min(loadOf(phase), fuseA - 1) - roofA)
  }
}

interface Visit {
  readonly station: StationOptions
  readonly car: CarOptions
  readonly from: number
  readonly to: number
}

const station = (key: string, more: Partial<StationOptions> = {}): StationOptions => ({
  key: `${key}/1`,
  version: 'ocpp1.6',
  hardwareA: 16,
  phases: [0, 1, 2],
  sampleSeconds: 10,
  ...more,
})

const visits: readonly Visit[] = [
  {
    station: station('A'),
    car: { batteryWh: 80_000, storedWh: 8_000, maxA: 16, phases: 3 },
    from: 0,
    to: 7 * hour,
  },
  {
    station: station('B', { version: 'ocpp2.0.1', habits: ['relative-only'] }),
    car: { batteryWh: 60_000, storedWh: 9_000, maxA: 16, phases: 3, pauses: [[3 * hour, 4 * hour]] },
    from: 600,
    to: 8 * hour,
  },
  {
    station: station('C', { hardwareA: 32, phases: [1], habits: ['refuses-zero'] }),
    car: { batteryWh: 90_000, storedWh: 9_000, maxA: 32, phases: 1 },
    from: hour,
    to: 23 * hour,
  },
  {
    station: station('D', { habits: ['no-tx-profile'], sampleSeconds: 30 }),
    car: { batteryWh: 70_000, storedWh: 7_000, maxA: 16, phases: 1 },
    from: 9 * hour,
    to: 20 * hour,
  },
  {
    station: station('E', { version: 'ocpp2.0.1', habits: ['steps'], sampleSeconds: 60 }),
    car: { batteryWh: 75_000, storedWh: 10_000, maxA: 16, phases: 2 },
    from: 16 * hour,
    to: day,
  },
  {
    station: station('F', { habits: ['watt-only'] }),
    car: { batteryWh: 85_000, storedWh: 5_000, maxA: 16, phases: 3 },
    from: 17 * hour,
    to: day,
  },
]

const config = v.parse(siteShape, {
  mainFuseA: fuseA,
  meter: 'house',
  safeCurrentA: 0,
  stations: visits.map(({ station: { key, hardwareA, phases, habits = [] } }) => ({
    id: key.slice(0, -2),
    maxCurrentA: hardwareA,
    phases: phases.map((phase) => `L${phase + 1}`),
    ...(habits.includes('steps') && { stepsA: [6, 8, 10, 13, 16] }),
  })),
})

/**
 * The energy of an ideal allocation: it sees every load and every vehicle's wish at each second, without delay, uses
 * the fuse to its last tenth of an ampere, knows each vehicle's phases, and starts and stops at no cost.
 */
function idealWh(others: (second: number) => PhaseCurrents): number {
  const cars = visits.map(({ car }) => new Car(car))
  for (let second = 1; second <= day; second += 1) {
    const present = visits.flatMap((visit, at) => (second > visit.from && second <= visit.to ? [at] : []))
    if (present.length === 0) continue
    const rest = others(second)
    const limits = [0, 1, 2].map((phase) => ({
      name: String(phase),
      limitA: fuseA - (rest[phase] ?? 0),
      weights: new Map(
        present
          .filter((at) => visits[at]!.station.phases.slice(0, visits[at]!.car.phases).includes(phase))
          .map((at) => [String(at), 1] as const),
      ),
    }))
    const claims = present.map((at) => {
      const wantsA = cars[at]!.wantsA(second)
      return {
        id: String(at),
        minA: Math.min(6, wantsA),
        maxA: Math.min(wantsA, visits[at]!.station.hardwareA),
        priority: 0,
      }
    })
    for (const [at, ampere] of allocate(claims, limits)) cars[Number(at)]!.charge(ampere)
  }
  return cars.reduce((sum, car) => sum + car.storedWh - car.options.storedWh, 0)
}

test('a day with 6 cars, household and roof: the fuse holds, and 0.95 of the ideal energy is delivered', (t) => {
  const others = household(7)
  const random = seeded(11)
  const stations = visits.map((visit) => new StationModel(visit.station))
  const cars = visits.map(({ car }) => new Car(car))
  const rig = new SiteRig(makeSite(config), stations, others)
  rig.losesAnswer = () => random() < 0.01
  let overSeconds = 0
  let longestOver = 0
  let peakA = 0
  while (rig.second < day) {
    for (const [at, { from, to }] of visits.entries()) {
      if (rig.second === from) rig.plugIn(stations[at]!, cars[at]!)
      if (rig.second === to) rig.leave(stations[at]!)
    }
    rig.step()
    const most = Math.max(...rig.fuse)
    peakA = Math.max(peakA, most)
    overSeconds = most > fuseA ? overSeconds + 1 : 0
    longestOver = Math.max(longestOver, overSeconds)
  }
  const deliveredWh = cars.reduce((sum, car) => sum + car.storedWh - car.options.storedWh, 0)
  const ideal = idealWh(others)
  t.log(`delivered ${Math.round(deliveredWh)} of ${Math.round(ideal)} Wh: ${(deliveredWh / ideal).toFixed(3)}`)
  t.log(`longest over the fuse ${longestOver} s, peak ${peakA.toFixed(1)} A, ${rig.messages} messages`)
  t.log(cars.map((car) => Math.round(car.storedWh)).join())
  t.true(longestOver <= 5)
  t.true(deliveredWh >= 0.95 * ideal)
})
