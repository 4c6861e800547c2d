import test from 'ava'
import { startStation, watchedSink } from '../../test/csms-rig.ts'
import type { TransactionMessage } from './transaction-sink.ts'

const time = '2027-01-15T08:00:00Z'
const start = { connectorId: 1, idTag: 'CARD', meterStart: 100, timestamp: time }
const stop = { meterStop: 200, timestamp: time, transactionId: 1 }

test('a transaction message is always answered, whatever is in it, and kept as it came', async (t) => {
  const { station, frames } = await startStation(t)
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
  const newer = await startStation(t, 'ocpp2.0.1')
  t.deepEqual(await newer.station.ask('[2,"a","TransactionEvent",{"eventType":"Sometimes"}]'), [3, 'a', {}])
})

test('a transaction message on which the sink fails is answered, put aside, and leaves nothing else', async (t) => {
  const { station, frames, store } = await startStation(
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
  const { station, store, log } = await startStation(t)
  store.db.exec("CREATE TRIGGER full BEFORE INSERT ON ocpp_frames BEGIN SELECT raise(ABORT, 'disk full'); END")
  station.socket.send(JSON.stringify([2, 'a', 'StopTransaction', stop]))
  t.is((await station.closed()).code, 1013)
  t.deepEqual(station.received, [])
  t.like(await log.line('ocpp.call.failed'), { action: 'StopTransaction' })
})

test('D9, Q13: a time without zone is local to the station, and nothing is taken for local to this machine', async (t) => {
  const seen: TransactionMessage[] = []
  const { station } = await startStation(t, 'ocpp1.6', { timeZone: 'Europe/Berlin' }, watchedSink(seen))
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
  const { station, clock } = await startStation(t, 'ocpp1.6', {}, watchedSink(seen))
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
  const { station } = await startStation(t, 'ocpp1.6', {}, watchedSink(seen))
  const idTag = `${'A'.repeat(20)}B`
  t.deepEqual((await station.call('StopTransaction', { ...stop, idTag }))[2], {})
  t.deepEqual(seen[0]?.payload, stop)
  t.like((await station.call('StartTransaction', { ...start, idTag }))[2], { idTagInfo: { status: 'Invalid' } })
  t.is(seen.length, 1)
})

test('Q15, Q16, Q19: whatever transaction id a station makes up, its message is taken', async (t) => {
  const seen: TransactionMessage[] = []
  const { station } = await startStation(t, 'ocpp1.6', {}, watchedSink(seen))
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
  const { station } = await startStation(t, 'ocpp2.0.1', {}, watchedSink(seen))
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
  const { station } = await startStation(t, 'ocpp1.6', {}, watchedSink(seen))
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
  const { station, frames } = await startStation(t, 'ocpp1.6', {}, watchedSink(seen))
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
  const { station } = await startStation(t, 'ocpp1.6', {}, watchedSink(seen))
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
  const { station } = await startStation(t, 'ocpp1.6', {}, watchedSink(seen))
  for (const meterStop of [-1, 0, 99])
    t.deepEqual((await station.call('StopTransaction', { ...stop, meterStop }))[2], {})
  t.deepEqual(
    seen.map(({ payload }) => payload['meterStop']),
    [-1, 0, 99],
  )
})
