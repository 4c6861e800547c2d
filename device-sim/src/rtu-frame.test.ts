import test from 'ava'
import fc from 'fast-check'
import { crc16, encodeRtuFrame, hasValidCrc, RtuFramer } from './rtu-frame.ts'

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
const hex = (frame: Uint8Array | undefined) => frame && Buffer.from(frame).toString('hex')

test('the CRC agrees with published frames', (t) => {
  // Modbus over Serial Line V1.02 §6.2.2: 02 07 has the CRC 41 12 on the wire.
  t.is(crc16(bytes('0207')), 0x1241)
  t.is(crc16(bytes('01 03 00 00 00 0A')), 0xcdc5)
  t.is(crc16(Buffer.from('123456789')), 0x4b37)
  t.is(hex(encodeRtuFrame(1, bytes('03 0000 000A'))), '01030000000ac5cd')
})

test('a frame with any one byte changed has no valid CRC', (t) => {
  const frame = encodeRtuFrame(1, bytes('04 0048 0004'))
  fc.assert(
    fc.property(fc.nat({ max: frame.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      return !hasValidCrc(frame.map((byte, i) => (i === at ? byte ^ flip : byte)))
    }),
  )
  t.true(hasValidCrc(frame))
  t.false(hasValidCrc(new Uint8Array()))
})

const request = fc
  .tuple(fc.integer({ min: 1, max: 247 }), fc.constantFrom(3, 4, 6), fc.nat({ max: 0xffff }), fc.nat({ max: 0xffff }))
  .map(([unitId, functionCode, a, b]) => ({
    unitId,
    pdu: Uint8Array.of(functionCode, a >> 8, a & 255, b >> 8, b & 255),
  }))

test('requests are found however the stream is cut into pieces', (t) => {
  fc.assert(
    fc.property(
      fc.array(request, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 20 }),
      (requests, size) => {
        const stream = Buffer.concat(requests.map(({ unitId, pdu }) => encodeRtuFrame(unitId, pdu)))
        const framer = new RtuFramer()
        const pieces = Array.from({ length: Math.ceil(stream.length / size) }, (_, i) =>
          stream.subarray(i * size, (i + 1) * size),
        )
        const found = pieces.flatMap((piece) => framer.push(piece))
        t.deepEqual(
          found.map(hex),
          requests.map(({ unitId, pdu }) => hex(Uint8Array.of(unitId, ...pdu))),
        )
        t.is(framer.endOfSilence(), undefined)
      },
    ),
  )
})

test('bytes without a valid CRC are dropped at the next silence, and the frame after it is heard', (t) => {
  const good = encodeRtuFrame(1, bytes('04 0048 0004'))
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 40 }), (noise) => {
      const framer = new RtuFramer()
      fc.pre(!hasValidCrc(noise) && framer.push(noise).length === 0)
      t.is(framer.endOfSilence(), undefined)
      t.deepEqual(framer.push(good).map(hex), [hex(good.subarray(0, -2))])
    }),
  )
})

test('a function code whose length nobody knows ends with the silence', (t) => {
  const framer = new RtuFramer()
  t.deepEqual(framer.push(encodeRtuFrame(1, bytes('2B 0E 01 00'))), [])
  t.is(hex(framer.endOfSilence()), '012b0e0100')
})

test('a write of several registers is as long as it says', (t) => {
  const framer = new RtuFramer()
  const frame = encodeRtuFrame(1, bytes('10 0001 0002 04 000A 0102'))
  t.deepEqual(framer.push(frame.subarray(0, 6)), [])
  t.is(hex(framer.push(frame.subarray(6))[0]), hex(frame.subarray(0, -2)))
})

test('a line that never falls silent is not collected for ever', (t) => {
  const framer = new RtuFramer()
  for (let i = 0; i < 100; i += 1) framer.push(new Uint8Array(100).fill(0xff))
  t.deepEqual(framer.push(encodeRtuFrame(1, bytes('04 0048 0004'))), [])
  t.is(framer.endOfSilence(), undefined)
  t.is(framer.push(encodeRtuFrame(1, bytes('04 0048 0004'))).length, 1)
})
