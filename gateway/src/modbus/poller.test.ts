import { encodeQuantity, WattError } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import {
  epochMs,
  isEnergy,
  isPower,
  isSerial,
  profiles,
  rig,
  sdm630,
  timeout,
  valuesOf,
} from '../../test/poller-rig.ts'
import type { ReadRequest } from './bus.ts'
import { nextDelayMs } from './poller.ts'
import { findProfile } from './profiles.ts'

test('a reading holds both registers from one request, their exact words, the power and the serial number', async (t) => {
  const { scheduler, bus, snapshots } = rig(t)
  await scheduler.advance(0)
  const values = valuesOf(t, snapshots[0])
  t.deepEqual(values.energy, { import: 1_000_000n, export: 2_000_000n })
  t.deepEqual(values.words, [0x447a, 0, 0x44fa, 0])
  t.is(values.resolutionWh, 1)
  t.is(values.powerW, 1500)
  t.is(values.serial, '4711')
  t.is(snapshots[0]?.clockStatus, 'S')
  t.deepEqual(bus.requests[0], {
    unitId: 1,
    functionCode: 4,
    address: 0x48,
    count: 4,
    maxCount: 80,
    minGapMs: 0,
    priority: 'first',
  })
  t.is(bus.requests.filter(isEnergy).length, 1)
})

test('polls fall on multiples of the interval, neighbours of a bus one after the other', async (t) => {
  const { scheduler, snapshots } = rig(t, { meters: [{}, {}, { intervalSeconds: 20 }] })
  await scheduler.advance(120_600)
  const times = (id: string) =>
    snapshots.filter(({ meterId }) => meterId === id).map(({ takenAt }) => takenAt - epochMs)
  t.deepEqual(times('m0'), [0, 60_000, 120_000])
  t.deepEqual(times('m1'), [250, 60_250, 120_250])
  t.deepEqual(times('m2'), [500, 20_500, 40_500, 60_500, 80_500, 100_500, 120_500])
})

test('a read that failed leaves a gap, not an old value', async (t) => {
  const { scheduler, bus, snapshots, takenAtMs } = rig(t)
  await scheduler.advance(119_000)
  bus.fault = () => timeout()
  await scheduler.advance(60_000)
  bus.fault = () => undefined
  await scheduler.advance(60_000)
  t.deepEqual(takenAtMs(), [0, 60_000, 120_000, 180_000])
  t.deepEqual(
    snapshots.map(({ outcome }) => outcome.ok),
    [true, true, false, true],
  )
  t.deepEqual(Object.keys(snapshots[2]!.outcome), ['ok', 'error'])
})

test('the time is when the answer arrives, and a poll that would overtake the last one is left out', async (t) => {
  const { scheduler, bus, takenAtMs, snapshots } = rig(t)
  const read = bus.read.bind(bus)
  let delayMs = 0
  bus.read = async (request) => {
    await new Promise<void>((resolve) => scheduler.after(isEnergy(request) ? delayMs : 0, resolve))
    return read(request)
  }
  await scheduler.advance(30_000)
  delayMs = 150_000
  await scheduler.advance(60_000)
  delayMs = 0
  await scheduler.advance(180_000)
  // Asked at 60 s; 120 s and 180 s found it under way; nothing is caught up at 210 s.
  t.deepEqual(takenAtMs(), [0, 210_000, 240_000])
  t.true(snapshots.every(({ outcome }) => outcome.ok))
})

test('a power that cannot be read spoils nothing, and is left alone for an hour', async (t) => {
  const { scheduler, bus, snapshots } = rig(t)
  bus.fault = (request) => (isPower(request) ? timeout() : undefined)
  await scheduler.advance(3_600_000)
  t.true(snapshots.every(({ outcome }) => outcome.ok && outcome.powerW === undefined))
  t.is(bus.requests.filter(isPower).length, 3)
  bus.fault = () => undefined
  await scheduler.advance(300_000)
  t.is(valuesOf(t, snapshots.at(-1)).powerW, 1500)
})

