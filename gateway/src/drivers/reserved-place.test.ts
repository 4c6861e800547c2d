import test, { type ExecutionContext } from 'ava'
import { codeOf } from '../../test/drivers-rig.ts'
import {
  askAbout,
  begin,
  type Case,
  meter,
  minute,
  place,
  reserveForAnna,
  time,
  told,
} from '../../test/reservation-rig.ts'
import { openExistingStore } from '../store/database.ts'

const sendStart = ({ rig, version }: Case, token: string, connectorId?: number) => {
  const where = connectorId === undefined ? {} : version === 'ocpp1.6' ? { connectorId } : { evseId: connectorId }
  return version === 'ocpp1.6'
    ? rig.now.csms.call('CP1', 'RemoteStartTransaction', { idTag: token, ...where })
    : rig.now.csms.call('CP1', 'RequestStartTransaction', {
        remoteStartId: 1,
        idToken: { idToken: token, type: 'ISO14443' },
        ...where,
      })
}

const sendReserve = ({ rig, version }: Case) =>
  rig.now.csms.call(
    'CP1',
    'ReserveNow',
    version === 'ocpp1.6'
      ? { connectorId: 1, expiryDate: time, idTag: 'BOB12345', reservationId: 999 }
      : { id: 999, expiryDateTime: time, idToken: { idToken: 'BOB12345', type: 'ISO14443' }, evseId: 1 },
  )

/** Every way to begin a session at a place that is kept for Anna, by somebody else; and what is said to it. */
const ways: readonly (readonly [name: string, attempt: (one: Case) => Promise<string>, expected: string])[] = [
  ['a known card, asked about', async (one) => (await askAbout(one, 'BOB12345')).status, 'Blocked'],
  ['a known card', async (one) => (await begin(one, 'BOB12345')).status, 'Blocked'],
  ['a known card in other letters', async (one) => (await begin(one, 'bob12345')).status, 'Blocked'],
  [
    'a known card that names the reservation',
    async (one) => {
      const number = one.permit.number
      return (await begin(one, 'BOB12345', 1, { reservationId: number })).status
    },
    'Blocked',
  ],
  ["a card of the holder's group", async (one) => (await begin(one, 'KID1')).status, 'Blocked'],
  ['an unknown card', async (one) => (await begin(one, 'STRANGER')).status, 'Invalid'],
  ['an unknown card, asked about', async (one) => (await askAbout(one, 'STRANGER')).status, 'Invalid'],
  ['nothing', async (one) => (await begin(one, ' ')).status, 'Invalid'],
  ["the holder's blocked card", async (one) => (await begin(one, 'LOST')).status, 'Blocked'],
  [
    'the group of the reservation as a card',
    async (one) => (await begin(one, one.permit.groupToken)).status,
    'Invalid',
  ],
  ['a wrong code', async (one) => (await begin(one, 'AAAAAAAA')).status, 'Invalid'],
  [
    'a code of two intervals ago',
    async (one) => (await begin(one, codeOf(one.permit, one.rig.clock, -2))).status,
    'Invalid',
  ],
  [
    'a code of the next interval',
    async (one) => (await begin(one, codeOf(one.permit, one.rig.clock, 1))).status,
    'Invalid',
  ],
  [
    'the code cut short',
    async (one) => (await begin(one, codeOf(one.permit, one.rig.clock).slice(1))).status,
    'Invalid',
  ],
  [
    'by remote: a known card',
    (one) => told(one.rig.now.drivers.remote.start(place, { token: 'BOB12345' })),
    'place/reserved',
  ],
  [
    'by remote: another driver',
    (one) => told(one.rig.now.drivers.remote.start(place, { driver: 'bob' })),
    'place/reserved',
  ],
  [
    'by remote: an unknown card',
    (one) => told(one.rig.now.drivers.remote.start(place, { token: 'XYZ' })),
    'driver/refused',
  ],
  [
    'by remote: an unknown driver',
    (one) => told(one.rig.now.drivers.remote.start(place, { driver: 'eve' })),
    'driver/refused',
  ],
  [
    'by remote: a wrong code',
    (one) => told(one.rig.now.drivers.remote.start(place, { code: 'AAAAAAAA' })),
    'driver/refused',
  ],
  [
    'by a request of others, such as an operator upstream',
    (one) => told(sendStart(one, 'BOB12345', 1)),
    'place/reserved',
  ],
  ['by a request that names no place', (one) => told(sendStart(one, 'BOB12345')), 'place/reserved'],
  ['by another reservation of others', (one) => told(sendReserve(one)), 'place/reserved'],
  [
    'by another reservation of ours',
    ({ rig }) => told(rig.now.drivers.reserving.reserve(place, { driver: 'bob' }, rig.clock.nowMs + minute)),
    'place/reserved',
  ],
  [
    'by a reservation of the whole station',
    ({ rig }) =>
      told(
        rig.now.drivers.reserving.reserve({ ...place, connectorId: 0 }, { driver: 'bob' }, rig.clock.nowMs + minute),
      ),
    'place/reserved',
  ],
  [
    'with leave for a remote start from before',
    async (one) => {
      const { idToken } = one.rig.now.drivers.places.permitStart(place, { driver: 'bob' })
      return (await begin(one, idToken)).status
    },
    'Blocked or Invalid',
  ],
]

