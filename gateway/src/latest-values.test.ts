import type { Timestamp } from '@wattline/protocol'
import test from 'ava'
import { LatestValues } from './latest-values.ts'

test('values are shown until two rounds have brought nothing new', (t) => {
  const time = { now: 0 }
  const latest = new LatestValues(() => time.now)
  const values = { takenAt: 1 as Timestamp, list: [{ measurand: 'Frequency', value: 50 }] } as const
  latest.take('roof', values, 60)
  t.is(latest.of('house'), undefined)
  time.now = 149_000
  t.is(latest.of('roof'), values)
  time.now = 150_000
  t.is(latest.of('roof'), undefined)
})

test('whoever acts on values gets them only while they are young', (t) => {
  const time = { now: 0 }
  const latest = new LatestValues(() => time.now)
  const values = { takenAt: 1 as Timestamp, list: [{ measurand: 'Frequency', value: 50 }] } as const
  latest.take('house', values, 60)
  time.now = 5_000
  t.is(latest.within('house', 5_000), values)
  time.now = 5_001
  t.is(latest.within('house', 5_000), undefined)
  t.is(latest.within('roof', 5_000), undefined)
})
