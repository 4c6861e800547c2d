import { encodeEnergy, encodeQuantity, type MeterProfile, type Timestamp, WattError } from '@wattline/protocol'
import type { ExecutionContext } from 'ava'
import type { ReadRequest } from '../src/modbus/bus.ts'
import { FakeBus } from '../src/modbus/fake-bus.ts'
import { FakeScheduler } from '../src/modbus/fake-scheduler.ts'
import type { MeterValues } from '../src/modbus/meter-reader.ts'
import type { OtherValues } from '../src/modbus/other-values.ts'
import { type MeterSnapshot, type PolledMeter, startPoller } from '../src/modbus/poller.ts'
import { defaultProfileFolder, findProfile, loadProfiles } from '../src/modbus/profiles.ts'

export const profiles = loadProfiles(defaultProfileFolder())
export const sdm630 = findProfile(profiles, 'eastron-sdm630')
export const sunspec = findProfile(profiles, 'sunspec-meter-203')
// A whole minute, so that slots of a minute fall on whole minutes of virtual time.
export const epochMs = 1_800_000_000_000

export const timeout = () => new WattError('bus/timeout', 'no answer', { retryable: true })
export const isEnergy = (request: ReadRequest) => request.functionCode === 4 && request.address === 0x48
export const isPower = (request: ReadRequest) => request.address === 0x34
export const isSerial = (request: ReadRequest) => request.address === 0xfc00

/** A meter of the SDM630's map, whose registers tests move. */
export class Image {
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

export const quantities = ['Energy.Active.Import.Register', 'Energy.Active.Export.Register', 'Power.Active.Import'].map(
  (name) => sdm630.quantities.find((q) => q.measurand === name && q.phase === undefined),
)

interface RigOptions {
  readonly meters?: readonly Partial<PolledMeter>[]
  readonly image?: (request: ReadRequest, address: number) => number | undefined
  readonly profile?: MeterProfile
}

export function rig(t: ExecutionContext, { meters = [{}], image, profile = sdm630 }: RigOptions = {}) {
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

export function valuesOf(t: ExecutionContext, snapshot: MeterSnapshot | undefined): MeterValues {
  const outcome = snapshot?.outcome
  if (outcome?.ok !== true) throw t.fail(`no values: ${outcome?.error.message}`)
  return outcome
}
