import test from 'ava'
import { driverFile, startDrivers } from '../../test/drivers-rig.ts'
import { askAbout, begin, minute, place, told } from '../../test/reservation-rig.ts'

const boot = { chargePointVendor: 'Acme', chargePointModel: 'Wall' }
// As it comes out of the numbers of upstream.
const number = 2 ** 30 + 5

/** ReserveNow as upstream asks for it. */
function request(version: string, untilMs: number, token = '04AA22BB', group?: string) {
  const expires = new Date(untilMs).toISOString()
  if (version === 'ocpp1.6') {
    const parent = group === undefined ? {} : { parentIdTag: group }
    return { connectorId: 1, expiryDate: expires, idTag: token, reservationId: number, ...parent }
  }
  const groupIdToken = group === undefined ? {} : { groupIdToken: { idToken: group, type: 'Central' } }
  const idToken = { idToken: token, type: 'ISO14443' }
  return { id: number, expiryDateTime: expires, idToken, evseId: 1, ...groupIdToken }
}

async function open(t: { teardown(action: () => unknown): void }, version = 'ocpp1.6') {
  const rig = await startDrivers(t.teardown)
  const station = await rig.station(version)
  const passOn = (action: string, payload: object) => rig.now.drivers.reserving.passOn('CP1', action, { ...payload })
  const comesBack = async () => {
    const back = await rig.station(version)
    await back.ask('Heartbeat', {})
    await rig.now.scheduler.advance(2_000)
    await back.ask('Heartbeat', {})
    return back
  }
  return { rig, station, passOn, comesBack, until: rig.clock.nowMs + 60 * minute }
}

for (const version of ['ocpp1.6', 'ocpp2.0.1']) {
  test(`SPEC-143: what upstream reserves at a station with ${version} is kept here too: for its card, once, also after restarts`, async (t) => {
    const { rig, station, passOn, comesBack, until } = await open(t, version)
    const asked = request(version, until)
    t.deepEqual((await passOn('ReserveNow', asked)).payload, { status: 'Accepted' })
    t.deepEqual(station.asked, [{ action: 'ReserveNow', payload: asked }])
    const others = async (one: typeof station) => {
      for (const token of ['BOB12345', '04AA11BB'])
        t.is((await begin({ version, station: one }, token)).status, 'Blocked')
      const { remote, reserving } = rig.now.drivers
      t.is(await told(remote.start(place, { driver: 'anna' })), 'place/reserved', 'it goes by the card alone')
      t.is(await told(reserving.reserve(place, { driver: 'bob' }, until)), 'place/reserved')
    }
    await others(station)
    await rig.restart()
    const back = await comesBack()
    t.deepEqual(back.asked, [{ action: 'ReserveNow', payload: asked }], 'told again, word for word')
    await others(back)
    t.is((await askAbout({ version, station: back }, '04aa22bb')).status, 'Accepted')
    await rig.now.drivers.remote.start(place, { token: '04AA22BB' })
    const { idTag, idToken } = back.asked.at(-1)?.payload ?? {}
    t.is(idTag ?? (idToken as { idToken: string }).idToken, '04AA22BB', 'the station knows the card')
    t.is((await begin({ version, station: back }, '04AA22BB')).status, 'Accepted')
    t.is((await begin({ version, station: back }, 'BOB12345')).status, 'Accepted', 'then the place is free again')
  })
}

test('SPEC-143: a reservation lets nobody charge whom the list does not know; a group is one of the list', async (t) => {
  const { rig, station, passOn, until } = await open(t)
  const one = { version: 'ocpp1.6', station }
  await passOn('ReserveNow', request('ocpp1.6', until, 'ROAMING-7', 'STAFF'))
  t.is((await begin(one, 'ROAMING-7')).status, 'Invalid')
  t.is((await askAbout(one, 'ROAMING-7')).status, 'Invalid')
  t.is((await begin(one, 'STAFF')).status, 'Invalid')
  const worker = driverFile.drivers.find(({ group }) => group === 'staff')?.token ?? ''
  t.is((await begin(one, worker)).status, 'Accepted')
  t.false(rig.now.drivers.places.isReserved(place))
})

