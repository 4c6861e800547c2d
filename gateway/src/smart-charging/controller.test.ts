import test from 'ava'
import fc from 'fast-check'
import * as v from 'valibot'
import { makeSite, mapPhases, type PhaseCurrents } from './site.ts'
import { siteShape } from './site-config.ts'
import { Car, type CarOptions, type Habit, SiteRig, StationModel, type StationOptions } from './site-rig.ts'

const station = (key: string, more: Partial<StationOptions> = {}): StationOptions => ({
  key: `${key}/1`,
  version: 'ocpp1.6',
  hardwareA: 16,
  phases: [0, 1, 2],
  sampleSeconds: 10,
  ...more,
})

const bigCar: CarOptions = { batteryWh: 90_000, storedWh: 9_000, maxA: 16, phases: 3 }

interface Given {
  readonly site?: object
  readonly chargers?: object
  readonly others?: (second: number) => PhaseCurrents
}

/** A house with a fuse of 25 A and a station for each option, in this order. */
function house(
  stations: readonly StationOptions[],
  { site = {}, chargers = {}, others = () => [1, 1, 1] }: Given = {},
) {
  const config = v.parse(siteShape, {
    mainFuseA: 25,
    meter: 'house',
    stations: stations.map(({ key, hardwareA, phases }) => ({
      id: key.slice(0, -2),
      maxCurrentA: hardwareA,
      phases: phases.map((phase) => `L${phase + 1}`),
      ...chargers,
    })),
    ...site,
  })
  const models = stations.map((options) => new StationModel(options))
  const rig = new SiteRig(makeSite(config), models, others)
  const run = (seconds: number, each = () => {}) => {
    for (let second = 0; second < seconds; second += 1) {
      rig.step()
      each()
    }
  }
  const plugIn = (at: number, car: Partial<CarOptions> = {}) => {
    const plugged = new Car({ ...bigCar, ...car })
    rig.plugIn(models[at]!, plugged)
    return plugged
  }
  const offers = () => models.map((model) => model.offeredA(rig.nowMs))
  const stateOf = (key: string) => rig.controller.view.chargers.find((one) => one.key === `${key}/1`)?.state
  return { rig, models, run, plugIn, offers, stateOf }
}

test('a station is told the safe current before anything else, and again after each start of its firmware', (t) => {
  const { rig, models, run, plugIn, offers } = house([station('A')])
  run(4)
  t.deepEqual(offers(), [6])
  models[0]!.forget()
  rig.hear('A/1', { kind: 'booted' })
  t.deepEqual(offers(), [16])
  run(4)
  t.deepEqual(offers(), [6])
  plugIn(0)
  run(60)
  t.deepEqual(offers(), [16])
})

test('when the meter falls silent, every car is at the safe current or below within 10 s, and comes back later', (t) => {
  const { rig, run, plugIn, offers } = house([station('A'), station('B', { version: 'ocpp2.0.1' })])
  for (const at of [0, 1]) plugIn(at)
  run(120)
  t.true(Math.min(...offers()) > 10)
  rig.isMeterLost = true
  run(10)
  t.true(Math.max(...offers()) <= 6)
  run(600)
  t.true(Math.max(...offers()) <= 6)
  rig.isMeterLost = false
  run(120)
  t.true(Math.min(...offers()) > 10)
})

test('when the gateway is gone, a station falls to the safe current by itself', (t) => {
  for (const habits of [[], ['relative-only'], ['no-tx-profile'], ['watt-only']] as const) {
    const { rig, run, plugIn, offers } = house([station('A', { habits })], { site: { profileSeconds: 60 } })
    plugIn(0)
    run(180)
    t.deepEqual(offers(), [16])
    rig.second += 60
    t.true(offers()[0]! <= 6.01, habits.join())
    t.true(offers()[0]! > 5.9, habits.join())
  }
})

