import test from 'ava'
import { type AnsweringStation, startDrivers } from '../../test/drivers-rig.ts'

const place = { stationId: 'CP1', connectorId: 1 }
const time = '2027-01-15T08:00:00Z'

async function start16(station: AnsweringStation, connectorId: number, meterStart: number): Promise<number> {
  const payload = { connectorId, idTag: '04AA11BB', meterStart, timestamp: time }
  return Number((await station.ask('StartTransaction', payload))['transactionId'])
}

const stop16 = (station: AnsweringStation, transactionId: number) =>
  station.ask('StopTransaction', { transactionId, meterStop: 9000, timestamp: time })

function event(eventType: string, transactionId: string, more: object = {}) {
  const triggerReason = eventType === 'Started' ? 'Authorized' : 'MeterValuePeriodic'
  return { eventType, timestamp: time, triggerReason, seqNo: 0, transactionInfo: { transactionId }, ...more }
}

test('a remote start in words: with a card, or in the name of a driver, whom the start then belongs to', async (t) => {
  const rig = await startDrivers(t.teardown)
  const station = await rig.station()
  const { remote } = rig.now.drivers
  t.is(
    await remote.start(place, { token: '04AA11BB' }),
    'CP1 connector 1: accepted; charging begins as soon as a vehicle is plugged in',
  )
  t.deepEqual(station.asked.at(-1)?.payload, { connectorId: 1, idTag: '04AA11BB' })
  await remote.start(place, { driver: 'anna' })
  const idToken = String(station.asked.at(-1)?.payload['idTag'])
  t.regex(idToken, /^W[0-9A-Z]{15}$/)
  const authorize = (connectorId: number, attempt: string) =>
    rig.now.drivers.authorizer.authorize({ stationId: 'CP1', idToken, connectorId, attempt })
  t.is(authorize(2, 'a').status, 'Invalid', 'at another place')
  t.like(authorize(1, 'a'), { status: 'Accepted', driver: 'anna' })
  t.like(authorize(1, 'a'), { status: 'Accepted', driver: 'anna' }, 'the same start again')
  t.is(authorize(1, 'b').status, 'Invalid', 'another start')
  const other = rig.now.drivers.authorizer.authorize({ stationId: 'CP2', idToken, connectorId: 1, attempt: 'a' })
  t.is(other.status, 'Invalid', 'another station')
})

test('a remote start that is not used within ten minutes, or that the station refuses, opens nothing', async (t) => {
  const rig = await startDrivers(t.teardown)
  const station = await rig.station('ocpp2.0.1')
  const { remote, authorizer } = rig.now.drivers
  const lastToken = () => (station.asked.at(-1)?.payload['idToken'] as { idToken: string } | undefined)?.idToken ?? ''
  const judge = () =>
    authorizer.authorize({ stationId: 'CP1', idToken: lastToken(), connectorId: 1, attempt: 'x' }).status
  await remote.start(place, { driver: 'anna' })
  rig.clock.nowMs += 600_000
  t.is(judge(), 'Invalid')
  station.answers = { RequestStartTransaction: { status: 'Rejected' } }
  const evse = { evseId: 1, connectorId: 1, timestamp: time, connectorStatus: 'Faulted' }
  await station.ask('StatusNotification', evse)
  await t.throwsAsync(remote.start(place, { driver: 'anna' }), {
    message: 'CP1 connector 1: the station refuses to start (Rejected); its status there is Faulted',
  })
  t.is(judge(), 'Invalid')
})

test('who may not charge is refused before anything is sent, with the reason', async (t) => {
  const rig = await startDrivers(t.teardown, { whenOffline: 'nobody' })
  const { remote } = rig.now.drivers
  await t.throwsAsync(remote.start(place, { driver: 'anna' }), { message: /no station 'CP1' has connected/ })
  const station = await rig.station()
  const refused = [
    [{ token: 'XYZ' }, /not on the list/],
    [{ token: 'LOST' }, /blocked/],
    [{ token: 'OLD' }, /expired/],
    [{ driver: 'otto' }, /no driver 'otto' may charge now/],
    [{ code: '12345678' }, /no reservation that a code opens/],
  ] as const
  for (const [by, message] of refused) await t.throwsAsync(remote.start(place, by), { message })
  rig.now.isOnline = false
  await t.throwsAsync(remote.start(place, { token: '04AA11BB' }), { message: /while the ledger is out of reach/ })
  await t.throwsAsync(remote.start(place, { driver: 'anna' }), { message: /while the ledger is out of reach/ })
  await t.throwsAsync(remote.start({ ...place, connectorId: 0 }, { driver: 'anna' }), { message: /connector of 1/ })
  t.deepEqual(station.asked, [])
})

