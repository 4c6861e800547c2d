import { readdirSync } from 'node:fs'
import {
  decodeEnergySnapshot,
  decodeQuantity,
  decodeScaleFactor,
  decodeSerial,
  findSunSpecModel,
  type MeterProfile,
  planEnergySnapshot,
  WattError,
} from '@wattline/protocol'
import test from 'ava'
import { millijoulesPerWh } from './energy-tree.ts'
import { SimMeter } from './meter.ts'
import { loadProfile } from './profiles.ts'

const ids = readdirSync(new URL('../../hardware/meters/', import.meta.url)).map((name) => name.replace('.yaml', ''))
const serialOf = (profile: MeterProfile) => (profile.serial?.type === 'uint32' ? '12345678' : 'WL-0001')

function rig(id: string, more: { sunspecBase?: number } = {}) {
  const profile = loadProfile(id)
  const flow = { powerMilliwatts: -1_500_000, importMillijoules: 0n, exportMillijoules: 0n }
  const startWh = { import: 1_234_567n, export: 16_384_000n }
  const meter = new SimMeter({ id: 'm', profile, serial: serialOf(profile), startWh, flow, seconds: () => 60, ...more })
  const read = async (functionCode: 3 | 4, address: number, count: number) => {
    const words = meter.read(functionCode, address, count)
    if (typeof words === 'number') throw new WattError('bus/exception', `exception ${words}`)
    return words
  }
  const modelAddress = async () =>
    profile.sunspec === undefined ? 0 : (await findSunSpecModel(read, profile.sunspec.model)).address
  const energies = async () => {
    const plan = planEnergySnapshot(profile, ['import', 'export'], await modelAddress())
    const snapshot = decodeEnergySnapshot(plan, await read(plan.functionCode, plan.address, plan.count))
    return [snapshot.import?.registerWh, snapshot.export?.registerWh]
  }
  return { profile, flow, meter, read, energies, modelAddress }
}

for (const id of ids) {
  test(`${id}: what the meter counted is what its registers say`, async (t) => {
    const { flow, energies } = rig(id)
    t.deepEqual(await energies(), [1_234_567n, 16_384_000n])
    flow.importMillijoules += 1000n * millijoulesPerWh
    t.deepEqual(await energies(), [1_235_567n, 16_384_000n])
  })

  test(`${id}: every momentary quantity is plausible`, async (t) => {
    const { profile, read, modelAddress } = rig(id)
    const base = await modelAddress()
    for (const quantity of profile.quantities.filter((q) => !q.measurand.startsWith('Energy.'))) {
      const words = await read(quantity.functionCode, base + quantity.address, quantity.type === 'int16' ? 1 : 2)
      const factor =
        quantity.scaleFactor === undefined
          ? 0
          : decodeScaleFactor((await read(quantity.functionCode, base + quantity.scaleFactor, 1))[0], quantity)
      const value = decodeQuantity(words, quantity, factor)
      const share = quantity.phase === undefined ? 1 : 1 / profile.phases
      const [low, high] = {
        'Power.Active.Import': [-1501 * share, -1499 * share],
        Voltage: [220, 240],
        'Current.Import': [6 * share, 7.5 * share],
        Frequency: [49.9, 50.1],
        'Power.Factor': [-1, -0.9],
      }[quantity.measurand as string] ?? [1, 0]
      t.true(value >= low! && value <= high!, `${quantity.measurand} ${quantity.phase}: ${value}`)
    }
  })

  test(`${id}: the serial number is served, and changes with the meter`, async (t) => {
    const { profile, meter, read, energies } = rig(id)
    const { serial } = profile
    if (serial === undefined) throw new Error(`${id} has no serial number`)
    const isCommon = serial.type === 'string' && serial.sunspecModel !== undefined
    const base = isCommon ? (await findSunSpecModel(read, 1)).address : 0
    const readSerial = async () =>
      decodeSerial(
        await read(serial.functionCode, base + serial.address, serial.type === 'string' ? serial.words : 2),
        serial,
      )
    t.is(await readSerial(), serialOf(profile))
    meter.swap('87654321', 10)
    t.is(await readSerial(), '87654321')
    t.deepEqual(await energies(), [10n, 10n])
  })
}

