import { ocppActions, ocppVersions } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { RPCClient } from 'ocpp-rpc'
import { blockedToken, type CsmsRigOptions, connectStation, makeTestSink, startCsms } from '../../test/csms-rig.ts'
import { HandClock } from '../../test/signing-rig.ts'
import { findSchema, tellFaults } from './schemas.ts'
import type { TransactionMessage } from './transaction-sink.ts'

const time = '2027-01-15T08:00:00Z'
const start = { connectorId: 1, idTag: 'CARD', meterStart: 100, timestamp: time }
const stop = { meterStop: 200, timestamp: time, transactionId: 1 }

async function rig(t: ExecutionContext, version = 'ocpp1.6', config = {}, options: CsmsRigOptions = {}) {
  const csms = await startCsms(t.teardown, config, options)
  const station = await connectStation(`ws://127.0.0.1:${csms.port}/CP1`, [version])
  return { ...csms, station }
}

/** A sink that keeps what it gets. */
function watchedSink(seen: TransactionMessage[]): CsmsRigOptions {
  return {
    sink: (store) => {
      const sink = makeTestSink(store, new HandClock())
      const watch =
        <T>(work: (message: TransactionMessage) => T) =>
        (message: TransactionMessage) => {
          seen.push(message)
          return work(message)
        }
      return {
        start: watch((message) => sink.start(message)),
        stop: watch((message) => sink.stop(message)),
        meterValues: watch((message) => sink.meterValues(message)),
        event: watch((message) => sink.event(message)),
      }
    },
  }
}

test('D2: OCPP 2.1 is checked: a wrong message is refused, a right one is not', async (t) => {
  const { station } = await rig(t, 'ocpp2.1')
  const idToken = { idToken: 'CARD', type: 'ISO14443' }
  t.deepEqual((await station.call('Authorize', { idToken }))[2], { idTokenInfo: { status: 'Accepted' } })
  const wrong = await station.call('Authorize', { idTag: 'CARD' })
  t.is(wrong[0], 4)
  t.is(wrong[2], 'FormatViolation')
  t.regex(String(wrong[3]), /idToken/)
  t.is(ocppVersions.filter((version) => findSchema(version, 'BootNotification', 'answer') !== undefined).length, 3)
})

test('D4: OCPP 2.1 SEND and CALLRESULTERROR are taken and never answered', async (t) => {
  const { station, log, frames } = await rig(t, 'ocpp2.1')
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
  const old = await rig(t)
  old.station.socket.send('[6,"s1","NotifyPeriodicEventStream",{}]')
  old.station.socket.send('[9,"s2"]')
  t.is((await old.station.call('Heartbeat', {}, 'h1'))[1], 'h1')
  const newer = await rig(t, 'ocpp2.0.1')
  t.deepEqual((await newer.station.ask('[6,"s1","NotifyPeriodicEventStream",{}]')).slice(0, 3), [
    4,
    's1',
    'MessageTypeNotSupported',
  ])
})

test('D5: an id that is a number is answered as it came; one that cannot be read is "-1", a wrong message keeps its own', async (t) => {
  const { station } = await rig(t)
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
  const { station } = await rig(t)
  station.socket.send('')
  station.socket.send('  \r\n')
  t.deepEqual((await station.call('Heartbeat', {}, 'h1')).slice(0, 2), [3, 'h1'])
})

test('D7, Q7: one id twice at once, and again later: each message is answered by its own content', async (t) => {
  const { station, frames } = await rig(t)
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
  const { station, frames } = await rig(t)
  const boot = { chargePointVendor: 5, chargePointModel: 'M'.repeat(21), colour: 'red', imsi: null }
  t.like((await station.call('BootNotification', boot))[2], { status: 'Accepted' })
  const [row] = frames()
  t.is(row?.outcome, 'mended')
  t.regex(row?.notes ?? '', /colour.*cut to 20 characters|cut to 20 characters.*colour/s)
  t.deepEqual(JSON.parse(row?.frame ?? '')[3], boot, 'the frame is kept as it came')
})

