import test from 'ava'
import { codeOf, startDrivers } from '../../test/drivers-rig.ts'
import { askAbout, begin, type Info, minute, place, reserveForAnna, time, told } from '../../test/reservation-rig.ts'

test('the holder: a card of the driver, in whatever letters, or a remote start in their name', async (t) => {
  for (const token of ['04aa22bb', '04AA11BB']) {
    const one = await reserveForAnna(t, 'ocpp1.6')
    const asked = await askAbout(one, token)
    t.like(asked, { status: 'Accepted', parentIdTag: one.permit.groupToken })
    t.true(one.rig.now.drivers.places.isReservedFor(place, token))
    t.false(one.rig.now.drivers.places.isReservedFor(place, 'BOB12345'))
    t.is((await begin(one, token)).status, 'Accepted')
    t.false(one.rig.now.drivers.places.isReserved(place))
  }
  for (const by of [{ driver: 'anna' }, { token: '04AA22BB' }]) {
    const { rig, station, permit } = await reserveForAnna(t, 'ocpp1.6')
    t.regex(await rig.now.drivers.remote.start(place, by), /CP1 connector 1: accepted/)
    t.deepEqual(station.asked.at(-1), {
      action: 'RemoteStartTransaction',
      payload: { connectorId: 1, idTag: permit.idToken },
    })
    t.is((await askAbout({ version: 'ocpp1.6', station }, permit.idToken)).status, 'Accepted')
    t.is((await begin({ version: 'ocpp1.6', station }, permit.idToken)).status, 'Accepted')
    t.is((await begin({ version: 'ocpp1.6', station }, permit.idToken)).status, 'Invalid', 'once')
  }
})

test("a code by remote is spent before the request leaves; the station's token begins the session", async (t) => {
  const { rig, station, permit } = await reserveForAnna(t, 'ocpp2.0.1')
  const { remote } = rig.now.drivers
  const code = codeOf(permit, rig.clock)
  await remote.start(place, { code })
  t.like(station.asked.at(-1), {
    action: 'RequestStartTransaction',
    payload: { evseId: 1, idToken: { idToken: permit.idToken, type: 'Central' } },
  })
  await t.throwsAsync(remote.start(place, { code }), { message: /used already/ })
  await rig.restart()
  t.is(await told(rig.now.drivers.remote.start(place, { code })), 'station/unknown')
  const back = await rig.station('ocpp2.0.1')
  await t.throwsAsync(rig.now.drivers.remote.start(place, { code }), { message: /used already/ })
  t.is((await begin({ version: 'ocpp2.0.1', station: back }, code)).status, 'Invalid', 'nor at the station')
  t.is((await begin({ version: 'ocpp2.0.1', station: back }, permit.idToken)).status, 'Accepted')
})

test('a reservation ends by its time, or when it is cancelled; then the place is for everybody', async (t) => {
  const { rig, station } = await reserveForAnna(t, 'ocpp1.6')
  const one = { version: 'ocpp1.6', station }
  rig.clock.nowMs += 60 * minute - 1
  t.is((await begin(one, 'BOB12345')).status, 'Blocked')
  rig.clock.nowMs += 1
  t.is((await begin(one, 'BOB12345')).status, 'Accepted')
  const { reserving } = rig.now.drivers
  const { permit } = await reserving.reserve(place, { group: 'family' }, rig.clock.nowMs + minute)
  t.is((await begin(one, 'BOB12345')).status, 'Blocked')
  await reserving.cancel(permit.number)
  t.deepEqual(station.asked.at(-1), { action: 'CancelReservation', payload: { reservationId: permit.number } })
  t.is((await begin(one, 'BOB12345')).status, 'Accepted')
  await t.throwsAsync(reserving.cancel(permit.number), { message: /no reservation/ })
  await t.throwsAsync(reserving.reserve(place, {}, rig.clock.nowMs + minute), { message: /needs a driver/ })
  await t.throwsAsync(reserving.reserve(place, { driver: 'anna' }, rig.clock.nowMs), { message: /over already/ })
})

test('at a station with two places one is kept, and others go to the other', async (t) => {
  const { rig, station } = await reserveForAnna(t, 'ocpp1.6')
  const one = { version: 'ocpp1.6', station }
  for (const connectorId of [0, 1, 2]) {
    await station.ask('StatusNotification', { connectorId, errorCode: 'NoError', status: 'Available' })
  }
  t.is((await askAbout(one, 'BOB12345')).status, 'Accepted')
  t.is((await begin(one, 'BOB12345', 1)).status, 'Blocked')
  t.is((await begin(one, 'BOB12345', 2)).status, 'Accepted')
  const until = rig.clock.nowMs + minute
  await rig.now.drivers.reserving.reserve({ stationId: 'CP1', connectorId: 2 }, { group: 'STAFF' }, until)
  t.is((await askAbout(one, 'BOB12345')).status, 'Blocked')
  t.is((await askAbout(one, 'WORKER')).status, 'Accepted')
  t.is((await begin(one, 'WORKER', 1)).status, 'Blocked')
  t.is((await begin(one, 'WORKER', 2)).status, 'Accepted')
})

