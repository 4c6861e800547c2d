import test from 'ava'
import fc from 'fast-check'
import { hasZone, toUtc } from './date-time.ts'

test('D9: only a complete time with its zone is a time', (t) => {
  for (const text of ['2026-11-21T09:00:00Z', '2026-11-21T09:00:00.123456Z', '2026-11-21T09:00:00+10:00']) {
    t.true(hasZone(text), text)
  }
  for (const text of [
    '2026-11-21T09:00:00',
    '2026-11-21 09:00:00Z',
    '2026-11-21T09:00Z',
    '2026-02-30T09:00:00Z',
    '2026-11-21T24:00:00Z',
    '2026-11-21',
    '',
  ]) {
    t.false(hasZone(text), text)
  }
})

test('a day is one that the calendar has', (t) => {
  const part = (max: number) => fc.integer({ min: 0, max })
  const two = (value: number) => String(value).padStart(2, '0')
  fc.assert(
    fc.property(fc.integer({ min: 1970, max: 2400 }), part(13), part(32), (year, month, day) => {
      const back = new Date(Date.UTC(year, month - 1, day))
      const isThere = back.getUTCMonth() === month - 1 && back.getUTCDate() === day
      t.is(hasZone(`${year}-${two(month)}-${two(day)}T09:00:00Z`), isThere)
    }),
    {
      numRuns: 2_000,
      examples: [
        [2000, 2, 29],
        [2100, 2, 29],
        [2024, 2, 29],
        [2023, 2, 29],
      ],
    },
  )
})

test('Q13: local time follows summer and winter; the hour that comes twice is the first one', (t) => {
  const inBerlin = (text: string) => toUtc(text, 'Europe/Berlin')
  t.is(inBerlin('2026-07-01T12:00:00'), '2026-07-01T10:00:00.000Z')
  t.is(inBerlin('2026-12-01T12:00:00'), '2026-12-01T11:00:00.000Z')
  t.is(inBerlin('2026-10-25T02:30:00'), '2026-10-25T00:30:00.000Z')
  t.is(inBerlin('2026-10-25T03:30:00'), '2026-10-25T02:30:00.000Z')
  t.is(inBerlin('2026-03-29T03:30:00'), '2026-03-29T01:30:00.000Z')
  t.is(toUtc('2026-07-01T12:00:00', 'Asia/Kolkata'), '2026-07-01T06:30:00.000Z')
})

test('a zone that is written is never replaced', (t) => {
  const moments = fc.integer({ min: 0, max: 4_000_000_000_000 })
  const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Auckland')
  fc.assert(
    fc.property(moments, zones, (ms, zone) => {
      const text = new Date(ms).toISOString()
      t.is(toUtc(text, zone), text)
    }),
  )
})

test('what a wall clock shows is read back to its moment, but for the hour that comes twice', (t) => {
  const moments = fc.integer({ min: 1_000_000_000, max: 2_000_000_000 })
  fc.assert(
    fc.property(moments, (seconds) => {
      const shown = new Intl.DateTimeFormat('sv-SE', {
        timeZone: 'Europe/Berlin',
        dateStyle: 'short',
        timeStyle: 'medium',
      }).format(seconds * 1000)
      const read = Date.parse(toUtc(shown, 'Europe/Berlin') ?? '') / 1000
      t.true(read === seconds || read === seconds - 3600, shown)
    }),
  )
})
