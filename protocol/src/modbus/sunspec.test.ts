import test from 'ava'
import { WattError } from '../errors.ts'
import { encodeCommonModel, encodeSunSpecMap, encodeText, findSunSpecModel, type ReadRegisters } from './sunspec.ts'

const common = encodeCommonModel({ manufacturer: 'Acme', model: 'M203', version: '1.0', serial: 'A1' })
const meter = { id: 203, data: Array.from({ length: 105 }, () => 7) }

/** A device with a map at one base, that answers exception 2 elsewhere. */
function device(base: number, words: readonly number[]): ReadRegisters {
  return async (_functionCode, address, count) => {
    const found = words.slice(address - base, address - base + count)
    if (address < base || found.length < count) throw new WattError('bus/exception', 'illegal data address')
    return found
  }
}

for (const base of [40_000, 0, 50_000]) {
  test(`a model is found behind the others, map at ${base}`, async (t) => {
    const model = await findSunSpecModel(device(base, encodeSunSpecMap([common, meter])), 203)
    const front = { id: 1, address: base + 2, length: 66 }
    t.deepEqual(model, { id: 203, address: base + 2 + 68, length: 105, common: front })
  })
}

test('a base without the marker is passed over', async (t) => {
  const words = [...Array.from({ length: 50_000 }, () => 0), ...encodeSunSpecMap([meter])]
  words[40_000] = 0x5375
  t.is((await findSunSpecModel(device(0, words), 203)).address, 50_002)
})

test('a missing model is told with what was found', async (t) => {
  await t.throwsAsync(findSunSpecModel(device(40_000, encodeSunSpecMap([common])), 203), {
    message: 'SunSpec model 203 expected in the map, found 1',
  })
  await t.throwsAsync(findSunSpecModel(device(0, encodeSunSpecMap([])), 203), { message: /found none/ })
})

test('a device without a map is told so', async (t) => {
  await t.throwsAsync(findSunSpecModel(device(7, []), 203), { message: /: no SunSpec marker at 40000, 0, 50000$/ })
})

test('a chain that never ends is given up', async (t) => {
  const endless: ReadRegisters = async (_functionCode, address) => (address === 40_000 ? [0x5375, 0x6e53] : [9, 0])
  await t.throwsAsync(findSunSpecModel(endless, 203), { message: /found 9, 9.*after 128 models without an end$/ })
  const long: ReadRegisters = async (_functionCode, address) => (address === 40_000 ? [0x5375, 0x6e53] : [9, 30_000])
  await t.throwsAsync(findSunSpecModel(long, 203), { message: /found 9: .*behind the last register$/ })
})

test('a chain that is cut gives what stands before the cut, and tells where it broke for the rest', async (t) => {
  const whole = encodeSunSpecMap([common, meter])
  const cut = device(40_000, whole.slice(0, -2))
  t.is((await findSunSpecModel(cut, 203)).address, 40_070)
  await t.throwsAsync(findSunSpecModel(cut, 802), {
    message:
      'SunSpec model 802 expected in the map, found 1, 203: the chain of SunSpec models breaks off at 40177, where no model begins',
  })
})

test('a model that is there several times is taken by its number, each with the common model in front of it', async (t) => {
  const inverter = { id: 103, data: Array.from({ length: 50 }, () => 1) }
  const read = device(0, encodeSunSpecMap([common, inverter, common, meter, common, meter]))
  t.is((await findSunSpecModel(read, 103)).common?.address, 2)
  const first = await findSunSpecModel(read, 203)
  const second = await findSunSpecModel(read, 203, 2)
  t.deepEqual([first.common?.address, first.address], [122, 190])
  t.deepEqual([second.common?.address, second.address], [297, 365])
  await t.throwsAsync(findSunSpecModel(read, 203, 3), { message: /^SunSpec model 203 number 3 expected.*1, 203$/ })
})

test('a device that is busy is asked again, its chain is not taken for broken', async (t) => {
  const busy: ReadRegisters = async (_functionCode, address) => {
    if (address === 40_000) return [0x5375, 0x6e53]
    throw new WattError('bus/exception', 'device busy', { retryable: true })
  }
  await t.throwsAsync(findSunSpecModel(busy, 203), { message: 'device busy' })
})

test('a common model asked for is its own', async (t) => {
  t.is((await findSunSpecModel(device(0, encodeSunSpecMap([common])), 1)).common, undefined)
})

test('a timeout while searching is passed on, not taken for a missing map', async (t) => {
  const dead: ReadRegisters = async () => {
    throw new WattError('bus/timeout', 'no answer', { retryable: true })
  }
  await t.throwsAsync(findSunSpecModel(dead, 203), { message: 'no answer' })
})

test('a header that is cut short is refused', async (t) => {
  const short: ReadRegisters = async (_functionCode, address) => (address === 40_000 ? [0x5375, 0x6e53] : [203])
  await t.throwsAsync(findSunSpecModel(short, 203), { message: /breaks off at 40002, where no model begins/ })
})

test('the common model has the length that the specification gives', (t) => {
  t.is(common.data.length, 66)
  t.deepEqual(encodeText('AB', 2), [0x4142, 0])
})