test('Q29: whatever form a station refuses, it is found out what it takes, and the fuse holds', (t) => {
  const habits: readonly (readonly Habit[])[] = [
    ['watt-only'],
    ['relative-only'],
    ['refuses-zero'],
    ['no-tx-profile'],
    ['watt-only', 'relative-only', 'refuses-zero', 'no-tx-profile'],
    ['steps'],
  ]
  for (const own of habits) {
    for (const version of ['ocpp1.6', 'ocpp2.0.1'] as const) {
      const load = { ampere: 4 }
      const options = station('A', { habits: own, version })
      const { run, plugIn, offers } = house([options], { others: () => mapPhases(() => load.ampere) })
      plugIn(0)
      run(120)
      t.true(offers()[0]! >= 15.9, own.join())
      load.ampere = 16
      run(5)
      t.true(offers()[0]! <= 9, own.join())
      t.true(offers()[0]! >= 6, own.join())
      load.ampere = 24
      run(10)
      t.true(offers()[0]! < 6, own.join())
    }
  }
})

test('a station that takes no profile at all is left the most that it may take, and is named', (t) => {
  const refusing = ['watt-only', 'relative-only', 'no-tx-profile'] as const
  const { rig, models, run, plugIn, offers, stateOf } = house([station('A'), station('B')])
  models[0]!.setChargingProfile = () => 'unsupported'
  for (const at of refusing.keys()) if (at < 2) plugIn(at)
  run(120)
  t.is(stateOf('A'), 'refuses')
  t.true(offers()[1]! <= 25 - 0.5 - 1 - 16)
  t.true(Math.max(...rig.fuse) <= 25)
})

test('a station that takes more than it was told is named, and the others make way', (t) => {
  const { rig, run, plugIn, stateOf } = house([station('A', { habits: ['ignores'] }), station('B')])
  for (const at of [0, 1]) plugIn(at)
  run(300)
  t.is(stateOf('A'), 'ignores')
  let longest = 0
  let over = 0
  run(600, () => {
    over = Math.max(...rig.fuse) > 25 ? over + 1 : 0
    longest = Math.max(longest, over)
  })
  t.is(longest, 0)
})

test('a station whose answers get lost is counted with the most that it may have heard', (t) => {
  const load = { ampere: 1 }
  const { rig, run, plugIn, offers } = house([station('A'), station('B')], {
    others: () => mapPhases(() => load.ampere),
  })
  for (const at of [0, 1]) plugIn(at)
  let lost = 0
  run(1800, () => {
    load.ampere = 1 + 7 * Math.floor((rig.second % 300) / 100)
    rig.losesAnswer = () => {
      lost += 1
      return lost % 3 !== 0
    }
    for (const [at, { mostA }] of rig.controller.view.chargers.entries()) t.true(offers()[at]! <= mostA + 1e-6)
  })
  t.true(lost > 30)
})

test('a station that went away while it charged keeps its share until it must have fallen to the safe current', (t) => {
  const { rig, models, run, plugIn, offers } = house([station('A'), station('B')])
  for (const at of [0, 1]) plugIn(at)
  run(120)
  const before = offers()
  models[0]!.isOnline = false
  rig.hear('A/1', { kind: 'disconnected' })
  run(20)
  t.true(offers()[1]! <= before[1]! + 0.2)
  run(300)
  t.deepEqual(offers()[0], 6)
  t.true(Math.max(...rig.fuse) <= 25)
})

test('what a car does not take goes to the others, and comes back to it when it takes more', (t) => {
  const { run, plugIn, offers } = house([station('A'), station('B')])
  plugIn(0, { maxA: 7 })
  plugIn(1)
  run(240)
  t.true(offers()[1]! >= 15)
  t.true(offers()[0]! <= 9)
})

test('a car that uses one phase leaves the other two to the others', (t) => {
  const { run, plugIn, offers } = house([station('A'), station('B', { phases: [1, 2, 0] })])
  plugIn(0, { phases: 1 })
  plugIn(1, { phases: 1 })
  run(240)
  t.deepEqual(offers(), [16, 16])
})

test('cars that cannot all have 6 A take turns', (t) => {
  const keys = ['A', 'B', 'C']
  const { run, plugIn } = house(
    keys.map((key) => station(key)),
    { others: () => [10, 10, 10], site: { rotationMinutes: 15, safeCurrentA: 6 } },
  )
  const cars = keys.map((_, at) => plugIn(at))
  run(3 * 3600)
  const charged = cars.map((car) => car.storedWh - 9_000)
  t.true(Math.min(...charged) > 0.75 * Math.max(...charged), charged.map(Math.round).join())
})

