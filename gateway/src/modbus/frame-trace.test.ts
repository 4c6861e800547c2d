import test from 'ava'
import { FakeScheduler } from './fake-scheduler.ts'
import { FrameTrace, type TracedFrame } from './frame-trace.ts'
import { withCrc } from './rtu-framing.ts'

const format = { baudRate: 10_000, parity: 'none', stopBits: 1 } as const
const request = withCrc(Buffer.from([7, 4, 0, 72, 0, 2]))
const answer = withCrc(Buffer.from([7, 4, 4, 0, 1, 0, 2]))

function rig(isLine = true) {
  const scheduler = new FakeScheduler()
  const frames: TracedFrame[] = []
  const onFrame = (frame: TracedFrame) => void frames.push(frame)
  return { scheduler, frames, trace: new FrameTrace({ scheduler, onFrame, format: isLine ? format : undefined }) }
}

test('frames are told whole, with direction, the gap before them and whether their CRC is sound', async (t) => {
  const { scheduler, frames, trace } = rig()
  trace.sent(request)
  await scheduler.advance(8 + 5 + 1)
  trace.received(answer.subarray(0, 3))
  await scheduler.advance(3)
  trace.received(answer.subarray(3))
  await scheduler.advance(4)
  trace.sent(request)
  const told = frames.map(({ direction, bytes, gapMs, crc }) => [direction, bytes.toString('hex'), gapMs, crc])
  t.deepEqual(told, [
    ['sent', request.toString('hex'), undefined, 'ok'],
    ['received', answer.toString('hex'), 5, 'ok'],
    ['sent', request.toString('hex'), 4, 'ok'],
  ])
})

test('a spoiled frame, a fragment and two frames that ran together have no sound CRC', async (t) => {
  const { scheduler, frames, trace } = rig()
  for (const bytes of [Buffer.from(answer).fill(0, 4, 5), answer.subarray(0, 4), Buffer.concat([answer, answer])]) {
    trace.received(bytes)
    await scheduler.advance(100)
  }
  t.deepEqual(
    frames.map(({ crc }) => crc),
    ['bad', 'bad', 'bad'],
  )
})

test('a line that never falls silent is told in pieces, and fills no memory', async (t) => {
  const { scheduler, frames, trace } = rig()
  for (let i = 0; i < 1000; i++) {
    trace.received(Buffer.alloc(8, 0x55))
    await scheduler.advance(1)
  }
  t.true(frames.length >= 15)
  t.true(frames.every(({ bytes }) => bytes.length < 600))
})

test('Modbus TCP has no CRC to tell', (t) => {
  const { frames, trace } = rig(false)
  trace.sent(Buffer.from([0, 1, 0, 0, 0, 6, 7, 4, 0, 72, 0, 2]))
  t.is(frames[0]?.crc, 'none')
})
