import test from 'ava'
import { isTransactionAction, ocppActions, ocppVersions } from './actions.ts'

test('each version has its requests once for each side, and only DataTransfer comes from both', (t) => {
  for (const version of ocppVersions) {
    const { station, csms } = ocppActions[version]
    t.is(new Set(station).size, station.length)
    t.is(new Set(csms).size, csms.length)
    t.deepEqual(
      station.filter((action) => csms.includes(action)),
      ['DataTransfer'],
    )
  }
})

test('the versions have as many requests as their schemas', (t) => {
  const counts = ocppVersions.map(
    (version) => ocppActions[version].station.length + ocppActions[version].csms.length - 1,
  )
  t.deepEqual(counts, [39, 64, 90])
})

test('only what tells of energy is a transaction message', (t) => {
  t.true(isTransactionAction('MeterValues'))
  t.false(isTransactionAction('Heartbeat'))
})
