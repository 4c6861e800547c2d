import test from 'ava'
import { toLineTiming } from './line-timing.ts'
import type { Answer } from './pdu.ts'
import { encodeRtuFrame, hasValidCrc } from './rtu-frame.ts'
import { RtuServer } from './rtu-server.ts'
import { VirtualTimers } from './virtual-timers.ts'

const request = encodeRtuFrame(1, Uint8Array.of(4, 0, 72, 0, 4))
const answerPdu = Uint8Array.of(4, 8, 1, 2, 3, 4, 5, 6, 7, 8)
const pace = { ...toLineTiming({ baudRate: 9600, parity: 'none', stopBits: 1 }), turnaroundMs: 5 }

function rig(change: Partial<Answer> = {}, settings: { paced: boolean } = { paced: true }) {
  const timers = new VirtualTimers()
  const asked: number[] = []
  const written: { atMs: number; bytes: Uint8Array }[] = []
  const server = new RtuServer({
    timers,
    ...(settings.paced ? { pace } : {}),
    write: (bytes) => written.push({ atMs: timers.now(), bytes }),
    answer: (unitId) => {
      asked.push(unitId)
      return unitId === 1 ? { pdu: answerPdu, delayMs: 0, ...change } : undefined
    },
  })
  return { server, timers, asked, written, all: () => Buffer.concat(written.map(({ bytes }) => bytes)) }
}

test('a frame with a bad CRC is never answered, and the next good one is', (t) => {
  const { server, timers, asked, all } = rig()
  for (let at = 0; at < request.length; at += 1) {
    server.receive(request.map((byte, i) => (i === at ? byte ^ 0x10 : byte)))
    timers.advance(1000)
  }
  t.deepEqual(asked, [])
  server.receive(request)
  timers.advance(1000)
  t.deepEqual(all(), Buffer.from(encodeRtuFrame(1, answerPdu)))
})

test('a broadcast and a foreign unit id get no answer', (t) => {
  const { server, timers, asked, written } = rig()
  server.receive(encodeRtuFrame(0, Uint8Array.of(4, 0, 72, 0, 4)))
  server.receive(encodeRtuFrame(9, Uint8Array.of(4, 0, 72, 0, 4)))
  timers.advance(1000)
  t.deepEqual(asked, [9])
  t.deepEqual(written, [])
})

test('an answer comes no sooner and no faster than the line carries it', (t) => {
  const { server, timers, written, all } = rig()
  server.receive(request)
  timers.advance(1000)
  const characterMs = 10_000 / 9600
  const readyMs = request.length * characterMs + Math.max(3.5 * characterMs, 5)
  let sent = 0
  for (const { atMs, bytes } of written) {
    sent += bytes.length
    t.true(atMs >= readyMs + sent * characterMs - 1e-6, `byte ${sent} at ${atMs}`)
  }
  t.is(all().length, answerPdu.length + 3)
})

test('two answers never share the line', (t) => {
  const { server, timers, written } = rig()
  server.receive(request)
  server.receive(request)
  timers.advance(1000)
  const length = answerPdu.length + 3
  const times = written.flatMap(({ atMs, bytes }) => Array.from(bytes, () => atMs))
  t.is(times.length, 2 * length)
  t.true(times[length]! - times[length - 1]! >= pace.silenceMs)
})

test('a request that arrives byte by byte is one request', (t) => {
  const { server, timers, asked } = rig()
  for (const byte of request) {
    server.receive(Uint8Array.of(byte))
    timers.advance(1.1)
  }
  timers.advance(1000)
  t.deepEqual(asked, [1])
})

test('a request that is cut by a silence is none', (t) => {
  const { server, timers, asked } = rig()
  server.receive(request.subarray(0, 5))
  timers.advance(30)
  server.receive(request.subarray(5))
  timers.advance(1000)
  t.deepEqual(asked, [])
})

test('a late answer comes late, also when nobody waits any more', (t) => {
  const { server, timers, written, all } = rig({ delayMs: 500 })
  server.receive(request)
  timers.advance(499)
  t.deepEqual(written, [])
  timers.advance(1000)
  t.true(hasValidCrc(all()))
})

test('damage shows on the line', (t) => {
  const damaged = (damage: NonNullable<Answer['damage']>) => {
    const { server, timers, all } = rig({ damage })
    server.receive(request)
    timers.advance(1000)
    return all()
  }
  const whole = encodeRtuFrame(1, answerPdu)
  t.is(damaged('crc').length, whole.length)
  t.false(hasValidCrc(damaged('crc')))
  t.deepEqual(damaged('truncated'), Buffer.from(whole.subarray(0, 7)))
  t.deepEqual(damaged('noise').subarray(3), Buffer.from(whole))
})

test('without a line there is no pace', (t) => {
  const { server, timers, all } = rig({}, { paced: false })
  server.receive(request)
  timers.advance(0)
  t.is(all().length, answerPdu.length + 3)
})

test('a closed server writes nothing more', (t) => {
  const { server, timers, written } = rig()
  server.receive(request)
  server.close()
  timers.advance(1000)
  t.deepEqual(written, [])
})

test('t3.5 is 3.5 characters, and fixed above 19,200 baud', (t) => {
  t.is(toLineTiming({ baudRate: 9600, parity: 'even', stopBits: 1 }).silenceMs, 3.5 * (11_000 / 9600))
  t.is(toLineTiming({ baudRate: 9600, parity: 'none', stopBits: 2 }).characterMs, 11_000 / 9600)
  t.is(toLineTiming({ baudRate: 115_200, parity: 'none', stopBits: 1 }).silenceMs, 1.75)
})