test('a serial number that the meter does not have is asked for once an hour', async (t) => {
  const { scheduler, bus, snapshots } = rig(t)
  bus.fault = (request) => (isSerial(request) ? new WattError('bus/exception', 'exception 2') : undefined)
  await scheduler.advance(7_190_000)
  t.true(snapshots.every(({ outcome }) => outcome.ok && outcome.serial === undefined && outcome.powerW === 1500))
  t.is(bus.requests.filter(isSerial).length, 2)
})

test('the serial number is read at least hourly, and never repeated in between', async (t) => {
  const { scheduler, snapshots } = rig(t)
  await scheduler.advance(4 * 3_600_000)
  const times = snapshots.filter(({ outcome }) => outcome.ok && outcome.serial === '4711').map(({ takenAt }) => takenAt)
  t.true(times.length >= 4 && times.length <= 6)
  for (const [i, time] of times.entries()) if (i > 0) t.true(time - times[i - 1]! <= 3_600_000)
})

test('a serial number that is garbage once is told, and put right at the next poll', async (t) => {
  const { scheduler, meter, snapshots } = rig(t)
  meter.serial = 8888
  await scheduler.advance(0)
  meter.serial = 4711
  await scheduler.advance(180_000)
  const told = snapshots.map(({ outcome }) => outcome.ok && outcome.serial)
  t.deepEqual(told.slice(0, 4), ['8888', '4711', '4711', undefined])
})

test('a meter swapped during a silence, or behind a replugged bus, shows its serial number at once', async (t) => {
  const { scheduler, bus, meter, snapshots } = rig(t)
  await scheduler.advance(60_000)
  bus.fault = () => timeout()
  await scheduler.advance(60_000)
  bus.fault = () => undefined
  meter.serial = 4712
  await scheduler.advance(60_000)
  t.is(valuesOf(t, snapshots.at(-1)).serial, '4712')
  await scheduler.advance(120_000)
  t.is(valuesOf(t, snapshots.at(-1)).serial, undefined)
  meter.serial = 4713
  bus.connections++
  await scheduler.advance(60_000)
  t.is(valuesOf(t, snapshots.at(-1)).serial, '4713')
})

test('registers that are not there end in the error of the bus, out of range in a reading error', async (t) => {
  const missing = rig(t, { image: () => undefined })
  await missing.scheduler.advance(0)
  t.like(missing.snapshots[0]?.outcome, { ok: false, error: { code: 'bus/exception' } })
  const infinite = rig(t, { image: (_request, address) => (address % 2 === 0 ? 0x7f80 : 0) })
  await infinite.scheduler.advance(0)
  t.like(infinite.snapshots[0]?.outcome, { ok: false, error: { code: 'reading/out-of-range' } })
})

test('only the directions asked for are read', async (t) => {
  const { scheduler, snapshots, bus } = rig(t, { meters: [{ directions: ['export'] }] })
  await scheduler.advance(0)
  t.deepEqual(valuesOf(t, snapshots[0]).energy, { export: 2_000_000n })
  t.like(bus.requests[0], { address: 0x4a, count: 2 })
})

/** A meter with every register of the SDM630, all at 230 V, 230 A and so on. */
function fullImage(request: ReadRequest, address: number): number | undefined {
  const quantity = sdm630.quantities.find(
    (q) => q.functionCode === request.functionCode && address >= q.address && address < q.address + 2,
  )
  if (quantity === undefined) return request.functionCode === 4 && address < 400 ? 0 : undefined
  return encodeQuantity(230, quantity)[address - quantity.address]
}

test('the other values come at their own pace, are told once with the next snapshot, and ask for few requests', async (t) => {
  const { scheduler, snapshots, values, bus } = rig(t, {
    meters: [{ intervalSeconds: 60, valuesIntervalSeconds: 120 }],
    image: fullImage,
  })
  await scheduler.advance(59_000)
  t.is(values.length, 1)
  const [first] = values
  t.deepEqual(
    first?.list.filter(({ measurand }) => measurand === 'Voltage'),
    ['L1', 'L2', 'L3'].map((phase) => ({ measurand: 'Voltage', phase, value: 230 })),
  )
  t.is(first?.list.length, 18)
  t.is(bus.requests.filter(({ priority }) => priority === 'last').length, 3)
  t.is(snapshots[0]?.values, undefined)
  await scheduler.advance(600_000)
  const told = snapshots.flatMap((snapshot) => snapshot.values ?? [])
  t.deepEqual(told, values)
  t.is(told.length, 6)
  const withValues = snapshots.filter((snapshot) => snapshot.values !== undefined).slice(1)
  t.true(withValues.every(({ takenAt, values }) => takenAt - values!.takenAt <= 5000))
})

