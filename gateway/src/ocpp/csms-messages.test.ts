import { ocppActions, ocppVersions } from '@wattline/protocol'
import test from 'ava'
import { RPCClient } from 'ocpp-rpc'
import { blockedToken, connectStation, startCsms, startStation } from '../../test/csms-rig.ts'
import { findSchema, tellFaults } from './schemas.ts'

const time = '2027-01-15T08:00:00Z'
const start = { connectorId: 1, idTag: 'CARD', meterStart: 100, timestamp: time }

test('D2: OCPP 2.1 is checked: a wrong message is refused, a right one is not', async (t) => {
  const { station } = await startStation(t, 'ocpp2.1')
  const idToken = { idToken: 'CARD', type: 'ISO14443' }
  t.deepEqual((await station.call('Authorize', { idToken }))[2], { idTokenInfo: { status: 'Accepted' } })
  const wrong = await station.call('Authorize', { idTag: 'CARD' })
  t.is(wrong[0], 4)
  t.is(wrong[2], 'FormatViolation')
  t.regex(String(wrong[3]), /idToken/)
  t.is(ocppVersions.filter((version) => findSchema(version, 'BootNotification', 'answer') !== undefined).length, 3)
})

test('D4: OCPP 2.1 SEND and CALLRESULTERROR are taken and never answered', async (t) => {
  const { station, log, frames } = await startStation(t, 'ocpp2.1')
  const stream = { id: 1, pending: 0, basetime: time, data: [{ t: 0, v: '1' }] }
  station.socket.send(JSON.stringify([6, 's1', 'NotifyPeriodicEventStream', stream]))
  station.socket.send(JSON.stringify([6, 's2', 'NotifyPeriodicEventStream', { id: 'x' }]))
  station.socket.send(JSON.stringify([5, 'r1', 'FormatViolation', 'what was that', {}]))
  t.deepEqual((await station.call('Heartbeat', {}, 'h1')).slice(0, 2), [3, 'h1'], 'the first and only answer')
  t.like(await log.line('ocpp.frame.answer-refused'), { reason: 'FormatViolation: what was that' })
  t.like(await log.line('ocpp.message.quarantined'), { action: 'NotifyPeriodicEventStream' })
  // What was put aside is committed at the end of its turn; another exchange comes after that.
  await station.call('Heartbeat', {})
  t.like(frames(), [{ action: 'NotifyPeriodicEventStream', outcome: 'quarantined' }])
})

test('D4: message types that a version does not know: 1.6 ignores them, 2.0.1 says so under their id', async (t) => {
  const old = await startStation(t)
  old.station.socket.send('[6,"s1","NotifyPeriodicEventStream",{}]')
  old.station.socket.send('[9,"s2"]')
  t.is((await old.station.call('Heartbeat', {}, 'h1'))[1], 'h1')
  const newer = await startStation(t, 'ocpp2.0.1')
  t.deepEqual((await newer.station.ask('[6,"s1","NotifyPeriodicEventStream",{}]')).slice(0, 3), [
    4,
    's1',
    'MessageTypeNotSupported',
  ])
})

test('D5: an id that is a number is answered as it came; one that cannot be read is "-1", a wrong message keeps its own', async (t) => {
  const { station } = await startStation(t)
  t.deepEqual((await station.call('Heartbeat', {}, 5)).slice(0, 2), [3, 5])
  t.deepEqual((await station.call('Heartbeat', {}, '1000001')).slice(0, 2), [3, '1000001'])
  for (const text of ['[2,null,"Heartbeat",{}]', '{"a":1}', 'hello', '[2,{"a":1},"Heartbeat",{}]', '[]', '42']) {
    t.deepEqual((await station.ask(text)).slice(0, 3), [4, '-1', 'GenericError'], text)
  }
  t.deepEqual((await station.ask('[2,"a7",42,{}]')).slice(0, 2), [4, 'a7'])
  t.deepEqual((await station.ask('[2,"a8","Heartbeat",{"x":]')).slice(0, 2), [4, 'a8'])
  t.deepEqual((await station.ask('[2,"a9","MakeCoffee",{}]')).slice(0, 3), [4, 'a9', 'NotImplemented'])
  t.deepEqual((await station.ask('[2,"b1","RemoteStartTransaction",{"idTag":"x"}]')).slice(0, 3), [
    4,
    'b1',
    'NotImplemented',
  ])
})

test('Q6: an empty frame, and one of blanks, is passed over', async (t) => {
  const { station } = await startStation(t)
  station.socket.send('')
  station.socket.send('  \r\n')
  t.deepEqual((await station.call('Heartbeat', {}, 'h1')).slice(0, 2), [3, 'h1'])
})

test('D7, Q7: one id twice at once, and again later: each message is answered by its own content', async (t) => {
  const { station, frames } = await startStation(t)
  const text = (payload: object) => JSON.stringify([2, '1000001', 'StartTransaction', payload])
  station.socket.send(text(start))
  station.socket.send(text({ ...start, connectorId: 2 }))
  station.socket.send('[2,"1000001","Heartbeat",{}]')
  await station.message(3)
  const [first, second, third] = station.received.filter((message) => 'transactionId' in (message[2] as object))
  t.true(station.received.every(([type, id]) => type === 3 && id === '1000001'))
  t.not(JSON.stringify(first), JSON.stringify(second), 'two sessions')
  t.is(third, undefined)
  const again = await station.call('StartTransaction', start, 'another-id')
  t.deepEqual(again[2], first?.[2], 'the same start sent again is the same session')
  t.is(frames().length, 3)
})