async function tryAll(t: ExecutionContext, one: Case, when: string): Promise<void> {
  for (const [name, attempt, expected] of ways) {
    // Wrong codes are counted for a minute.
    await one.rig.now.scheduler.advance(minute)
    t.true(expected.split(' or ').includes(await attempt(one)), `${one.version}, ${when}: ${name}`)
  }
  t.deepEqual(
    one.rig.now.drivers.places.reservations().map(({ number }) => number),
    [one.permit.number],
  )
  const starts = one.station.asked.filter(({ action }) => /Start/.test(action))
  t.deepEqual(starts, [], `${one.version}, ${when}: nobody was let in by remote`)
}

for (const version of ['ocpp1.6', 'ocpp2.0.1', 'ocpp2.1']) {
  test(`SPEC-142: a reserved place of ${version}: everybody else is refused, also after reconnects and restarts; the holder's code works once`, async (t) => {
    let one = await reserveForAnna(t, version)
    const { rig, permit } = one
    await tryAll(t, one, 'at first')
    one = { ...one, station: await rig.station(version) }
    await tryAll(t, one, 'after a reconnect')
    await rig.restart()
    one = { ...one, station: await rig.station(version) }
    await tryAll(t, one, 'after a restart of the gateway')

    const code = codeOf(permit, rig.clock)
    const shown = await askAbout(one, code)
    t.is(shown.status, 'Accepted')
    t.is(shown.parentIdTag ?? shown.groupIdToken?.idToken, permit.groupToken, 'the station opens by the group')
    await rig.restart()
    one = { ...one, station: await rig.station(version) }
    // Typed in time, and the vehicle is plugged in later.
    rig.clock.nowMs += 2 * minute
    t.is((await begin(one, code)).status, 'Accepted')
    t.false(rig.now.drivers.places.isReserved(place))
    t.is((await begin(one, code)).status, 'Invalid', 'a second time')
    await rig.restart()
    one = { ...one, station: await rig.station(version) }
    t.is((await begin(one, code)).status, 'Invalid', 'nor after a restart')
    t.is((await begin(one, 'BOB12345')).status, 'Accepted', 'the place is free for others again')
  })
}

test('SPEC-142: a start that a station sends again is the same one, and accepted as before', async (t) => {
  for (const version of ['ocpp1.6', 'ocpp2.0.1']) {
    const { rig, station, permit } = await reserveForAnna(t, version)
    const code = codeOf(permit, rig.clock)
    const meterStart = meter.next + 1
    t.is((await begin({ version, station }, code)).status, 'Accepted')
    await rig.restart()
    const again = await rig.station(version)
    rig.clock.nowMs += 90 * minute
    meter.next = meterStart - 1
    t.is((await begin({ version, station: again }, code)).status, 'Accepted', 'the same message')
    t.is((await begin({ version, station: again }, code)).status, 'Invalid', 'another one')
  }
})

test('a kill between the answer and the next message loses no spent code', async (t) => {
  const { rig, station, permit } = await reserveForAnna(t, 'ocpp1.6')
  const code = codeOf(permit, rig.clock)
  t.is((await begin({ version: 'ocpp1.6', station }, code)).status, 'Accepted')
  // What another process sees is what is on the disk.
  const other = openExistingStore(rig.dataDir, 'read')
  t.teardown(() => other.close())
  t.is(other.sql('SELECT count(*) FROM spent_codes').pluck().get(), 1)
  t.is(other.sql('SELECT state FROM permits').pluck().get(), 'used')
})

test('who tries codes is slowed down: after ten wrong ones none is looked at for a minute, each way by itself', async (t) => {
  const { rig, station, permit } = await reserveForAnna(t, 'ocpp1.6')
  const one = { version: 'ocpp1.6', station }
  for (let i = 0; i < 10; i++) t.is((await begin(one, `0000000${i}`)).status, 'Invalid')
  t.is((await begin(one, codeOf(permit, rig.clock))).status, 'Invalid', 'not even the right one')
  await rig.now.scheduler.advance(59_999)
  t.is((await begin(one, codeOf(permit, rig.clock))).status, 'Invalid')
  const { remote } = rig.now.drivers
  for (let i = 0; i < 10; i++)
    await t.throwsAsync(remote.start(place, { code: `000000${i}0` }), { message: /not the code/ })
  await t.throwsAsync(remote.start(place, { code: '00000000' }), { message: /too many wrong codes/ })
  await rig.now.scheduler.advance(1)
  t.is((await begin(one, codeOf(permit, rig.clock))).status, 'Accepted')
})