test('a silent meter is not asked for its other values, and they are not told again', async (t) => {
  const { scheduler, bus, snapshots, values } = rig(t, { meters: [{ valuesIntervalSeconds: 10 }], image: fullImage })
  await scheduler.advance(59_000)
  const [read] = [values.length]
  bus.fault = () => timeout()
  await scheduler.advance(60_000)
  bus.requests.length = 0
  await scheduler.advance(59_000)
  t.true(bus.requests.every(({ priority }) => priority !== 'last'))
  t.true(values.length <= read + 1)
  await scheduler.advance(120_000)
  t.is(snapshots.at(-1)?.values, undefined)
})

test('without an interval of their own the other values are never read', async (t) => {
  const { scheduler, bus, values } = rig(t, { meters: [{ valuesIntervalSeconds: 0 }, {}], image: fullImage })
  await scheduler.advance(600_000)
  t.is(values.length, 0)
  t.true(bus.requests.every(({ priority }) => priority !== 'last'))
})

test('no snapshot comes after stop', async (t) => {
  const { scheduler, poller, snapshots } = rig(t)
  await scheduler.advance(60_000)
  poller.stop()
  await scheduler.advance(600_000)
  t.is(snapshots.length, 2)
})

test('a wall clock that is set causes neither a burst nor a long gap', async (t) => {
  const { scheduler, wall, snapshots } = rig(t)
  const monotonicMs: number[] = []
  for (const stepMs of [0, 3_600_000, -7_200_000, 29_000, -31_000, 86_400_000]) {
    wall.stepMs += stepMs
    const before = snapshots.length
    await scheduler.advance(300_000)
    monotonicMs.push(snapshots.length - before)
  }
  for (const count of monotonicMs) t.true(count >= 4 && count <= 6, `${count} polls in 5 minutes`)
})

test('the next slot is between half an interval and one and a half away, whatever the clock says', (t) => {
  const interval = fc.integer({ min: 200, max: 86_400_000 })
  const now = fc.integer({ min: 0, max: 4e12 })
  fc.assert(
    fc.property(now, interval, fc.double({ min: 0, max: 1, noNaN: true }), (nowMs, intervalMs, share) => {
      const delayMs = nextDelayMs(nowMs, { intervalMs, offsetMs: share * intervalMs })
      t.true(delayMs >= intervalMs / 2 - 1 && delayMs <= intervalMs * 1.5 + 1)
    }),
  )
})

test('four weeks of three meters with faults: no reading twice, none old, none missing where the meter answered', async (t) => {
  const { scheduler, bus, meter, snapshots } = rig(t, { meters: [{}, {}, {}] })
  let asked = 0
  let failed = 0
  bus.fault = (request) => {
    if (!isEnergy(request)) return undefined
    meter.importWh++
    asked++
    const fails = asked % 97 < 3
    failed += fails ? 1 : 0
    return fails ? timeout() : undefined
  }
  const days = 28
  await scheduler.advance(days * 86_400_000 - 1000)
  t.is(snapshots.length, days * 1440 * 3)
  t.is(asked, snapshots.length)
  const read = snapshots.flatMap(({ outcome }) => (outcome.ok ? [outcome.energy.import!] : []))
  t.is(read.length, asked - failed)
  t.is(new Set(read).size, read.length)
})

test('a meter with two powers that have no sign tells none of them as its power', async (t) => {
  const profile = findProfile(profiles, 'dzg-dvh4013')
  const { scheduler, snapshots } = rig(t, { image: () => 1, profile, meters: [{ directions: ['import'] }] })
  await scheduler.advance(0)
  t.is(valuesOf(t, snapshots[0]).powerW, undefined)
})
