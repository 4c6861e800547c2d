import { makeTimestamp } from '@wattline/protocol'
import test from 'ava'
import { makeTempFolder } from '../../test/signing-rig.ts'
import { openStore } from './database.ts'
import { OcppJournal } from './ocpp-journal.ts'

test('frames that tell of energy are never forgotten; others are when they are old, or too many', (t) => {
  const store = openStore(makeTempFolder(t.teardown))
  t.teardown(() => store.close())
  const journal = new OcppJournal(store)
  const append = (action: string, at: number) =>
    journal.append({
      stationId: 'CP1',
      version: 'ocpp1.6',
      arrivedAt: makeTimestamp(at),
      action,
      messageId: '1',
      contentHash: `${action} ${at}`,
      frame: '[]',
      outcome: 'quarantined',
      notes: [],
    })
  const left = () => store.db.prepare('SELECT action, arrived_at FROM ocpp_frames ORDER BY number').raw().all()
  for (let at = 1; at <= 6; at++) {
    append('Heartbeat', at)
    append('MeterValues', at)
  }
  const meterValues = [1, 2, 3, 4, 5, 6].map((at) => ['MeterValues', at])
  const others = () => left().filter((row) => !meterValues.some((kept) => String(kept) === String(row)))
  t.is(journal.prune({ beforeMs: 3, most: 100, chunk: 100 }), 2)
  t.deepEqual(
    others(),
    [3, 4, 5, 6].map((at) => ['Heartbeat', at]),
  )
  t.is(journal.prune({ beforeMs: 0, most: 3, chunk: 100 }), 1)
  t.is(journal.prune({ beforeMs: 9, most: 3, chunk: 2 }), 2, 'a chunk at once')
  t.deepEqual(others(), [['Heartbeat', 6]])
  t.is(left().length, 7)
  const last = append('Heartbeat', 7)
  journal.prune({ beforeMs: 9, most: 0, chunk: 100 })
  t.true(append('Heartbeat', 8) > last, 'a number is never given twice')
})