test('a car that wants nothing does not hold back others that do, and is asked now and then', (t) => {
  const pauses = [[0, 3600]] as const
  const { run, plugIn, offers } = house([station('A'), station('B')], { others: () => [14, 14, 14] })
  plugIn(0, { pauses })
  plugIn(1)
  run(300)
  t.true(offers()[1]! >= 10)
  let chances = 0
  run(3000, () => {
    if (offers()[0]! >= 6) chances += 1
  })
  t.true(chances > 60)
  run(1800)
  t.true(offers()[0]! >= 6 || offers()[1]! >= 6)
})

test('a car that waits for the sun takes what the roof gives beyond the house, and nothing without it', (t) => {
  const roof = { ampere: 0 }
  const { rig, run, plugIn, offers } = house([station('A')], {
    others: () => mapPhases(() => 1 - roof.ampere),
    chargers: { mode: 'solar' },
  })
  plugIn(0)
  run(300)
  t.true(offers()[0]! < 6)
  roof.ampere = 11
  run(300)
  t.true(Math.abs(offers()[0]! - 10) < 0.5)
  t.true(Math.abs(rig.fuse[0]) < 1)
  roof.ampere = 3
  run(60)
  t.is(offers()[0], 6, 'a cloud')
  run(300)
  t.true(offers()[0]! < 6)
})

test('solar-first: the least from the grid, more from the roof', (t) => {
  const roof = { ampere: 0 }
  const { run, plugIn, offers } = house([station('A')], {
    others: () => mapPhases(() => 1 - roof.ampere),
    chargers: { mode: 'solar-first' },
  })
  plugIn(0)
  run(300)
  t.is(offers()[0], 6)
  roof.ampere = 13
  run(120)
  t.true(Math.abs(offers()[0]! - 12) < 0.5)
})

test('a feeder holds its own limit, also through the feeder that it hangs on', (t) => {
  const feeders = [
    { id: 'yard', limitA: 20 },
    { id: 'garage', limitA: 12, behind: 'yard' },
  ]
  const { rig, run, plugIn, offers } = house([station('A'), station('B'), station('C')], {
    site: { mainFuseA: 63, feeders },
    chargers: { feeder: 'garage' },
  })
  for (const at of [0, 1]) plugIn(at)
  run(180)
  t.deepEqual(offers().slice(0, 2), [6, 6])
  t.deepEqual(
    rig.controller.view.limits.slice(3).map(({ limitA }) => limitA),
    [20, 20, 20, 12, 12, 12],
  )
})

test('in a quiet house a station hears of us twice in the time that it keeps to what it was told', (t) => {
  const { rig, run, plugIn } = house([station('A')])
  plugIn(0)
  run(300)
  const before = rig.messages
  run(1200)
  t.true(rig.messages - before <= 21)
})

test('whatever the household does: what was promised never grows beyond the limits', (t) => {
  const loads = fc.array(
    fc.record({ seconds: fc.integer({ min: 1, max: 90 }), ampere: fc.integer({ min: 0, max: 24 }) }),
    {
      minLength: 1,
      maxLength: 12,
    },
  )
  fc.assert(
    fc.property(loads, (steps) => {
      const load = { ampere: 1 }
      const options = ['A', 'B', 'C'].map((key) => station(key))
      const { rig, run, plugIn } = house(options, { others: () => mapPhases(() => load.ampere) })
      for (const at of [0, 1, 2]) plugIn(at)
      run(30)
      let before = rig.controller.view.limits
      for (const { seconds, ampere } of steps) {
        load.ampere = ampere
        run(seconds, () => {
          const { limits } = rig.controller.view
          // What is told in one second counts as promised in the next.
          for (const [at, { promisedA }] of limits.entries()) {
            const was = before[at] ?? { limitA: 23.5, promisedA: 18 }
            t.true(promisedA <= Math.max(was.limitA, was.promisedA) + 1e-6)
          }
          before = limits
        })
      }
    }),
    { numRuns: 30 },
  )
})