test('D8: a message that cannot be mended is put aside with the reason, and answered where nothing hangs on it', async (t) => {
  const { station, frames, log } = await rig(t)
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

test('a transaction message is always answered, whatever is in it, and kept as it came', async (t) => {
  const { station, frames } = await rig(t)
  const broken = [
    '[2,"a","StopTransaction",{"meterStop":NaN,"transactionId":1}]',
    '[2,"a","StopTransaction"]',
    '[2,"a","StopTransaction",{"meterStop":',
    '[2,"a","MeterValues",[]]',
    '[2,"a","MeterValues",{"connectorId":"first"}]',
    '[2,"a","StopTransaction",{"meterStop":"many","timestamp":"today","transactionId":{}}]',
  ]
  for (const text of broken) t.deepEqual(await station.ask(text), [3, 'a', {}], text)
  const answer = await station.ask('[2,"a","StartTransaction",{"connectorId":1}]')
  t.like(answer[2], { idTagInfo: { status: 'Invalid' } })
  t.deepEqual(
    frames().map(({ frame, outcome }) => [frame, outcome]),
    [...broken, '[2,"a","StartTransaction",{"connectorId":1}]'].map((frame) => [frame, 'quarantined']),
  )
  const newer = await rig(t, 'ocpp2.0.1')
  t.deepEqual(await newer.station.ask('[2,"a","TransactionEvent",{"eventType":"Sometimes"}]'), [3, 'a', {}])
})

test('a transaction message on which the sink fails is answered, put aside, and leaves nothing else', async (t) => {
  const { station, frames, store } = await rig(
    t,
    'ocpp1.6',
    {},
    {
      sink: (opened) => ({
        start: () => {
          throw new Error('unreachable state')
        },
        stop: () => {
          opened.db.prepare("INSERT INTO settings VALUES ('half', 'done')").run()
          throw new Error('unreachable state')
        },
        meterValues: () => {},
        event: () => ({}),
      }),
    },
  )
  t.like((await station.call('StartTransaction', start))[2], { idTagInfo: { status: 'Invalid' } })
  t.deepEqual((await station.call('StopTransaction', stop))[2], {})
  t.is(store.db.prepare('SELECT count(*) FROM settings').pluck().get(), 0)
  t.deepEqual(
    frames().map(({ outcome, notes }) => [outcome, notes]),
    [1, 2].map(() => ['quarantined', '["not understood: unreachable state"]']),
  )
})

test('a transaction message that cannot be stored is not answered: the station keeps it and comes again', async (t) => {
  const { station, store, log } = await rig(t)
  store.db.exec("CREATE TRIGGER full BEFORE INSERT ON ocpp_frames BEGIN SELECT raise(ABORT, 'disk full'); END")
  station.socket.send(JSON.stringify([2, 'a', 'StopTransaction', stop]))
  t.is((await station.closed()).code, 1013)
  t.deepEqual(station.received, [])
  t.like(await log.line('ocpp.call.failed'), { action: 'StopTransaction' })
})

test('D9, Q13: a time without zone is local to the station, and nothing is taken for local to this machine', async (t) => {
  const seen: TransactionMessage[] = []
  const { station } = await rig(t, 'ocpp1.6', { timeZone: 'Europe/Berlin' }, watchedSink(seen))
  const times = {
    '2023-10-19T15:28:07': '2023-10-19T13:28:07.000Z',
    '2023-01-19 15:28:07': '2023-01-19T14:28:07.000Z',
    '2023-10-19T15:28:07+1000': '2023-10-19T05:28:07.000Z',
    '2023-10-19T15:28:07+10:00': '2023-10-19T15:28:07+10:00',
    '2023-10-19T15:28:07.5Z': '2023-10-19T15:28:07.5Z',
    '1970-01-01T00:00:12Z': '1970-01-01T00:00:12Z',
  }
  for (const timestamp of Object.keys(times)) await station.call('StartTransaction', { ...start, timestamp })
  t.deepEqual(
    seen.map(({ payload }) => payload['timestamp']),
    Object.values(times),
  )
  t.like((await station.call('StartTransaction', { ...start, timestamp: '2023-02-30T00:00:00Z' }))[2], {
    idTagInfo: { status: 'Invalid' },
  })
})

test('Q8, Q14: transactions are taken without a BootNotification, and late, with the times that they carry', async (t) => {
  const seen: TransactionMessage[] = []
  const { station, clock } = await rig(t, 'ocpp1.6', {}, watchedSink(seen))
  const messages = [
    ['StatusNotification', { connectorId: 1, errorCode: 'NoError', status: 'Available', timestamp: time }],
    ['StartTransaction', start],
    [
      'MeterValues',
      { connectorId: 1, transactionId: 1, meterValue: [{ timestamp: time, sampledValue: [{ value: '1' }] }] },
    ],
    ['StopTransaction', stop],
  ]
  messages.forEach(([action, payload], n) => void station.socket.send(JSON.stringify([2, `${n}`, action, payload])))
  await station.message(4)
  t.true(station.received.every(([type]) => type === 3))
  t.deepEqual(
    seen.map(({ payload, arrivedAt }) => [payload['timestamp'] ?? time, arrivedAt]),
    [1, 2, 3].map(() => [time, clock.now()]),
  )
})

test('Q12: a card number that is too long is never cut: a stop goes through without it, a start does not charge', async (t) => {
  const seen: TransactionMessage[] = []
  const { station } = await rig(t, 'ocpp1.6', {}, watchedSink(seen))
  const idTag = `${'A'.repeat(20)}B`
  t.deepEqual((await station.call('StopTransaction', { ...stop, idTag }))[2], {})
  t.deepEqual(seen[0]?.payload, stop)
  t.like((await station.call('StartTransaction', { ...start, idTag }))[2], { idTagInfo: { status: 'Invalid' } })
  t.is(seen.length, 1)
})

test('Q15, Q16, Q19: whatever transaction id a station makes up, its message is taken', async (t) => {
  const seen: TransactionMessage[] = []
  const { station } = await rig(t, 'ocpp1.6', {}, watchedSink(seen))
  const meterValue = [{ timestamp: time, sampledValue: [{ value: '1' }] }]
  const ids = [0, -1, 987_654_321, '42', ' 7']
  for (const transactionId of ids) {
    t.deepEqual((await station.call('MeterValues', { connectorId: 1, transactionId, meterValue }))[2], {})
    t.deepEqual((await station.call('StopTransaction', { ...stop, transactionId }))[2], {})
  }
  t.deepEqual(
    seen.map(({ payload }) => payload['transactionId']),
    [0, 0, -1, -1, 987_654_321, 987_654_321, 42, 42, 7, 7],
  )
})

test('Q22: events without connector, reason, readings or growing seqNo are taken', async (t) => {
  const seen: TransactionMessage[] = []
  const { station } = await rig(t, 'ocpp2.0.1', {}, watchedSink(seen))
  const event = { timestamp: time, triggerReason: 'Authorized', seqNo: 0, transactionInfo: { transactionId: 'a' } }
  const idToken = { idToken: 'CARD', type: 'ISO14443' }
  t.deepEqual(
    (await station.call('TransactionEvent', { ...event, eventType: 'Started', evse: { id: 1 }, idToken }))[2],
    {
      idTokenInfo: { status: 'Accepted' },
    },
  )
  const others = [
    { evse: { id: 1, connectorId: 0 } },
    { offline: true, meterValue: [] },
    { meterValue: [{ timestamp: time, sampledValue: [] }] },
  ]
  for (const other of others) {
    t.deepEqual((await station.call('TransactionEvent', { ...event, eventType: 'Ended', ...other }))[2], {})
  }
  t.deepEqual(
    seen.map(({ payload }) => payload['meterValue']),
    [undefined, undefined, undefined, undefined],
  )
})

test('Q24: two values of one measurand in a sample stay two, each with its context', async (t) => {
  const seen: TransactionMessage[] = []
  const { station } = await rig(t, 'ocpp1.6', {}, watchedSink(seen))
  const sampledValue = ['Sample.Periodic', 'Transaction.Begin'].map((context, n) => ({
    value: `${n}`,
    context,
    measurand: 'Energy.Active.Import.Register',
  }))
  const payload = { connectorId: 1, meterValue: [{ timestamp: time, sampledValue }] }
  await station.call('MeterValues', payload)
  t.deepEqual(seen[0]?.payload, payload)
  t.deepEqual(seen[0]?.mended, [])
})

test('Q26: samples in their own way are read, and what says nothing is left out, never guessed', async (t) => {
  const seen: TransactionMessage[] = []
  const { station, frames } = await rig(t, 'ocpp1.6', {}, watchedSink(seen))
  const samples = [
    { value: 12.5, unit: 'kWh' },
    { value: '  13 ', unit: 'wh' },
    { value: '' },
    { value: 'n/a' },
    { value: '1', measurand: 'Energy.Made.Up' },
    { value: '1', unit: 'furlong' },
    { value: '1', phase: 'L9' },
    { value: '21', measurand: 'Temperature', unit: '°C' },
    { value: '1', context: 'Whenever' },
    { value: '2', measurand: 'Current.Import', phase: 'L1-N', unit: 'A' },
    { value: '3', measurand: 'Current.Import', phase: 'N', unit: 'A', extra: 1 },
    { value: 'OCMF|{}|{}', format: 'SignedData' },
  ]
  const entry = (sampledValue: object[]) => ({ timestamp: time, sampledValue })
  const meterValue = [entry(samples), entry([{ value: '' }])]
  t.deepEqual((await station.call('MeterValues', { connectorId: 1, meterValue }))[2], {})
  t.deepEqual(seen[0]?.payload['meterValue'], [
    entry([
      { value: '12.5', unit: 'kWh' },
      { value: '13', unit: 'Wh' },
      { value: '21', measurand: 'Temperature', unit: 'Celsius' },
      { value: '1' },
      { value: '2', measurand: 'Current.Import', phase: 'L1-N', unit: 'A' },
      { value: '3', measurand: 'Current.Import', phase: 'N', unit: 'A' },
      { value: 'OCMF|{}|{}', format: 'SignedData' },
    ]),
  ])
  t.is(frames()[0]?.outcome, 'mended')
  t.true(seen[0]?.mended.some((words) => words.includes('Energy.Made.Up') || words.includes('sampledValue.2')))
})

test('Q26: fractions of a Wh in an integer field are cut, and the session ends', async (t) => {
  const seen: TransactionMessage[] = []
  const { station } = await rig(t, 'ocpp1.6', {}, watchedSink(seen))
  for (const meterStop of [200.9, '200.9', '200', ' 200']) {
    t.deepEqual((await station.call('StopTransaction', { ...stop, meterStop }))[2], {})
  }
  t.deepEqual(
    seen.map(({ payload }) => payload['meterStop']),
    [200, 200, 200, 200],
  )
})

test('Q25: a stop below its start, zero or negative is taken as it is: others judge it', async (t) => {
  const seen: TransactionMessage[] = []
  const { station } = await rig(t, 'ocpp1.6', {}, watchedSink(seen))
  for (const meterStop of [-1, 0, 99])
    t.deepEqual((await station.call('StopTransaction', { ...stop, meterStop }))[2], {})
  t.deepEqual(
    seen.map(({ payload }) => payload['meterStop']),
    [-1, 0, 99],
  )
})

test('a card is accepted or refused in the words of each version', async (t) => {
  const old = await rig(t)
  t.deepEqual((await old.station.call('Authorize', { idTag: blockedToken }))[2], { idTagInfo: { status: 'Blocked' } })
  t.like((await old.station.call('StartTransaction', { ...start, idTag: blockedToken }))[2], {
    idTagInfo: { status: 'Blocked' },
  })
  const newer = await rig(t, 'ocpp2.1')
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
    const { station } = await rig(t, version)
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
