import test from 'ava'
import fc from 'fast-check'
import { clockStatuses } from './clock.ts'
import { formatOcmfTime, makeTimestamp, parseOcmfTime } from './timestamp.ts'

const moment = fc.integer({ min: 0, max: 253_402_300_799_999 })

test('SPEC-14: the time is written as the platform writes it, with a comma and a clock state', (t) => {
  t.is(formatOcmfTime(makeTimestamp(Date.UTC(2026, 10, 21, 9)), 'S'), '2026-11-21T09:00:00,000+0000 S')
  fc.assert(
    fc.property(moment, fc.constantFrom(...clockStatuses), (ms, status) => {
      const expected = `${new Date(ms).toISOString().replace('.', ',').replace('Z', '+0000')} ${status}`
      t.is(formatOcmfTime(makeTimestamp(ms), status), expected)
      t.deepEqual(parseOcmfTime(expected), { time: makeTimestamp(ms), status })
    }),
  )
})

for (const text of [
  '2026-02-29T00:00:00,000+0000 S',
  '2026-11-21T24:00:00,000+0000 S',
  '2026-11-21T09:00:60,000+0000 S',
  '2026-13-21T09:00:00,000+0000 S',
  '2026-11-21T09:00:00.000+0000 S',
  '2026-11-21T09:00:00,000+0100 S',
  '2026-11-21T09:00:00,000+0000 X',
  '1969-12-31T23:59:59,999+0000 S',
  '2026-11-21T09:00:00,000Z',
]) {
  test(`SPEC-14: '${text}' is no time of ours`, (t) => t.is(parseOcmfTime(text), undefined))
}

test('SPEC-14: a time that four digits cannot say is refused', (t) => {
  for (const ms of [-1, 0.5, Number.NaN, 253_402_300_800_000]) {
    t.throws(() => makeTimestamp(ms), { code: 'record/malformed' })
  }
})
