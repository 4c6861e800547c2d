import { readdirSync } from 'node:fs'
import {
  decodeEnergy,
  decodeEnergySnapshot,
  decodeQuantity,
  decodeScaleFactor,
  decodeSerial,
  type EnergyDirection,
  energyMeasurands,
  findSunSpecModel,
  fingerprintWords,
  fitsFingerprint,
  isEnergyTotal,
  type MeterProfile,
  planEnergySnapshot,
  type Quantity,
  registerShapes,
  registerWords,
  WattError,
} from '@wattline/protocol'
import test from 'ava'
import { millijoulesPerWh } from './energy-tree.ts'
import { SimMeter } from './meter.ts'
import { loadProfile } from './profiles.ts'

const ids = readdirSync(new URL('../../hardware/meters/', import.meta.url))
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => name.replace('.yaml', ''))
const serialOf = (profile: MeterProfile) => (profile.serial?.type === 'uint32' ? '12345678' : 'WL-0001')
const directions = ['import', 'export'] as const
// Every meter can show these exactly, also one that counts in steps of 100 Wh or in float32.
const startWh = { import: 1_234_600n, export: 16_384_000n }

function rig(id: string, more: { sunspecBase?: number; startWh?: typeof startWh } = {}) {
  const profile = loadProfile(id)
  const flow = { powerMilliwatts: -1_500_000, importMillijoules: 0n, exportMillijoules: 0n }
  const start = { import: 1_234_567n, export: 16_384_000n }
  const common = { id: 'm', profile, serial: serialOf(profile), startWh: start, flow, seconds: () => 60 }
  const meter = new SimMeter({ ...common, ...more })
  const read = async (functionCode: 3 | 4, address: number, count: number) => {
    const words = meter.read(functionCode, address, count)
    if (typeof words === 'number') throw new WattError('bus/exception', `exception ${words}`)
    return words
  }
  const modelAddress = async () =>
    profile.sunspec === undefined ? 0 : (await findSunSpecModel(read, profile.sunspec.model)).address
  const energyOf = async (direction: EnergyDirection) => {
    const has = profile.quantities.some((q) => isEnergyTotal(q) && q.measurand === energyMeasurands[direction])
    if (!has) return undefined
    const plan = planEnergySnapshot(profile, [direction], await modelAddress())
    const words = await read(plan.functionCode, plan.address, plan.count)
    return decodeEnergySnapshot(plan, words)[direction]?.registerWh
  }
  const energies = () => Promise.all(directions.map(energyOf))
  const factorOf = async ({ functionCode, scaleFactor }: Quantity, quantity: Quantity) =>
    scaleFactor === undefined
      ? 0
      : decodeScaleFactor((await read(functionCode, (await modelAddress()) + scaleFactor, 1))[0], quantity)
  /** The words of one register, and the power of ten that goes with it. */
  const readOne = async (q: Quantity) => ({
    words: await read(q.functionCode, (await modelAddress()) + q.address, registerWords(q.type)),
    factor: await factorOf(q, q),
  })
  return { profile, flow, meter, read, energies, readOne }
}

for (const id of ids) {
  test(`${id}: what the meter counted is what its registers say`, async (t) => {
    const { flow, energies, profile } = rig(id, { startWh })
    const has = (direction: EnergyDirection) =>
      profile.quantities.some((q) => isEnergyTotal(q) && q.measurand === energyMeasurands[direction])
    const served = (importWh: bigint, exportWh: bigint) => [
      has('import') ? importWh : undefined,
      has('export') ? exportWh : undefined,
    ]
    t.deepEqual(await energies(), served(1_234_600n, 16_384_000n))
    flow.importMillijoules += 1000n * millijoulesPerWh
    t.deepEqual(await energies(), served(1_235_600n, 16_384_000n))
  })

  test(`${id}: every momentary quantity is plausible`, async (t) => {
    const { profile, readOne } = rig(id)
    const splitsPower = profile.quantities.some((q) => q.measurand === 'Power.Active.Export')
    for (const quantity of profile.quantities.filter((q) => !q.measurand.startsWith('Energy.'))) {
      const { words, factor } = await readOne(quantity)
      const value = decodeQuantity(words, quantity, factor)
      const share = quantity.phase === undefined ? 1 : 1 / profile.phases
      const [low, high] = {
        'Power.Active.Import': splitsPower ? [0, 0] : [-1501 * share, -1499 * share],
        'Power.Active.Export': [1499 * share, 1501 * share],
        Voltage: [220, 240],
        'Current.Import': [6 * share, 7.5 * share],
        Frequency: [49.9, 50.1],
        'Power.Factor': registerShapes[quantity.type].kind === 'unsigned' ? [0.9, 1] : [-1, -0.9],
        SoC: [57, 57],
      }[quantity.measurand as string] ?? [1, 0]
      t.true(value >= low! && value <= high!, `${quantity.measurand} ${quantity.phase}: ${value}`)
    }
    t.pass()
  })

  test(`${id}: the serial number is served where there is one, and changes with the meter`, async (t) => {
    const { profile, meter, read } = rig(id)
    const { serial } = profile
    if (serial === undefined) return t.true(profile.notes.some((note) => /serial number/i.test(note)))
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
    return t.pass()
  })

  test(`${id}: what identifies the model is there`, async (t) => {
    const { profile, read } = rig(id)
    const fitting = await Promise.all(
      (profile.fingerprints ?? []).map(async (mark) =>
        fitsFingerprint(await read(mark.functionCode, mark.address, fingerprintWords(mark)), mark),
      ),
    )
    t.true(profile.fingerprints === undefined || fitting.includes(true))
  })

  test(`${id}: phases share what the total counts, partial counters began with the simulation`, async (t) => {
    const { profile, flow, readOne } = rig(id, { startWh })
    flow.importMillijoules += 30_000n * millijoulesPerWh
    flow.exportMillijoules += 60_000n * millijoulesPerWh
    for (const quantity of profile.quantities.filter((q) => q.measurand.startsWith('Energy.') && !isEnergyTotal(q))) {
      const { words, factor } = await readOne(quantity)
      const { registerWh, resolutionWh } = decodeEnergy(words, quantity, factor)
      const isImport = quantity.measurand.includes('Import')
      const whole = isImport ? 1_264_600 : 16_444_000
      const tariffs = [0, (whole * 2) / 3, whole / 3]
      const isPhase = quantity.phase !== undefined
      const part = isPhase ? whole / profile.phases : isImport ? 30_000 : 60_000
      const expected = quantity.tariff === undefined ? part : tariffs[quantity.tariff]!
      t.true(
        Math.abs(Number(registerWh) - expected) <= resolutionWh,
        `${quantity.measurand}: ${registerWh}, ${expected}`,
      )
    }
    t.pass()
  })
}

test('a meter that counts its export below 0 is served that way, and its serial number a character a word', async (t) => {
  const { meter, read, profile } = rig('cg-em11x', { startWh })
  const words = await read(4, 0x20, 2)
  t.is((words[1]! << 16) | words[0]! | 0, -163_840)
  meter.swap('BV1234', 10)
  t.deepEqual(await read(4, 0x5000, 7), [...'BV1234'].map((c) => c.charCodeAt(0)).concat(0))
  t.is(decodeSerial(await read(4, 0x5000, 7), profile.serial!), 'BV1234')
})

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
  for (const id of ids) {
    const { meter, energies, profile } = rig(id)
    const totals = profile.quantities.filter(isEnergyTotal)
    // The counters of some have no word for it.
    if (!totals.some((q) => q.type.startsWith('float') || q.notImplemented !== undefined)) continue
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
