import test from 'ava'
import fc from 'fast-check'
import { decodeMbap, encodeMbap, toRtuAnswer } from './mbap-framing.ts'
import { characterMs, crc16, findAnswer, type SerialFormat, silenceMs, withCrc } from './rtu-framing.ts'

const format = (baudRate: number, parity: SerialFormat['parity'] = 'none', stopBits: 1 | 2 = 1): SerialFormat => ({
  baudRate,
  parity,
  stopBits,
})
const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))
const expected = fc.record({
  unitId: fc.integer({ min: 1, max: 247 }),
  functionCode: fc.constantFrom(3, 4),
  count: fc.integer({ min: 1, max: 125 }),
})
const answer = expected.chain((wanted) =>
  fc.uint8Array({ minLength: 2 * wanted.count, maxLength: 2 * wanted.count }).map((content) => ({
    wanted,
    frame: withCrc(Buffer.from([wanted.unitId, wanted.functionCode, 2 * wanted.count, ...content])),
  })),
)

test('Modbus over Serial Line appendix B: the CRC of the specification and of a known frame', (t) => {
  t.is(crc16(Buffer.from([0x02, 0x07])), 0x1241)
  t.is(withCrc(Buffer.from('010300000002', 'hex')).toString('hex'), '010300000002c40b')
})

test('a character counts its parity and stop bits', (t) => {
  t.is(characterMs(format(1000)), 10)
  t.is(characterMs(format(1000, 'even')), 11)
  t.is(characterMs(format(1000, 'odd', 2)), 12)
})

test('Modbus over Serial Line 2.5.1.1: silence is 3.5 characters, and 1.75 ms above 19200 baud', (t) => {
  t.is(silenceMs(format(9600)).toFixed(3), '3.646')
  t.is(silenceMs(format(9600, 'even')).toFixed(3), '4.010')
  t.is(silenceMs(format(19_200, 'none', 2)).toFixed(3), '2.005')
  t.is(silenceMs(format(38_400)), 1.75)
  t.is(silenceMs(format(115_200, 'even')), 1.75)
})

test('RTU: an answer is found whole, behind anything, and only when it is complete', (t) => {
  fc.assert(
    fc.property(answer, bytes(40), ({ wanted, frame }, noise) => {
      const line = Buffer.concat([noise, frame])
      t.deepEqual(findAnswer(line, wanted), frame)
      t.is(findAnswer(line.subarray(0, -1), wanted), undefined)
    }),
  )
})

test('RTU: an answer with another unit, function, byte count or any flipped bit is none', (t) => {
  fc.assert(
    fc.property(answer, fc.nat(), ({ wanted, frame }, at) => {
      t.is(findAnswer(frame, { ...wanted, unitId: wanted.unitId + 1 }), undefined)
      t.is(findAnswer(frame, { ...wanted, functionCode: wanted.functionCode ^ 7 }), undefined)
      t.is(findAnswer(frame, { ...wanted, count: wanted.count + 1 }), undefined)
      const flipped = Buffer.from(frame)
      const bit = at % (8 * frame.length)
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      t.is(findAnswer(flipped, wanted), undefined)
    }),
  )
})

test('RTU: random bytes are read without an exception, and are no answer', (t) => {
  fc.assert(fc.property(bytes(600), expected, (line, wanted) => findAnswer(line, wanted) === undefined))
  t.pass()
})

test('MBAP: a message is taken off the stream whole, and the rest stays', (t) => {
  const body = fc.uint8Array({ minLength: 3, maxLength: 254 })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff }), body, bytes(20), (transactionId, content, rest) => {
      const message = encodeMbap(transactionId, content)
      const result = decodeMbap(Buffer.concat([message, rest]))
      t.deepEqual(result, { kind: 'message', message: { transactionId, body: Buffer.from(content) }, rest })
      t.is(decodeMbap(message.subarray(0, -1)).kind, 'incomplete')
    }),
  )
})

test('MBAP: random bytes are read without an exception', (t) => {
  fc.assert(
    fc.property(bytes(300), expected, (stream, wanted) => {
      const result = decodeMbap(stream)
      if (result.kind === 'message') toRtuAnswer(result.message.body, wanted)
    }),
  )
  t.pass()
})

test('MBAP: what is no answer to the request is told apart', (t) => {
  const wanted = { unitId: 1, functionCode: 4, count: 2 }
  t.true(Buffer.isBuffer(toRtuAnswer(Buffer.from([1, 4, 4, 0, 1, 0, 2]), wanted)))
  t.true(Buffer.isBuffer(toRtuAnswer(Buffer.from([1, 0x84, 2]), wanted)))
  t.is(toRtuAnswer(Buffer.from([2, 4, 4, 0, 1, 0, 2]), wanted), 'unit 1 expected, got 2')
  t.is(toRtuAnswer(Buffer.from([1, 3, 4, 0, 1, 0, 2]), wanted), 'function 4 expected, got 3')
  t.is(toRtuAnswer(Buffer.from([1, 4, 2, 0, 1]), wanted), 'byte count 4 expected, got 2 with 2 bytes')
  t.is(toRtuAnswer(Buffer.from([1, 4, 4, 0, 1]), wanted), 'byte count 4 expected, got 4 with 2 bytes')
})
