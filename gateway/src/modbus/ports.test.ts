import type { WattError } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import ModbusSerial from 'modbus-serial'
import { FakeScheduler } from './fake-scheduler.ts'
import { encodeMbap } from './mbap-framing.ts'
import { MbapPort } from './mbap-port.ts'
import { silenceMs, withCrc } from './rtu-framing.ts'
import { RtuPort } from './rtu-port.ts'

const format = { baudRate: 9600, parity: 'none', stopBits: 1 } as const
const request = withCrc(Buffer.from([7, 4, 0, 72, 0, 2]))
const answer = withCrc(Buffer.from([7, 4, 4, 0, 1, 0, 2]))

function rtuRig(reconnectAfterSilence = false) {
  const scheduler = new FakeScheduler()
  const sent: { atMs: number; frame: Buffer }[] = []
  const data: Buffer[] = []
  const write = (frame: Uint8Array) => void sent.push({ atMs: scheduler.now(), frame: Buffer.from(frame) })
  const port = new RtuPort({ link: { write, clear: async () => {} }, format, scheduler, reconnectAfterSilence })
  port.on('data', (frame: Buffer) => data.push(frame))
  return { scheduler, sent, data, port }
}

function mbapRig() {
  const data: Buffer[] = []
  const faults: WattError[] = []
  let id = 0
  const port = new MbapPort({
    link: { write: () => {}, clear: async () => {} },
    nextTransactionId: () => ++id,
    onFault: (error) => faults.push(error),
  })
  port.on('data', (frame: Buffer) => data.push(frame))
  return { port, data, faults }
}

test('RTU: the next request waits for 3.5 characters of silence after the last byte', async (t) => {
  const { scheduler, sent, port } = rtuRig()
  port.write(request)
  await scheduler.advance(50)
  port.receive(answer)
  const receivedAt = scheduler.now()
  const second = port.prepare().then(() => port.write(request))
  await scheduler.advance(2)
  port.receive(Buffer.from([0]))
  await scheduler.advance(20)
  await second
  t.true((sent[1]?.atMs ?? 0) >= receivedAt + 2 + silenceMs(format))
})

test('RTU: a line that never falls silent ends in bus/frame', async (t) => {
  const { scheduler, port } = rtuRig()
  port.receive(Buffer.from([0]))
  const prepared = t.throwsAsync(port.prepare(), { code: 'bus/frame' })
  for (let i = 0; i < 600; i++) {
    await scheduler.advance(2)
    port.receive(Buffer.from([0x55]))
  }
  await scheduler.advance(10)
  await prepared
})

test('RTU: an answer is handed on once; what comes unasked, never', async (t) => {
  const { data, port } = rtuRig()
  port.receive(answer)
  port.write(request)
  port.receive(answer.subarray(0, 4))
  port.receive(answer.subarray(4))
  port.receive(answer)
  t.deepEqual(data, [answer])
})

test('RTU: a late answer is seen while draining and not handed on', async (t) => {
  const { scheduler, data, port } = rtuRig()
  port.write(request)
  await scheduler.advance(100)
  const givenUp = port.giveUp(80)
  await scheduler.advance(40)
  port.receive(answer)
  await scheduler.advance(20)
  t.deepEqual(await givenUp, { lateMs: 140, reconnect: false })
  port.write(request)
  t.deepEqual(data, [])
})

test('RTU: draining lasts until silence, however long the bytes trickle, but not for ever', async (t) => {
  const { scheduler, port } = rtuRig(true)
  port.write(request)
  const startedAt = scheduler.now()
  let endedAt = 0
  const givenUp = port.giveUp(50).then((result) => {
    endedAt = scheduler.now()
    return result
  })
  for (let i = 0; i < 20; i++) {
    await scheduler.advance(20)
    port.receive(Buffer.from([1]))
  }
  await scheduler.advance(100)
  t.deepEqual(await givenUp, { reconnect: true })
  t.true(endedAt - startedAt >= 450)
})

test('RTU: an echo of the request is nothing received', (t) => {
  const { port } = rtuRig()
  port.write(request)
  port.receive(request)
  t.is(port.received().length, 0)
  port.receive(Buffer.from([9]))
  t.deepEqual(port.received(), Buffer.from([9]))
})

test('RTU: random bytes between requests never throw and never become an answer', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 }), (chunks) => {
      const { data, port } = rtuRig()
      port.write(request)
      for (const chunk of chunks) port.receive(Buffer.from(chunk))
      t.is(data.length, 0)
      port.receive(answer)
      t.deepEqual(data, [answer])
    }),
  )
})

test('MBAP: random bytes never throw and never become an answer', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 }), (chunks) => {
      const { port, data, faults } = mbapRig()
      port.write(request)
      for (const chunk of chunks) port.receive(Buffer.from(chunk))
      t.is(data.length, 0)
      t.true(faults.length <= 1)
    }),
  )
})

test('MBAP: the answer with the right transaction id is handed on, one that nobody asked for ends the stream', (t) => {
  const { port, data, faults } = mbapRig()
  port.write(request)
  port.receive(encodeMbap(1, answer.subarray(0, -2)))
  t.deepEqual(data, [answer])
  t.is(faults.length, 0)
  port.receive(encodeMbap(1, answer.subarray(0, -2)))
  t.is(faults[0]?.code, 'bus/frame')
  t.false(port.isOpen)
  port.receive(encodeMbap(1, answer.subarray(0, -2)))
  t.is(data.length, 1)
})

test('only function codes 3 and 4 can leave a port, whatever modbus-serial is asked to send', (t) => {
  const rtu = rtuRig()
  const frames: number[] = []
  const link = { write: (frame: Uint8Array) => void frames.push(frame[7] ?? 0), clear: async () => {} }
  const mbap = new MbapPort({ link, nextTransactionId: () => 1, onFault: () => {} })
  for (const port of [rtu.port, mbap]) {
    const client = new ModbusSerial.default(port)
    client.open()
    const done = () => {}
    const writes = [
      () => client.writeFC1(1, 0, 1, done),
      () => client.writeFC5(1, 0, true, done),
      () => client.writeFC6(1, 0, 7, done),
      () => client.writeFC15(1, 0, [true], done),
      () => client.writeFC16(1, 0, [7], done),
    ]
    for (const write of writes) t.throws(write, { message: /is not a read/ })
    client.writeFC3(1, 0, 1, done)
    client.writeFC4(1, 0, 1, done)
  }
  t.deepEqual(
    rtu.sent.map(({ frame }) => frame[1]),
    [3, 4],
  )
  t.deepEqual(frames, [3, 4])
  const anyFrame = fc.uint8Array({ minLength: 2, maxLength: 12 })
  fc.assert(
    fc.property(anyFrame, (frame) => {
      if (frame[1] === 3 || frame[1] === 4) return
      for (const port of [rtu.port, mbap]) t.throws(() => port.write(Buffer.from(frame)))
    }),
  )
  t.is(rtu.sent.length, 2)
  t.is(frames.length, 2)
})
