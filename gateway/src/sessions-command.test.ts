import { PassThrough } from 'node:stream'
import test, { type ExecutionContext } from 'ava'
import { makeSessionRig, time, values } from '../test/session-rig.ts'
import type { GatewayConfig } from './config.ts'
import { viewSessions } from './sessions/session-view.ts'
import { listSessions, showSession } from './sessions-command.ts'
import { insertSessionCheck } from './store/session-checks.ts'
import { insertSignedValue } from './store/signed-values.ts'

async function tellSessions(t: ExecutionContext) {
  const rig = makeSessionRig(t.teardown)
  const start = { connectorId: 1, idTag: 'CARD', meterStart: 5000, timestamp: time(0) }
  const { transactionId } = await rig.send('StartTransaction', start, 3)
  const stop = { transactionId, meterStop: 5200, timestamp: time(60), idTag: 'OTHER', reason: 'Remote' }
  await rig.send('StopTransaction', stop, 60)
  await rig.send('StartTransaction', { ...start, connectorId: 2, idTag: '\u001b[2J', meterStart: 0 }, 100)
  await rig.send('MeterValues', { connectorId: 2, meterValue: [values(40, 120)] }, 120)
  return rig
}

function list(dataDir: string, options: { most: number; asJson: boolean }): string {
  const output = new PassThrough()
  listSessions({ gateway: { dataDir } } as GatewayConfig, output, options)
  return String(output.read())
}

test('the list names place, driver, times, energy, completeness and doubts, while the gateway runs and after', async (t) => {
  const rig = await tellSessions(t)
  const expected = [
    '1 CP1/1 anna: 2027-01-15T08:00:00.000Z to 2027-01-15T08:01:00.000Z, 200 Wh, complete; DOUBT: stopped with a token of somebody else',
    '3 CP1/2 nobody: 2027-01-15T08:00:00.000Z running, 40 Wh, running',
    '',
  ].join('\n')
  t.is(list(rig.dataDir, { most: 10, asJson: false }), expected)
  rig.store.close()
  t.is(list(rig.dataDir, { most: 10, asJson: false }), expected)
})

test('as JSON it tells both times of each moment, the registers, and what counts', async (t) => {
  const rig = await tellSessions(t)
  const sessions = JSON.parse(list(rig.dataDir, { most: 10, asJson: true }))
  t.like(sessions[0], {
    id: 1,
    station: 'CP1',
    connector: 1,
    driver: 'anna',
    begin: { at: time(0), claimedAt: time(0), arrivedAt: time(3), clockStatus: 'S', registerWh: '5000' },
    end: { at: time(60), how: 'stop', reason: 'Remote', registerWh: '5200' },
    wh: '200',
    countedWh: '0',
    completeness: 'complete',
    doubts: ['stopped-by-another-token'],
  })
  t.like(sessions[1], { connector: 2, wh: '40', countedWh: '40', completeness: 'running', isSettled: false })
  t.is(JSON.parse(list(rig.dataDir, { most: 1, asJson: true })).length, 1)
})

test('the live view shows the latest sessions, and nobody’s name', async (t) => {
  const rig = await tellSessions(t)
  t.deepEqual(viewSessions(rig.books), [
    {
      id: 1,
      station: 'CP1',
      connector: 1,
      begunAt: Date.parse(time(0)),
      endedAt: Date.parse(time(60)),
      wh: '200',
      completeness: 'complete',
      isSettled: true,
    },
    {
      id: 3,
      station: 'CP1',
      connector: 2,
      begunAt: Date.parse(time(0)),
      wh: '40',
      completeness: 'running',
      isSettled: false,
    },
  ])
})

test('a gateway that has charged nobody says so', (t) => {
  const rig = makeSessionRig(t.teardown)
  t.is(list(rig.dataDir, { most: 10, asJson: false }), 'no session yet\n')
})

function show(dataDir: string, id: number, asJson: boolean): string {
  const output = new PassThrough()
  showSession({ gateway: { dataDir } } as GatewayConfig, output, { id, asJson })
  return String(output.read())
}

test("one session: what the station's own meter has signed of it, and what the meter of its feeder says", async (t) => {
  const rig = await tellSessions(t)
  const { store } = rig
  // The charging point's own row is not what this is about.
  store.db.pragma('foreign_keys = OFF')
  const check = { sessionId: 1, pointNumber: 1, meter: 'main', verdict: 'differs', checkedAt: 1 } as const
  insertSessionCheck(store, { ...check, sessionWh: 200n, lowWh: 90n, highWh: 110n, reason: 'it tells too much' })
  const value = { frame: 2, stationId: 'CP1', transactionId: '1', sampledAt: time(60), encoding: 'OCMF' }
  const judged = {
    context: 'Transaction.End',
    meter: 'BQ1',
    publicKey: 'AB',
    reason: 'the trusted key\u001b does not fit',
  }
  insertSignedValue(store, { ...value, ...judged, text: 'OCMF|{}|{}', digest: 'a', verdict: 'false' })
  const unknown = { context: '', meter: '', publicKey: '', reason: '' }
  insertSignedValue(store, { ...value, ...unknown, text: 'x', digest: 'b', verdict: 'valid' })
  insertSignedValue(store, { ...value, ...unknown, transactionId: '3', text: 'y', digest: 'c', verdict: 'valid' })

  const [, ...lines] = show(rig.dataDir, 1, false).split('\n')
  t.deepEqual(lines, [
    'feeder main: differs; it tells too much',
    `${time(60)} Transaction.End, meter BQ1, OCMF: FALSE; the trusted key? does not fit`,
    `${time(60)} no context, meter unknown, OCMF: valid`,
    '',
  ])
  t.like(JSON.parse(show(rig.dataDir, 1, true)), {
    id: 1,
    countedWh: '0',
    feeder: { meter: 'main', verdict: 'differs', sessionWh: '200', lowWh: '90', highWh: '110' },
    signedValues: [{ verdict: 'false', text: 'OCMF|{}|{}', publicKey: 'AB' }, { verdict: 'valid' }],
  })
  store.sql('DELETE FROM signed_values').run()
  t.regex(show(rig.dataDir, 3, false), /\nfeeder: not compared\nthe station's own meter has signed nothing of it\n$/)
  t.throws(() => show(rig.dataDir, 2, false), { code: 'session/unknown' })
})
