import { WattError } from '@wattline/protocol'
import test from 'ava'
import { BlockReader } from './block-reader.ts'
import type { ReadRequest } from './bus.ts'
import { FakeBus } from './fake-bus.ts'
import { FakeScheduler } from './fake-scheduler.ts'
import type { Span } from './planner.ts'

const at = (address: number): Span => ({ functionCode: 4, address, count: 2 })
const places = [0, 2, 4, 6, 8, 10, 12, 14, 16, 30, 38, 70]
const items = places.map(at)

interface RigOptions {
  readonly maxRegisters?: number
  readonly fault?: (request: ReadRequest) => WattError | undefined
}

function rig({ maxRegisters = 80, fault = () => undefined }: RigOptions = {}) {
  const scheduler = new FakeScheduler()
  const bus = new FakeBus((_request, address) => address)
  bus.fault = fault
  const reader = new BlockReader({ bus, unitId: 1, maxRegisters, minGapMs: 0, scheduler })
  const round = async () => {
    bus.requests.length = 0
    const outcomes = await reader.read(items)
    return items.map((item) => {
      const outcome = outcomes.get(item)
      return outcome?.ok ? outcome.words.join() : (outcome?.error.code ?? 'nothing')
    })
  }
  return { scheduler, bus, reader, round, asked: () => bus.requests.map(({ address, count }) => [address, count]) }
}

const refused = () => new WattError('bus/exception', 'exception 2 (illegal data address)')
const timeout = () => new WattError('bus/timeout', 'no answer', { retryable: true })
const all = places.map((address) => `${address},${address + 1}`)

test('neighbours share a request, also across a hole that is cheaper than another; each gets its own words', async (t) => {
  const { round, asked, bus } = rig()
  t.deepEqual(await round(), all)
  t.deepEqual(asked(), [
    [0, 18],
    [30, 10],
    [70, 2],
  ])
  t.true(bus.requests.every(({ priority, maxCount }) => priority === 'last' && maxCount === 80))
})

test('a meter that takes ten registers is found out once, and loses nothing meanwhile', async (t) => {
  const { round, bus } = rig({ fault: ({ count }) => (count > 10 ? refused() : undefined) })
  for (let i = 0; i < 4; i++) t.deepEqual(await round(), all)
  t.deepEqual(await round(), all)
  t.true(bus.requests.every(({ count, maxCount }) => count <= 10 && maxCount === 10))
  t.is(bus.requests.length, 4)
})

test('a hole that the meter refuses is read around from then on', async (t) => {
  const reaches = ({ address, count }: ReadRequest, register: number) =>
    address <= register && address + count > register
  const { round, asked } = rig({ fault: (request) => (reaches(request, 34) ? refused() : undefined) })
  t.deepEqual(await round(), all)
  t.deepEqual(await round(), all)
  t.deepEqual(asked(), [
    [0, 18],
    [30, 2],
    [38, 2],
    [70, 2],
  ])
})

test('a value that the meter does not have is absent, spoils no other, and is asked for again in an hour', async (t) => {
  const { round, bus, scheduler } = rig({
    fault: ({ address, count }) => (address <= 7 && address + count > 7 ? refused() : undefined),
  })
  const expected = all.with(3, 'bus/exception')
  t.deepEqual(await round(), expected)
  await round()
  t.deepEqual(await round(), expected)
  t.false(bus.requests.some(({ address, count }) => address <= 7 && address + count > 7))
  bus.fault = () => undefined
  t.deepEqual(await round(), expected)
  await scheduler.advance(3_600_000)
  t.deepEqual(await round(), all)
})

test('a meter that falls silent is not asked for the rest', async (t) => {
  const { round, bus } = rig({ fault: ({ address }) => (address >= 30 ? timeout() : undefined) })
  t.deepEqual(await round(), [...all.slice(0, 9), 'bus/timeout', 'bus/timeout', 'bus/timeout'])
  t.is(bus.requests.length, 2)
})

test('a meter that is silent where it should refuse is found out too', async (t) => {
  const { round, bus } = rig({ fault: ({ count }) => (count > 10 ? timeout() : undefined) })
  for (let i = 0; i < 12; i++) await round()
  t.deepEqual(await round(), all)
  t.true(bus.requests.every(({ count }) => count <= 10))
})

test('a meter that pleads failure where it should refuse is found out too', async (t) => {
  const failure = () => new WattError('bus/exception', 'exception 4 (server device failure)', { retryable: true })
  const { round } = rig({ fault: ({ address }) => (address === 0 ? failure() : undefined) })
  for (let i = 0; i < 8; i++) await round()
  t.deepEqual(await round(), all.with(0, 'bus/exception'))
})

test('what a line has taught is doubted after a day', async (t) => {
  const { round, bus, scheduler } = rig({ fault: ({ count }) => (count > 10 ? refused() : undefined) })
  for (let i = 0; i < 4; i++) await round()
  bus.fault = () => undefined
  await round()
  t.is(bus.requests.length, 4)
  await scheduler.advance(86_400_000)
  await round()
  t.is(bus.requests.length, 3)
})

test('after a reset everything is tried again', async (t) => {
  const { round, bus, reader } = rig({ fault: ({ count }) => (count > 10 ? refused() : undefined) })
  for (let i = 0; i < 4; i++) await round()
  bus.fault = () => undefined
  reader.reset()
  await round()
  t.is(bus.requests.length, 3)
})