test('a session of OCPP 1.6 is stopped by its place or its number, also one that was sent twice', async (t) => {
  const rig = await startDrivers(t.teardown)
  const station = await rig.station()
  const { remote } = rig.now.drivers
  await t.throwsAsync(remote.stop(place), { message: 'no session at CP1 connector 1 is running' })
  const first = await start16(station, 1, 100)
  await start16(station, 1, 100)
  const second = await start16(station, 2, 200)
  t.is(await remote.stop(place), `CP1 connector 1: accepted; session ${first} ends`)
  t.deepEqual(station.asked.at(-1), { action: 'RemoteStopTransaction', payload: { transactionId: first } })
  t.is(await remote.stop(String(second)), `CP1 connector 2: accepted; session ${second} ends`)
  await stop16(station, first)
  await start16(station, 1, 100) // the start comes once more after the stop
  await t.throwsAsync(remote.stop(place), { message: /is running/ })
  await t.throwsAsync(remote.stop('4711'), { message: 'no session with id 4711 is running' })
  station.answers = { RemoteStopTransaction: { status: 'Rejected' } }
  await t.throwsAsync(remote.stop(String(second)), {
    message: 'CP1 connector 2: the station refuses to stop (Rejected)',
  })
  station.raw.socket.terminate()
  await rig.log.line('ocpp.station.disconnected')
  await t.throwsAsync(remote.stop(String(second)), { message: 'CP1 is not connected' })
})

test('a session of OCPP 2.x is stopped by its place or its id, also where later messages name no place', async (t) => {
  const rig = await startDrivers(t.teardown)
  const station = await rig.station('ocpp2.1')
  const { remote } = rig.now.drivers
  await station.ask('TransactionEvent', event('Started', 'tx-1', { evse: { id: 2 } }))
  await station.ask('TransactionEvent', event('Updated', 'tx-1'))
  t.is(await remote.stop({ ...place, connectorId: 2 }), 'CP1 connector 2: accepted; session tx-1 ends')
  t.deepEqual(station.asked.at(-1), { action: 'RequestStopTransaction', payload: { transactionId: 'tx-1' } })
  t.is(await remote.stop('tx-1'), 'CP1 connector 2: accepted; session tx-1 ends')
  await station.ask('TransactionEvent', event('Ended', 'tx-1'))
  await t.throwsAsync(remote.stop('tx-1'), { message: /no session/ })
})

test('Q21: a station that charges on after a refusal is told to stop; one that obeys, or whose driver is let in after all, is not', async (t) => {
  const rig = await startDrivers(t.teardown)
  const station = await rig.station()
  const begin = async (meterStart: number, idTag = 'STRANGER') => {
    const payload = { connectorId: 1, idTag, meterStart, timestamp: time }
    return Number((await station.ask('StartTransaction', payload))['transactionId'])
  }
  await stop16(station, await begin(1))
  await begin(2, '04AA11BB')
  await rig.now.scheduler.advance(10_000)
  t.deepEqual(station.asked, [])
  const refused = await begin(3)
  await rig.now.scheduler.advance(9_999)
  t.deepEqual(station.asked, [])
  await rig.now.scheduler.advance(1)
  await rig.log.line('session.refused.stopped')
  t.deepEqual(station.asked, [{ action: 'RemoteStopTransaction', payload: { transactionId: refused } }])

  const newer = await rig.station('ocpp2.0.1', {}, 'CP2')
  const shown = (transactionId: string, idToken: string, type = 'Updated') =>
    newer.ask('TransactionEvent', {
      ...event(type, transactionId, { evse: { id: 1 }, idToken: { idToken, type: 'ISO14443' } }),
      triggerReason: 'Authorized',
    })
  await shown('tx-1', 'STRANGER', 'Started')
  await shown('tx-1', '04AA11BB')
  await shown('tx-2', 'STRANGER', 'Started')
  await rig.now.scheduler.advance(10_000)
  await rig.log.line('session.refused.stopped', 2)
  t.deepEqual(newer.asked, [{ action: 'RequestStopTransaction', payload: { transactionId: 'tx-2' } }])
})
