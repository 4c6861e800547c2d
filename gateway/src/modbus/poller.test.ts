import {
  encodeCommonModel,
  encodeEnergy,
  encodeQuantity,
  encodeSunSpecMap,
  type MeterProfile,
  type Timestamp,
  WattError,
} from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import type { ReadRequest } from './bus.ts'
import { FakeBus } from './fake-bus.ts'
import { FakeScheduler } from './fake-scheduler.ts'
import type { MeterValues } from './meter-reader.ts'
import type { OtherValues } from './other-values.ts'
import { type MeterSnapshot, nextDelayMs, type PolledMeter, startPoller } from './poller.ts'
import { defaultProfileFolder, findProfile, loadProfiles } from './profiles.ts'

const profiles = loadProfiles(defaultProfileFolder())
const sdm630 = findProfile(profiles, 'eastron-sdm630')
const sunspec = findProfile(profiles, 'sunspec-meter-203')
// A whole minute, so that slots of a minute fall on whole minutes of virtual time.
const epochMs = 1_800_000_000_000

const timeout = () => new WattError('bus/timeout', 'no answer', { retryable: true })
const isEnergy = (request: ReadRequest) => request.functionCode === 4 && request.address === 0x48
const isPower = (request: ReadRequest) => request.address === 0x34
const isSerial = (request: ReadRequest) => request.address === 0xfc00

/** A meter of the SDM630's map, whose registers tests move. */
class Image {
  importWh = 1_000_000n
  exportWh = 2_000_000n
  powerW = 1500
  serial = 4711

  word(request: ReadRequest, address: number): number | undefined {
    if (request.functionCode === 3) return { 64512: this.serial >>> 16, 64513: this.serial & 0xffff }[address]
    const energy = (wh: bigint, i: number) => encodeEnergy({ numerator: wh, denominator: 1n }, quantities[i]!)
    if (address >= 0x4a && address < 0x4c) return energy(this.exportWh, 1)[address - 0x4a]
    if (address >= 0x48 && address < 0x4a) return energy(this.importWh, 0)[address - 0x48]
    return address >= 0x34 && address < 0x36 ? encodeQuantity(this.powerW, quantities[2]!)[address - 0x34] : undefined
  }
}

const quantities = ['Energy.Active.Import.Register', 'Energy.Active.Export.Register', 'Power.Active.Import'].map(
  (name) => sdm630.quantities.find((q) => q.measurand === name && q.phase === undefined),
)

interface RigOptions {
  readonly meters?: readonly Partial<PolledMeter>[]
  readonly image?: (request: ReadRequest, address: number) => number | undefined
  readonly profile?: MeterProfile
}

function rig(t: ExecutionContext, { meters = [{}], image, profile = sdm630 }: RigOptions = {}) {
  const scheduler = new FakeScheduler()
  const meter = new Image()
  const bus = new FakeBus(image ?? ((request, address) => meter.word(request, address)))
  const wall = { stepMs: 0 }
  const clock = { now: () => (epochMs + wall.stepMs + scheduler.now()) as Timestamp, status: () => 'S' as const }
  const snapshots: MeterSnapshot[] = []
  const values: OtherValues[] = []
  const polled = meters.map((one, i) => ({
    id: `m${i}`,
    bus: 'b',
    unitId: i + 1,
    profile,
    intervalSeconds: 60,
    ...one,
  }))
  const poller = startPoller(polled, {
    buses: new Map([['b', bus]]),
    clock,
    scheduler,
    onSnapshot: (snapshot) => snapshots.push(snapshot),
    onValues: (_meterId, read) => values.push(read),
  })
  t.teardown(() => poller.stop())
  const takenAtMs = () => snapshots.map(({ takenAt }) => takenAt - epochMs)
  return { scheduler, meter, bus, wall, snapshots, values, poller, takenAtMs }
}

function valuesOf(t: ExecutionContext, snapshot: MeterSnapshot | undefined): MeterValues {
  const outcome = snapshot?.outcome
  if (outcome?.ok !== true) throw t.fail(`no values: ${outcome?.error.message}`)
  return outcome
}

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

test('a meter swapped during a silence, or behind a replugged bus, shows its serial number at once', async (t) => {
  const { scheduler, bus, meter, snapshots } = rig(t)
  await scheduler.advance(60_000)
  bus.fault = () => timeout()
  await scheduler.advance(60_000)
  bus.fault = () => undefined
  meter.serial = 4712
  await scheduler.advance(60_000)
  t.is(valuesOf(t, snapshots.at(-1)).serial, '4712')
  await scheduler.advance(60_000)
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

/** A device with model 1 and model 203, placed where the test says. */
function sunspecDevice(serial: string) {
  const data = new Array<number>(105).fill(0)
  const set = (offset: number, ...words: number[]) => data.splice(offset - 2, words.length, ...words)
  set(46, 0, 5000)
  set(38, 0, 7000)
  set(54, 0xffff) // sunssf -1
  set(18, 0xff38) // -200
  set(22, 1)
  const common = encodeCommonModel({ manufacturer: 'Any', model: 'M', version: '1', serial })
  const device = { base: 40_000, data, set, words: encodeSunSpecMap([common, { id: 203, data }]) }
  const image = (_request: ReadRequest, address: number) => device.words[address - device.base]
  return { device, image }
}

test('SunSpec: the model is found once per connection and again after an error', async (t) => {
  const { device, image } = sunspecDevice('SN-1')
  const { scheduler, bus, snapshots } = rig(t, { image, profile: sunspec })
  const searches = () => bus.requests.filter(({ address }) => [0, 40_000, 50_000].includes(address)).length
  await scheduler.advance(0)
  const values = valuesOf(t, snapshots[0])
  t.deepEqual(values.energy, { import: 500n, export: 700n })
  t.is(values.snapshot.import?.rolloverWh, 429_496_729n)
  t.is(values.powerW, -2000)
  t.is(values.serial, 'SN-1')
  t.is(searches(), 1)
  await scheduler.advance(120_000)
  t.is(searches(), 1)
  bus.fault = () => timeout()
  await scheduler.advance(60_000)
  bus.fault = () => undefined
  device.base = 50_000
  await scheduler.advance(60_000)
  t.deepEqual(valuesOf(t, snapshots.at(-1)).energy, { import: 500n, export: 700n })
  t.is(valuesOf(t, snapshots.at(-1)).serial, 'SN-1')
})

test('SunSpec: a register that is not implemented is absent, the other one is read', async (t) => {
  const { device, image } = sunspecDevice('SN-1')
  const position = device.words.length - 2 - 105 - 2 + 38
  device.words.splice(position, 2, 0, 0)
  const quantities = sunspec.quantities.map((one) =>
    one.type === 'acc32' ? { ...one, notImplemented: ['0x00000000'] } : one,
  )
  const { scheduler, snapshots } = rig(t, { image, profile: { ...sunspec, quantities } })
  await scheduler.advance(0)
  t.deepEqual(valuesOf(t, snapshots[0]).energy, { import: 500n })
})

test('SunSpec: a shorter model is refused, for behind it stand foreign registers', async (t) => {
  const words = encodeSunSpecMap([{ id: 203, data: new Array<number>(50).fill(1) }])
  const { scheduler, snapshots } = rig(t, { image: (_request, address) => words[address - 40_000], profile: sunspec })
  await scheduler.advance(0)
  t.like(snapshots[0]?.outcome, { ok: false, error: { code: 'reading/not-implemented' } })
})
