import test, { type ExecutionContext } from 'ava'
import { type AnsweringStation, codeOf, type DriversRig, startDrivers } from '../../test/drivers-rig.ts'
import { openExistingStore } from '../store/database.ts'
import type { Permit } from '../store/permits.ts'
import { makeSecret } from './secrets.ts'

const place = { stationId: 'CP1', connectorId: 1 }
const minute = 60_000
const time = '2027-01-15T08:00:00Z'
let nextMeter = 1000

interface Case {
  readonly rig: DriversRig
  readonly station: AnsweringStation
  readonly permit: Permit
  readonly version: string
}

function codeKey() {
  return { secret: makeSecret(), validitySeconds: 30, length: 8 }
}

/** Asks to begin with a token at a place; gives the station's answer in one word. */
async function begin({ version, station }: Pick<Case, 'version' | 'station'>, token: string, connector = 1, more = {}) {
  nextMeter += 1
  if (version === 'ocpp1.6') {
    const start = { connectorId: connector, idTag: token, meterStart: nextMeter, timestamp: time, ...more }
    return (await station.ask('StartTransaction', start))['idTagInfo'] as Info
  }
  const event = {
    eventType: 'Started',
    timestamp: time,
    triggerReason: 'Authorized',
    seqNo: 0,
    transactionInfo: { transactionId: `tx-${nextMeter}` },
    idToken: { idToken: token, type: 'ISO14443' },
    evse: { id: connector, connectorId: 1 },
    ...more,
  }
  return (await station.ask('TransactionEvent', event))['idTokenInfo'] as Info
}

interface Info {
  readonly status: string
  readonly parentIdTag?: string
  readonly groupIdToken?: { readonly idToken: string }
}

async function askAbout({ version, station }: Pick<Case, 'version' | 'station'>, token: string): Promise<Info> {
  const payload = version === 'ocpp1.6' ? { idTag: token } : { idToken: { idToken: token, type: 'ISO14443' } }
  const answer = await station.ask('Authorize', payload)
  return (answer['idTagInfo'] ?? answer['idTokenInfo']) as Info
}

/** What a refusal says: OCPP's word, or the code of an error. */
async function told(work: Promise<unknown>): Promise<string> {
  try {
    const result = await work
    return typeof result === 'object' && result !== null ? String(Reflect.get(result, 'status')) : String(result)
  } catch (error) {
    return String(error instanceof Error ? Reflect.get(error, 'code') : error)
  }
}

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

async function reserveForAnna(t: ExecutionContext, version: string): Promise<Case> {
  const rig = await startDrivers(t.teardown)
  const station = await rig.station(version)
  const until = rig.clock.nowMs + 60 * minute
  const { permit } = await rig.now.drivers.reserving.reserve(place, { driver: 'anna', code: codeKey() }, until)
  return { rig, station, permit, version }
}

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
    const meterStart = nextMeter + 1
    t.is((await begin({ version, station }, code)).status, 'Accepted')
    await rig.restart()
    const again = await rig.station(version)
    rig.clock.nowMs += 90 * minute
    nextMeter = meterStart - 1
    t.is((await begin({ version, station: again }, code)).status, 'Accepted', 'the same message')
    t.is((await begin({ version, station: again }, code)).status, 'Invalid', 'another one')
  }
})

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

test('a place kept for the token of an operator upstream opens to that token alone, once', async (t) => {
  const rig = await startDrivers(t.teardown)
  const one = { version: 'ocpp1.6', station: await rig.station() }
  const holder = { idToken: 'ROAMING-7', groupToken: 'FLEET' }
  await rig.now.drivers.reserving.reserve(place, holder, rig.clock.nowMs + minute)
  t.like(one.station.asked.at(-1)?.payload, { idTag: 'ROAMING-7', parentIdTag: 'FLEET' })
  t.is((await begin(one, '04AA11BB')).status, 'Blocked')
  t.is((await begin(one, 'roaming-7')).status, 'Accepted')
  t.is((await begin(one, 'ROAMING-7')).status, 'Invalid')
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
  t.is(word('ReserveNow', { connectorId: 1, reservationId: permit.number }), undefined)
  t.is(word('UnlockConnector', { connectorId: 1 }), undefined)
})