test('with nobody asked upstream, anyone may charge where the site says so; but not at a reserved place', async (t) => {
  const rig = await startDrivers(t.teardown, { whenOffline: 'anyone' })
  const one = { version: 'ocpp1.6', station: await rig.station() }
  rig.now.isOnline = false
  t.is((await begin(one, 'STRANGER')).status, 'Accepted')
  await rig.now.drivers.reserving.reserve(place, { driver: 'anna' }, rig.clock.nowMs + minute)
  t.is((await begin(one, 'STRANGER')).status, 'Blocked')
  t.is((await askAbout(one, 'STRANGER')).status, 'Blocked')
  t.is((await begin(one, '04AA11BB')).status, 'Accepted')
})

test('OCPP 2.x: a card that comes after the plug, in a message that names no place, is judged for the place of its transaction', async (t) => {
  const { rig, station, permit } = await reserveForAnna(t, 'ocpp2.0.1')
  for (const id of [1, 2]) {
    const status = { evseId: id, connectorId: 1, timestamp: time, connectorStatus: 'Available' }
    await station.ask('StatusNotification', status)
  }
  const event = { timestamp: time, seqNo: 0, transactionInfo: { transactionId: 'tx-plug' } }
  const plugged = { ...event, eventType: 'Started', triggerReason: 'CablePluggedIn', evse: { id: 1, connectorId: 1 } }
  await station.ask('TransactionEvent', plugged)
  const shown = async (idToken: string, triggerReason = 'Authorized', eventType = 'Updated') => {
    const payload = { ...event, eventType, triggerReason, seqNo: 1, idToken: { idToken, type: 'ISO14443' } }
    return ((await station.ask('TransactionEvent', payload))['idTokenInfo'] as Info).status
  }
  t.is(await shown('BOB12345'), 'Blocked')
  t.is(await shown('BOB12345', 'RemoteStart'), 'Blocked')
  t.true(rig.now.drivers.places.isReserved(place))
  t.is(await shown(codeOf(permit, rig.clock)), 'Accepted')
  t.false(rig.now.drivers.places.isReserved(place))
  t.is(await shown('BOB12345', 'StopAuthorized', 'Ended'), 'Accepted', 'a known card that ends something')
})

test('what was over long ago is forgotten, codes and all; what counts stays', async (t) => {
  const { rig, station, permit } = await reserveForAnna(t, 'ocpp1.6')
  await begin({ version: 'ocpp1.6', station }, codeOf(permit, rig.clock))
  await rig.now.drivers.reserving.reserve(place, { driver: 'bob' }, rig.clock.nowMs + 90 * minute)
  const count = (table: string) => rig.now.store.sql(`SELECT count(*) FROM ${table}`).pluck().get()
  rig.now.drivers.prune(permit.expiresAtMs)
  t.is(count('permits'), 2, 'not over yet')
  await station.ask('BootNotification', { chargePointVendor: 'A', chargePointModel: 'B' })
  await rig.now.scheduler.advance(2_000)
  await rig.log.line('reservation.told')
  rig.now.drivers.prune(permit.expiresAtMs + 1)
  t.deepEqual([count('permits'), count('spent_codes')], [1, 0])
  t.true(rig.now.drivers.places.isReserved(place))
})

test('a code that is shown in the last moment keeps the place for five minutes more, and only once', async (t) => {
  const { rig, station, permit } = await reserveForAnna(t, 'ocpp1.6')
  const one = { version: 'ocpp1.6', station }
  rig.clock.nowMs = permit.expiresAtMs - 1
  const code = codeOf(permit, rig.clock)
  t.is((await askAbout(one, code)).status, 'Accepted')
  rig.clock.nowMs += 4 * minute
  t.is((await askAbout(one, code)).status, 'Accepted')
  t.is((await begin(one, 'BOB12345')).status, 'Blocked')
  t.like(await rig.log.line('driver.refused'), { station: 'CP1', connector: 1, status: 'Blocked', reserved: true })
  rig.clock.nowMs += minute
  t.is((await begin(one, code)).status, 'Invalid')
  t.is((await begin(one, 'BOB12345')).status, 'Accepted')
})

test("what stands against an operator's commands: starts and reservations for others at a kept place, in OCPP's word", async (t) => {
  const { rig, permit } = await reserveForAnna(t, 'ocpp1.6')
  const { reserving } = rig.now.drivers
  const word = (action: string, payload: object) => {
    const objection = reserving.objectionTo('CP1', action, { ...payload })
    return objection && (objection.status ?? objection.reason)
  }
  const reserved = 'CP1 connector 1 is reserved for somebody else'
  t.is(word('RemoteStartTransaction', { connectorId: 1, idTag: 'BOB12345' }), reserved)
  t.is(word('RemoteStartTransaction', { idTag: 'BOB12345' }), 'CP1 is reserved for somebody else')
  t.is(word('RemoteStartTransaction', { connectorId: 1, idTag: '04aa11bb' }), undefined)
  t.is(word('RemoteStartTransaction', { connectorId: 2, idTag: 'BOB12345' }), undefined)
  t.is(word('ReserveNow', { connectorId: 1, reservationId: permit.number + 1 }), 'Occupied')
  t.is(
    word('ReserveNow', { connectorId: 2, reservationId: permit.number }),
    'Occupied',
    'it would take the place of ours',
  )
  t.is(word('ReserveNow', { connectorId: 2, reservationId: permit.number + 1 }), undefined)
  t.is(word('CancelReservation', { reservationId: permit.number }), "reservation 1 is the gateway's own")
  t.is(word('CancelReservation', { reservationId: permit.number + 1 }), undefined)
  t.is(word('UnlockConnector', { connectorId: 1 }), undefined)
})
