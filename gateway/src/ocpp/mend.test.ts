import { ocppActions, ocppVersions } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { mendRequest } from './mend.ts'
import { findSchema } from './schemas.ts'

const actions = ocppVersions.flatMap((version) => ocppActions[version].station.map((action) => ({ version, action })))

// Values that stations might send, with the names of fields that the schemas know, so that mending gets deep.
const names = fc.constantFrom(
  'idTag',
  'meterStart',
  'meterStop',
  'timestamp',
  'connectorId',
  'transactionId',
  'meterValue',
  'sampledValue',
  'value',
  'unit',
  'phase',
  'context',
  'eventType',
  'triggerReason',
  'seqNo',
  'transactionInfo',
  'evse',
  'id',
  'idToken',
  'type',
  '__proto__',
  'constructor',
  'a/b~c',
  'reason',
  'status',
  'transactionData',
  'measurand',
  'unitOfMeasure',
  'vendorId',
)
const leaves = fc.oneof(
  fc.constantFrom(
    null,
    true,
    '',
    ' 5',
    '5.5',
    'Wh',
    'kwh',
    'L1',
    '2026-11-21T09:00:00',
    'Ended',
    'Updated',
    'EVDetected',
  ),
  fc.double(),
  fc.string(),
)
const { payload: payloads } = fc.letrec((tie) => ({
  payload: fc.oneof({ maxDepth: 5 }, leaves, fc.array(tie('payload'), { maxLength: 4 }), tie('fields')),
  fields: fc.array(fc.tuple(names, tie('payload')), { maxLength: 6 }).map((entries) => Object.fromEntries(entries)),
}))

const timestamp = '2026-11-21T09:00:00'
const meterValue = [{ timestamp, sampledValue: [{ value: '1', unit: 'wh' }, { value: 2 }] }]
// Nearly valid messages, of which some field is then replaced by anything.
const bases = [
  { version: 'ocpp1.6', action: 'StartTransaction', base: { connectorId: 1, idTag: 'A', meterStart: '1', timestamp } },
  { version: 'ocpp1.6', action: 'MeterValues', base: { connectorId: 1, meterValue } },
  { version: 'ocpp1.6', action: 'StopTransaction', base: { meterStop: 1.5, timestamp, transactionId: 1 } },
  { version: 'ocpp2.0.1', action: 'MeterValues', base: { evseId: 1, meterValue } },
  {
    version: 'ocpp2.1',
    action: 'TransactionEvent',
    base: {
      eventType: 'ended',
      timestamp,
      triggerReason: 'EVDetected',
      seqNo: 0,
      transactionInfo: { transactionId: 1 },
    },
  },
] as const
const nearly = fc
  .tuple(fc.constantFrom(...bases), fc.array(fc.tuple(names, payloads), { maxLength: 2 }))
  .map(([{ base, ...rest }, others]) => ({ ...rest, payload: { ...base, ...Object.fromEntries(others) } }))
const wild = fc.tuple(fc.constantFrom(...actions), payloads).map(([action, payload]) => ({ ...action, payload }))

test('whatever a station sends, mending never throws, and what it gives fits the schema', (t) => {
  let mended = 0
  fc.assert(
    fc.property(fc.oneof(nearly, wild), ({ version, action, payload }) => {
      const before = JSON.stringify(payload)
      const result = mendRequest({ version, action, payload, timeZone: 'UTC' })
      t.is(JSON.stringify(payload), before, 'what came is left as it was')
      if (!result.ok) return t.true(result.problems.length > 0)
      mended++
      return t.deepEqual(findSchema(version, action, 'request')?.faults(result.payload), [])
    }),
    { numRuns: 3_000 },
  )
  t.true(mended > 100, 'some could be mended')
})

test('what fits the schema is left as it is', (t) => {
  const payload = {
    connectorId: 1,
    meterValue: [{ timestamp: '2026-11-21T09:00:00Z', sampledValue: [{ value: '12.50', unit: 'Wh' }] }],
  }
  const result = mendRequest({ version: 'ocpp1.6', action: 'MeterValues', payload, timeZone: 'UTC' })
  t.deepEqual(result, { ok: true, payload, mended: [] })
})

test('a fault outside the samples is not mended by leaving one out', (t) => {
  const payload = { meterValue: [{ timestamp: '2026-11-21T09:00:00Z', sampledValue: [{ value: '1' }] }] }
  const result = mendRequest({ version: 'ocpp1.6', action: 'MeterValues', payload, timeZone: 'UTC' })
  t.deepEqual(result, { ok: false, problems: ["payload: must have required property 'connectorId'"] })
})