test('SPEC-143: what the station refuses is not kept, and what it was to replace is in force again', async (t) => {
  const { rig, station, passOn, until } = await open(t)
  const one = { version: 'ocpp1.6', station }
  for (const status of ['Occupied', 'Rejected']) {
    station.answers = { ReserveNow: { status } }
    t.deepEqual((await passOn('ReserveNow', request('ocpp1.6', until))).payload, { status })
    t.false(rig.now.drivers.places.isReserved(place))
  }
  station.answers = {}
  await passOn('ReserveNow', request('ocpp1.6', until))
  station.answers = { ReserveNow: { status: 'Occupied' } }
  await passOn('ReserveNow', request('ocpp1.6', until, 'BOB12345'))
  t.is((await begin(one, 'BOB12345')).status, 'Blocked')
  station.answers = {}
  await passOn('ReserveNow', request('ocpp1.6', until, 'BOB12345'))
  t.is((await begin(one, '04AA22BB')).status, 'Blocked')
  t.is((await begin(one, 'BOB12345')).status, 'Accepted')
})

test('SPEC-143: without an answer upstream is told so, and the station is relieved of it when it is back', async (t) => {
  const { rig, station, passOn, comesBack, until } = await open(t)
  const silent = passOn('ReserveNow', request('ocpp1.6', until))
  station.raw.socket.terminate()
  await t.throwsAsync(silent, { code: 'station/offline' })
  t.false(rig.now.drivers.places.isReserved(place))
  const back = await comesBack()
  t.deepEqual(back.asked, [{ action: 'CancelReservation', payload: { reservationId: number } }])
})

test('SPEC-143: upstream cancels, also while the station is away', async (t) => {
  const { rig, station, passOn, comesBack, until } = await open(t)
  const cancel = { reservationId: number }
  await passOn('ReserveNow', request('ocpp1.6', until))
  t.deepEqual((await passOn('CancelReservation', cancel)).payload, { status: 'Accepted' })
  t.deepEqual(station.asked.at(-1), { action: 'CancelReservation', payload: cancel })
  t.false(rig.now.drivers.places.isReserved(place))
  await passOn('ReserveNow', request('ocpp1.6', until))
  station.raw.socket.terminate()
  await rig.log.line('ocpp.station.disconnected')
  t.deepEqual((await passOn('CancelReservation', cancel)).payload, { status: 'Accepted' })
  t.false(rig.now.drivers.places.isReserved(place))
  const back = await comesBack()
  t.deepEqual(back.asked, [{ action: 'CancelReservation', payload: cancel }])
  back.answers = { CancelReservation: { status: 'Rejected' } }
  t.deepEqual((await passOn('CancelReservation', cancel)).payload, { status: 'Rejected' }, 'nobody knows it any more')
  await back.ask('BootNotification', boot)
})

test('SPEC-143: the station says when one of upstream is over; one of the gateway is not its to end', async (t) => {
  const { rig, station, passOn, until } = await open(t, 'ocpp2.0.1')
  const over = (reservationId: number) =>
    station.ask('ReservationStatusUpdate', { reservationId, reservationUpdateStatus: 'Removed' })
  await passOn('ReserveNow', request('ocpp2.0.1', until))
  await over(number + 1)
  t.true(rig.now.drivers.places.isReserved(place))
  await over(number)
  t.false(rig.now.drivers.places.isReserved(place))
  const { permit } = await rig.now.drivers.reserving.reserve(place, { driver: 'anna' }, until)
  await over(permit.number)
  t.true(rig.now.drivers.places.isReserved(place))
})

test('SPEC-143: for any place of a station: the only one it has; of several the station keeps one by itself', async (t) => {
  const { rig, station, passOn, until } = await open(t)
  const any = { ...request('ocpp1.6', until), connectorId: 0 }
  const tell = (connectorId: number) =>
    station.ask('StatusNotification', { connectorId, errorCode: 'NoError', status: 'Available' })
  await tell(1)
  await passOn('ReserveNow', any)
  t.deepEqual(
    rig.now.drivers.places.reservations().map(({ connectorId }) => connectorId),
    [1],
  )
  await passOn('CancelReservation', { reservationId: number })
  await tell(2)
  t.deepEqual((await passOn('ReserveNow', any)).payload, { status: 'Accepted' })
  t.deepEqual(rig.now.drivers.places.reservations(), [])
})
