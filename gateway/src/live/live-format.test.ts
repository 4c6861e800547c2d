import { WattError } from '@wattline/protocol'
import test from 'ava'
import type { RegisterReading } from '../modbus/register-reading.ts'
import { formatFrame, formatTable, toJson } from './live-format.ts'
import { LiveMeter } from './live-meter.ts'

const volts: RegisterReading = {
  name: 'Voltage L1',
  functionCode: 4,
  address: 0,
  words: [0x4366, 0x199a],
  value: 230.10000610351562,
  unit: 'V',
}
const error = new WattError('bus/exception', 'bus line, unit 1: 2 registers at 0: exception 2 (illegal data address)')
const { words: _words, value: _value, ...place } = volts

test('a register keeps its last words with their age, and the last exception with its own', (t) => {
  const meter = new LiveMeter()
  meter.take([volts], 1000)
  meter.take([{ ...place, error }], 3000)
  t.like(meter.rows(3000)[0], { value: volts.value, ageMs: 2000, isFresh: false, lastError: { error, ageMs: 0 } })
  meter.take([{ ...volts, value: 231 }], 4000)
  t.like(meter.rows(4000)[0], { value: 231, ageMs: 0, isFresh: true, lastError: { error, ageMs: 1000 } })
})

test('a register that never answered has neither words nor value nor age', (t) => {
  const meter = new LiveMeter()
  meter.take([{ ...place, error }], 0)
  const [row] = meter.rows(500)
  t.deepEqual([row?.words, row?.value, row?.ageMs], [undefined, undefined, undefined])
  t.is(row?.lastError?.ageMs, 500)
})

test('words that hold no value are shown without one', (t) => {
  const meter = new LiveMeter()
  const nan = new WattError('reading/not-implemented', 'Voltage L1 at 0: 7fc0 0000 (float32) is NaN')
  meter.take([{ ...place, words: [0x7fc0, 0], error: nan }], 0)
  t.like(meter.rows(0)[0], { words: [0x7fc0, 0], value: undefined, ageMs: 0, lastError: { error: nan } })
})

test('a bus that is gone ages everything', (t) => {
  const meter = new LiveMeter()
  meter.take([volts], 0)
  const gone = new WattError('bus/closed', 'serial port is gone', { retryable: true })
  meter.take(gone, 1000)
  t.like(meter.rows(1000)[0], { value: volts.value, ageMs: 1000, isFresh: false, lastError: { error: gone } })
})

test('the table names address, words, value, unit, age and the last exception', (t) => {
  const meter = new LiveMeter()
  meter.take([volts, { ...place, name: 'Voltage L2', error }], 0)
  t.deepEqual(formatTable(meter.rows(1500)), [
    'register    fc  address   words      value  unit    age  last exception',
    'Voltage L1   4  0 0x0000  4366 199a  230.1  V     1.5 s',
    'Voltage L2   4  0 0x0000                                 1.5 s ago: exception 2 (illegal data address)',
  ])
  t.true(formatTable(meter.rows(1500), 20).every((line) => line.length <= 20))
})

test('a scale factor is shown behind its words, also in JSON', (t) => {
  const meter = new LiveMeter()
  meter.take([{ ...volts, words: [2301], scaleFactor: 0xffff }], 0)
  t.regex(formatTable(meter.rows(0))[1] ?? '', /08fd sf ffff/)
  t.like(toJson(meter.rows(0))[0], { words: ['08fd'], scaleFactor: 'ffff', isFresh: true })
})

test('a frame is a line with its gap, direction, bytes and CRC', (t) => {
  const bytes = Buffer.from('010400000002', 'hex')
  t.is(formatFrame({ direction: 'sent', bytes, crc: 'bad' }), '              sent      01 04 00 00 00 02  crc bad')
  t.is(
    formatFrame({ direction: 'received', bytes, gapMs: 4.66, crc: 'none' }),
    '     +4.7 ms  received  01 04 00 00 00 02',
  )
})