test('a SunSpec map is found wherever it begins', async (t) => {
  for (const sunspecBase of [0, 40_000, 50_000]) {
    const { energies } = rig('sunspec-meter-203', { sunspecBase })
    t.deepEqual(await energies(), [1_234_567n, 16_384_000n])
  }
})

test('float32 registers round like real meters, and lose nothing while they do', async (t) => {
  const { flow, energies } = rig('eastron-sdm630')
  flow.exportMillijoules += millijoulesPerWh
  t.deepEqual(await energies(), [1_234_567n, 16_384_002n])
  flow.exportMillijoules += 3n * millijoulesPerWh
  t.deepEqual(await energies(), [1_234_567n, 16_384_004n])
})

test('a stuck register stays while energy flows, and catches up', async (t) => {
  const { meter, flow, energies } = rig('eastron-sdm630')
  meter.setStuck(true)
  flow.importMillijoules += 50n * millijoulesPerWh
  t.deepEqual(await energies(), [1_234_567n, 16_384_000n])
  t.is(meter.registers.importMillijoules, 1_234_617n * millijoulesPerWh)
  meter.setStuck(false)
  t.deepEqual(await energies(), [1_234_617n, 16_384_000n])
})

test('a meter without values says so in its own way', async (t) => {
  // The totals of a SunSpec meter are mandatory: they have no word for it.
  for (const id of ids.filter((one) => one !== 'sunspec-meter-203')) {
    const { meter, energies } = rig(id)
    meter.setValueless(true)
    await t.throwsAsync(energies(), { message: /no value/ }, id)
  }
})

test('a register rolls over at a width, or starts again at 0', async (t) => {
  const { meter, flow, energies } = rig('eastron-sdm630')
  meter.rollOver(1_234_600)
  flow.importMillijoules += 40n * millijoulesPerWh
  t.deepEqual((await energies())[0], 7n)
  meter.rollOver(undefined)
  t.deepEqual(await energies(), [0n, 0n])
})

test('an acc32 rolls over by itself', async (t) => {
  const { meter, flow, energies } = rig('sunspec-meter-203')
  meter.swap('X', 2 ** 32 - 5)
  t.deepEqual(await energies(), [4_294_967_291n, 4_294_967_291n])
  flow.importMillijoules += 8n * millijoulesPerWh
  t.is((await energies())[0], 3n)
})

test('a jump goes ahead or back, but not below 0', async (t) => {
  const { meter, energies } = rig('eastron-sdm630')
  meter.jump(100)
  t.deepEqual((await energies())[0], 1_234_667n)
  meter.jump(-2_000_000)
  t.deepEqual(await energies(), [0n, 14_384_100n])
})

test('unnamed registers nearby read 0, far ones and too many are refused', (t) => {
  const { meter } = rig('eastron-sdm120')
  t.deepEqual(meter.read(4, 0x4c, 3), [0, 0, 0])
  t.deepEqual(meter.read(4, 2, 2), [0, 0])
  t.is(meter.read(4, 0x100, 2), 2)
  t.is(meter.read(3, 40_000, 2), 2)
  t.is(meter.read(4, 0, 81), 3)
  const sunspec = rig('sunspec-meter-203').meter
  t.is(sunspec.read(3, 39_999, 2), 2)
  t.is(sunspec.read(4, 40_000, 2), 2)
  t.is(sunspec.read(3, 40_000 + 2 + 68 + 107 + 1, 2), 2)
})

test('words that a request cuts through are the same as in the whole', (t) => {
  const { meter } = rig('eastron-sdm630')
  const whole = meter.read(4, 0x48, 4)
  t.deepEqual([meter.read(4, 0x48, 1), meter.read(4, 0x49, 3)].flat(), whole)
})