test('D8: an unknown field, a model of 21 characters and a number for a text are mended, not refused', async (t) => {
  const { station, frames } = await startStation(t)
  const boot = { chargePointVendor: 5, chargePointModel: 'M'.repeat(21), colour: 'red', imsi: null }
  t.like((await station.call('BootNotification', boot))[2], { status: 'Accepted' })
  const [row] = frames()
  t.is(row?.outcome, 'mended')
  t.regex(row?.notes ?? '', /colour.*cut to 20 characters|cut to 20 characters.*colour/s)
  t.deepEqual(JSON.parse(row?.frame ?? '')[3], boot, 'the frame is kept as it came')
})

test('D8: a message that cannot be mended is put aside with the reason, and answered where nothing hangs on it', async (t) => {
  const { station, frames, log } = await startStation(t)
  t.like((await station.call('BootNotification', {}))[2], { status: 'Accepted' })
  t.deepEqual((await station.call('StatusNotification', { connectorId: 1, status: 'Dancing' }))[2], {})
  t.is((await station.call('Authorize', {}))[2], 'FormationViolation')
  t.deepEqual(
    frames().map(({ action, outcome }) => [action, outcome]),
    [
      ['BootNotification', 'quarantined'],
      ['StatusNotification', 'quarantined'],
      ['Authorize', 'quarantined'],
    ],
  )
  t.like(await log.line('ocpp.message.quarantined'), { station: 'CP1', action: 'BootNotification' })
})

test('a card is accepted or refused in the words of each version', async (t) => {
  const old = await startStation(t)
  t.deepEqual((await old.station.call('Authorize', { idTag: blockedToken }))[2], { idTagInfo: { status: 'Blocked' } })
  t.like((await old.station.call('StartTransaction', { ...start, idTag: blockedToken }))[2], {
    idTagInfo: { status: 'Blocked' },
  })
  const newer = await startStation(t, 'ocpp2.1')
  t.deepEqual((await newer.station.call('Authorize', { idToken: { idToken: blockedToken, type: 'eMAID' } }))[2], {
    idTokenInfo: { status: 'Blocked' },
  })
})

test('200 stations that boot at once are all served', async (t) => {
  const { port, csms, log } = await startCsms(t.teardown)
  const stations = await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      const station = await connectStation(`ws://127.0.0.1:${port}/CP${n}`)
      const answer = await station.call('BootNotification', { chargePointVendor: 'v', chargePointModel: 'm' })
      await station.call('StartTransaction', { ...start, connectorId: 1 })
      return answer
    }),
  )
  t.true(stations.every(([type]) => type === 3))
  t.is(csms.stations().filter(({ connected, model }) => connected && model === 'm').length, 200)
  t.false(log.lines.some(({ level }) => level === 'error' || level === 'warn'))
})

test('a client of ocpp-rpc in strict mode is content with everything that we say', async (t) => {
  const { port, csms } = await startCsms(t.teardown)
  const client = new RPCClient({
    endpoint: `ws://127.0.0.1:${port}`,
    identity: 'CP1',
    protocols: ['ocpp2.0.1'],
    strictMode: true,
    reconnect: false,
  } as ConstructorParameters<typeof RPCClient>[0])
  t.teardown(() => client.close())
  await client.connect()
  const boot = { reason: 'PowerUp', chargingStation: { model: 'm', vendorName: 'v' } }
  t.like(await client.call('BootNotification', boot), { status: 'Accepted', interval: 300 })
  t.like(await client.call('DataTransfer', { vendorId: 'x' }), { status: 'UnknownVendorId' })
  client.handle('GetLocalListVersion', async () => ({ versionNumber: 3 }))
  t.deepEqual(await csms.call('CP1', 'GetLocalListVersion', {}), { payload: { versionNumber: 3 }, faults: [] })
})

/** The least that each message must say, where that is not nothing. */
const least: Record<string, object> = {
  VatNumberValidation: { vatNumber: 'DE1' },
  Authorize: { idToken: { idToken: 'CARD', type: 'eMAID' } },
  SignCertificate: { csr: 'x' },
}
const unserved = ['BatterySwap', 'GetCertificateChainStatus', 'NotifySettlement']

for (const version of ocppVersions) {
  test(`D12: every answer that we give fits the schema of ${version}`, async (t) => {
    const { station } = await startStation(t, version)
    for (const action of ocppActions[version].station) {
      const payload = version === 'ocpp1.6' && action === 'Authorize' ? { idTag: 'CARD' } : (least[action] ?? {})
      const [type, , answer] = await station.call(action, payload)
      if (unserved.includes(action)) t.is(answer, 'NotSupported', action)
      else {
        t.is(type, 3, action)
        t.deepEqual(tellFaults(findSchema(version, action, 'answer')?.faults(answer) ?? []), [], action)
      }
    }
  })
}
