import test from 'ava'
import { codeOf, startDrivers } from '../../test/drivers-rig.ts'
import { makeSecret } from './secrets.ts'

const place = { stationId: 'CP1', connectorId: 1 }
const minute = 60_000
const boots = {
  'ocpp1.6': { chargePointVendor: 'Acme', chargePointModel: 'Wall' },
  'ocpp2.0.1': { reason: 'PowerUp', chargingStation: { vendorName: 'Acme', model: 'Wall' } },
  'ocpp2.1': { reason: 'PowerUp', chargingStation: { vendorName: 'Acme', model: 'Wall' } },
} as const

for (const version of ['ocpp1.6', 'ocpp2.0.1', 'ocpp2.1'] as const) {
  test(`a station with ${version} is told its reservations: at once, after each connection and after each boot, until they are over`, async (t) => {
    const rig = await startDrivers(t.teardown)
    const station = await rig.station(version)
    const until = rig.clock.nowMs + 60 * minute
    const { permit, station: kept } = await rig.now.drivers.reserving.reserve(place, { driver: 'anna' }, until)
    t.is(kept, 'keeps-it')
    const time = new Date(until).toISOString()
    const { idToken, groupToken, number } = permit
    const request =
      version === 'ocpp1.6'
        ? { connectorId: 1, expiryDate: time, idTag: idToken, parentIdTag: groupToken, reservationId: number }
        : {
            id: number,
            expiryDateTime: time,
            idToken: { idToken, type: 'Central' },
            groupIdToken: { idToken: groupToken, type: 'Central' },
            evseId: 1,
          }
    t.deepEqual(station.asked, [{ action: 'ReserveNow', payload: request }])
    t.regex(idToken, /^W[0-9A-Z]{15}$/, 'Q12: some stations cannot take 20 characters')

    await rig.restart()
    const back = await rig.station(version)
    const told = rig.log.line('reservation.told')
    await back.ask('Heartbeat', {})
    await rig.now.scheduler.advance(2_000)
    t.like(await told, { number, status: 'Accepted' })
    t.deepEqual(back.asked, [{ action: 'ReserveNow', payload: request }])
    await back.ask('BootNotification', boots[version])
    await rig.now.scheduler.advance(2_000)
    await rig.log.line('reservation.told', 2)
    t.is(back.asked.length, 2, 'a station that has lost power may have lost it')

    back.raw.socket.terminate()
    await rig.log.line('ocpp.station.disconnected', 2)
    await rig.now.drivers.reserving.cancel(number)
    const later = await rig.station(version)
    await later.ask('Heartbeat', {})
    await rig.now.scheduler.advance(2_000)
    await later.ask('Heartbeat', {})
    t.deepEqual(later.asked, [{ action: 'CancelReservation', payload: { reservationId: number } }])
    await later.ask('BootNotification', boots[version])
    await rig.now.scheduler.advance(2_000)
    await later.ask('Heartbeat', {})
    t.is(later.asked.length, 1, 'once it is taken back, it is forgotten')
  })
}

test('what a station says to a reservation: kept by both, by the gateway alone, or not at all', async (t) => {
  const rig = await startDrivers(t.teardown)
  const { reserving, places } = rig.now.drivers
  const reserve = () => reserving.reserve(place, { driver: 'anna' }, rig.clock.nowMs + minute)
  const station = await rig.station()
  for (const status of ['Occupied', 'Faulted', 'Unavailable']) {
    station.answers = { ReserveNow: { status } }
    await t.throwsAsync(reserve(), { message: new RegExp(`cannot be reserved: the station says ${status}`) })
    t.false(places.isReserved(place))
  }
  station.answers = { ReserveNow: { status: 'Rejected' } }
  const alone = await reserve()
  t.is(alone.station, 'cannot')
  t.true(places.isReserved(place))
  await reserving.cancel(alone.permit.number)
  t.is(station.asked.at(-1)?.action, 'ReserveNow', 'nothing is taken back that was never there')
  station.raw.socket.terminate()
  await rig.log.line('ocpp.station.disconnected')
  t.is((await reserve()).station, 'not-told-yet')
  t.true(places.isReserved(place))
})

test('a station that does not answer is told again while it is there', async (t) => {
  const rig = await startDrivers(t.teardown)
  const { reserving } = rig.now.drivers
  await reserving.reserve(place, { driver: 'anna' }, rig.clock.nowMs + 60 * minute)
  const station = await rig.station()
  const isSilent = (data: Buffer) => void data
  station.raw.socket.removeAllListeners('message').on('message', isSilent)
  await rig.now.scheduler.advance(2_000)
  station.raw.socket.terminate()
  t.like(await rig.log.line('reservation.not-told'), { station: 'CP1', code: 'station/offline' })
  const back = await rig.station()
  await rig.now.scheduler.advance(2_000)
  await rig.log.line('reservation.told')
  t.is(back.asked.length, 1)
})

test('SPEC-142: nothing of a secret, a token or a code is logged', async (t) => {
  const rig = await startDrivers(t.teardown)
  const station = await rig.station()
  const code = { secret: makeSecret(), validitySeconds: 30, length: 8 }
  const { permit } = await rig.now.drivers.reserving.reserve(place, { code }, rig.clock.nowMs + minute)
  const now = codeOf(permit, rig.clock)
  await rig.now.drivers.remote.start(place, { code: now })
  await station.ask('Authorize', { idTag: 'BOB12345' })
  const text = JSON.stringify(rig.log.lines)
  for (const secret of [code.secret, now, permit.idToken, permit.groupToken, 'BOB12345']) t.false(text.includes(secret))
})
