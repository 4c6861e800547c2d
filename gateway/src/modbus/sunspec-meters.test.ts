import { encodeCommonModel, encodeSunSpecMap } from '@wattline/protocol'
import test from 'ava'
import { rig, sunspec, timeout, valuesOf } from '../../test/poller-rig.ts'
import type { ReadRequest } from './bus.ts'

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

test('SunSpec: of several meters behind one unit id each is read by its number, with the serial number of its own', async (t) => {
  const part = (serial: string, importWh: number) => {
    const data = new Array<number>(105).fill(0)
    data[45] = importWh // the low word of TotWhImp, offset 46
    return [encodeCommonModel({ manufacturer: 'Any', model: 'M', version: '1', serial }), { id: 203, data }]
  }
  const words = encodeSunSpecMap([...part('SN-1', 500), ...part('SN-2', 900)])
  const { scheduler, snapshots } = rig(t, {
    image: (_request, address) => words[address - 40_000],
    profile: sunspec,
    meters: [{}, { unitId: 1, sunspecInstance: 2 }, { unitId: 1, sunspecInstance: 3 }],
  })
  await scheduler.advance(1000)
  const read = snapshots.map(({ meterId, outcome }) =>
    outcome.ok ? [meterId, outcome.energy.import, outcome.serial] : [meterId, outcome.error.code],
  )
  t.deepEqual(read, [
    ['m0', 500n, 'SN-1'],
    ['m1', 900n, 'SN-2'],
    ['m2', 'reading/not-implemented'],
  ])
})
