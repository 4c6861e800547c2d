import test from 'ava'
import { StationWords } from './station-words.ts'

const nowMs = Date.parse('2026-11-21T12:00:00Z')
const at = (ms: number) => new Date(nowMs + ms).toISOString()
const words = (phases = 3) => new StationWords((connector) => (connector === 1 ? phases : undefined))
const amps = (...values: (number | string)[]) =>
  values.map((value, i) => ({ value, measurand: 'Current.Import', phase: `L${i + 1}`, unit: 'A' }))
const accepted = { transactionId: 17, idTagInfo: { status: 'Accepted' } }

test('OCPP 1.6: a transaction from its begin to its end', (t) => {
  const station = words()
  const hear = (action: string, payload: object, answer?: object) =>
    station.hear(action, payload as never, answer as never, nowMs)
  t.deepEqual(hear('StatusNotification', { connectorId: 1, status: 'Preparing' }), [
    { connector: 1, event: { kind: 'status', status: 'occupied' } },
  ])
  t.deepEqual(hear('StartTransaction', { connectorId: 1 }, accepted), [
    { connector: 1, event: { kind: 'began', transactionId: '17' } },
  ])
  t.deepEqual(
    hear('MeterValues', { connectorId: 1, meterValue: [{ timestamp: at(0), sampledValue: amps('9.5', '0', '0') }] }),
    [{ connector: 1, sample: { currents: [9.5, 0, 0], claimedMs: nowMs } }],
  )
  t.deepEqual(hear('StopTransaction', { transactionId: 17 }), [{ connector: 1, event: { kind: 'ended' } }])
  t.deepEqual(hear('StopTransaction', { transactionId: 17 }), [])
})

test('Q21: a transaction that was refused is none, until something flows', (t) => {
  const refused = { transactionId: 17, idTagInfo: { status: 'Invalid' } }
  t.deepEqual(words().hear('StartTransaction', { connectorId: 1 }, refused, nowMs), [])
})

test('Q15: after a restart of the gateway, a transaction is known by its meter values, unless their number is none', (t) => {
  const hear = (transactionId: number) =>
    words().hear(
      'MeterValues',
      { connectorId: 1, transactionId, meterValue: [{ timestamp: at(0), sampledValue: amps('8') }] },
      undefined,
      nowMs,
    )
  t.is(hear(0).length, 1)
  t.is(hear(-1).length, 1)
  t.deepEqual(hear(5)[0], { connector: 1, event: { kind: 'began', transactionId: '5' } })
})

test('OCPP 2.x: what a transaction says of its state counts for more than "Occupied"', (t) => {
  const station = words()
  const event = (eventType: string, more: object = {}) => ({
    eventType,
    timestamp: at(0),
    transactionInfo: { transactionId: 'T1', chargingState: 'Charging' },
    ...more,
  })
  const hear = (action: string, payload: object) => station.hear(action, payload as never, {}, nowMs)
  t.deepEqual(
    hear('TransactionEvent', event('Started', { evse: { id: 1 } })).map((one) => 'event' in one && one.event.kind),
    ['began', 'status'],
  )
  t.deepEqual(hear('StatusNotification', { evseId: 1, connectorId: 1, connectorStatus: 'Occupied' }), [])
  const meterValue = [
    {
      timestamp: at(0),
      sampledValue: [
        {
          value: 22,
          measurand: 'Power.Active.Import',
          unitOfMeasure: { unit: 'kW', multiplier: -1 },
          phase: undefined,
        },
      ],
    },
  ]
  // Q22: later events leave out where they happen.
  const [, sample] = hear('TransactionEvent', event('Updated', { meterValue }))
  t.true(sample !== undefined && 'sample' in sample && Math.abs(sample.sample.currents[2]! - 2200 / 690) < 1e-9)
  t.deepEqual(hear('TransactionEvent', event('Ended')), [{ connector: 1, event: { kind: 'ended' } }])
})

test('Q14: meter values that come hours late say nothing of now', (t) => {
  const station = words()
  const status = { connectorId: 1, status: 'Charging', timestamp: at(0) }
  station.hear('StatusNotification', status, undefined, nowMs)
  const late = { connectorId: 1, meterValue: [{ timestamp: at(-3_600_000), sampledValue: amps('16') }] }
  t.deepEqual(station.hear('MeterValues', late, undefined, nowMs), [])
})

test('Q13: a clock that is wrong is known by what it says, and a slow network does not matter', (t) => {
  const station = words()
  for (const lateMs of [900, 200, 4000]) {
    const status = { connectorId: 1, status: 'Charging', timestamp: at(7_200_000 - lateMs) }
    station.hear('StatusNotification', status, undefined, nowMs)
  }
  t.is(station.clockAheadMs, 7_199_800)
  t.is(words().clockAheadMs, 0)
})

test('Q24, Q26: values of the begin, empty ones and those of the neutral are passed over', (t) => {
  const sampledValue = [
    { value: '6', measurand: 'Current.Import', phase: 'L1', context: 'Transaction.Begin' },
    { value: '', measurand: 'Current.Import', phase: 'L2' },
    { value: '3', measurand: 'Current.Import', phase: 'N' },
    { value: '7', measurand: 'Current.Import', phase: 'L1-N' },
  ]
  const [heard] = words().hear(
    'MeterValues',
    { connectorId: 1, meterValue: [{ timestamp: at(0), sampledValue }] },
    undefined,
    nowMs,
  )
  // Nothing is known of the other phases, so they count like the one that is.
  t.deepEqual(heard, { connector: 1, sample: { currents: [7, 7, 7], claimedMs: nowMs } })
})

test('what concerns no charger of the site is passed over', (t) => {
  t.deepEqual(words().hear('StatusNotification', { connectorId: 2, status: 'Charging' }, undefined, nowMs), [])
  t.deepEqual(words().hear('StatusNotification', { connectorId: 0, status: 'Available' }, undefined, nowMs), [])
})
