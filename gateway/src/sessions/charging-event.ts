import { hash as digest } from 'node:crypto'
import { type ClockStatus, integerBetween, type OcppVersion, ocppVersions, type Timestamp } from '@wattline/protocol'
import * as v from 'valibot'
import { fieldsOf } from '../ocpp/json-place.ts'
import type { OcppPayload } from '../ocpp/transaction-sink.ts'
import { whShape } from './place-register.ts'
import { readRegisterValues } from './register-values.ts'

/** One message about charging, in words that all versions share. Lies in the database as JSON while it waits. */
export const chargingEventShape = v.object({
  kind: v.picklist(['start', 'update', 'end']),
  stationId: v.string(),
  version: v.picklist(ocppVersions),
  frame: integerBetween(1, Number.MAX_SAFE_INTEGER),
  contentHash: v.string(),
  arrivedAt: v.number(),
  clockStatus: v.picklist(['U', 'I', 'S', 'R']),
  /** Whether the same content came before. */
  isRepeat: v.boolean(),
  /** OCPP 1.6's connector, OCPP 2.x's EVSE; absent where the message names none. */
  connectorId: v.optional(v.number()),
  /** What the message calls the transaction; absent where that names none. */
  transaction: v.optional(v.string()),
  startKey: v.optional(v.string()),
  claimedAt: v.number(),
  values: v.array(v.object({ wh: whOrNegative(), claimedAt: v.number(), mark: v.picklist(['now', 'begin', 'end']) })),
  /** Whether something that should be energy could not be read. */
  hasFaults: v.boolean(),
  seqNo: v.optional(v.number()),
  reason: v.optional(v.string()),
  /** SHA-256 of the token, and of its first 20 characters where it is longer: some stations send rubbish behind it. */
  tokens: v.array(v.string()),
  isMasterPass: v.boolean(),
})
export type ChargingEvent = v.InferOutput<typeof chargingEventShape>

// -1 is what stations send for a register that they do not know.
function whOrNegative() {
  return v.union([
    whShape,
    v.pipe(
      v.literal('-1'),
      v.transform(() => -1n),
    ),
  ])
}

/** What an event is made of besides the message's content. */
export interface EventSource {
  readonly stationId: string
  readonly version: OcppVersion
  readonly payload: OcppPayload
  readonly frame: number
  readonly contentHash: string
  readonly arrivedAt: Timestamp
  readonly clockStatus: ClockStatus
  readonly isRepeat: boolean
}

type Content = Omit<ChargingEvent, Exclude<keyof EventSource, 'payload'> & keyof ChargingEvent>

const nothing = () => ({ values: [], hasFaults: false, tokens: [], isMasterPass: false })

function toEvent({ payload: _, ...source }: EventSource, content: Content): ChargingEvent {
  return { ...source, ...content }
}

/** OCPP 1.6 StartTransaction. */
export function readStart(source: EventSource): ChargingEvent {
  const { connectorId, idTag, meterStart, timestamp } = source.payload
  const claimedAt = Date.parse(String(timestamp))
  return toEvent(source, {
    ...nothing(),
    kind: 'start',
    connectorId: Number(connectorId),
    claimedAt,
    values: [{ wh: toWholeWh(meterStart), claimedAt, mark: 'begin' }],
    tokens: hashToken(idTag),
    startKey: hash([source.stationId, connectorId, idTag, claimedAt, meterStart].join('\n')),
  })
}

/** OCPP 1.6 StopTransaction. */
export function readStop(source: EventSource): ChargingEvent {
  const { meterStop, timestamp, transactionId, transactionData, idTag, reason } = source.payload
  const claimedAt = Date.parse(String(timestamp))
  const { values, faults } = readRegisterValues(transactionData)
  return toEvent(source, {
    ...nothing(),
    kind: 'end',
    transaction: toTransaction(transactionId),
    claimedAt,
    // What comes with the stop was measured before it.
    values: [
      ...values.filter((value) => value.claimedAt <= claimedAt),
      { wh: toWholeWh(meterStop), claimedAt, mark: 'end' },
    ],
    hasFaults: faults.length > 0,
    tokens: hashToken(idTag),
    reason: typeof reason === 'string' ? reason : 'Local',
  })
}

/** MeterValues of every version. OCPP 2.x sends them outside of transactions. */
export function readMeterValues(source: EventSource): ChargingEvent {
  const { connectorId, evseId, transactionId, meterValue } = source.payload
  const { values, faults } = readRegisterValues(meterValue)
  return toEvent(source, {
    ...nothing(),
    kind: 'update',
    connectorId: Number(connectorId ?? evseId),
    transaction: toTransaction(transactionId),
    claimedAt: latestTimestamp(meterValue) ?? source.arrivedAt,
    values: [...values],
    hasFaults: faults.length > 0,
  })
}

function latestTimestamp(meterValue: unknown): number | undefined {
  const entries = Array.isArray(meterValue) ? meterValue : []
  const times = entries.map((entry) => Date.parse(String(fieldsOf(entry)?.['timestamp']))).filter(Number.isFinite)
  return times.length === 0 ? undefined : Math.max(...times)
}

const kinds = { Started: 'start', Updated: 'update', Ended: 'end' } as const

/** OCPP 2.x TransactionEvent. */
export function readTransactionEvent(source: EventSource): ChargingEvent {
  const { eventType, timestamp, seqNo, transactionInfo, evse, idToken, meterValue } = source.payload
  const { transactionId, stoppedReason } = fieldsOf(transactionInfo) ?? {}
  const evseId = fieldsOf(evse)?.['id']
  const kind = kinds[eventType as keyof typeof kinds]
  const { values, faults } = readRegisterValues(meterValue)
  const last = values.findLastIndex(({ mark }) => mark === 'now')
  return toEvent(source, {
    kind,
    ...(typeof evseId === 'number' && evseId > 0 ? { connectorId: evseId } : {}),
    transaction: String(transactionId),
    claimedAt: Date.parse(String(timestamp)),
    values: values.map((value, at) => (kind === 'end' && at === last ? { ...value, mark: 'end' as const } : value)),
    hasFaults: faults.length > 0,
    seqNo: Number(seqNo),
    tokens: hashToken(fieldsOf(idToken)?.['idToken']),
    ...(kind === 'end' ? { reason: typeof stoppedReason === 'string' ? stoppedReason : 'Local' } : {}),
    isMasterPass: stoppedReason === 'MasterPass',
  })
}

// The schema says integer; what had fractions was cut on the way in.
function toWholeWh(value: unknown): bigint {
  return typeof value === 'number' && value >= 0 ? BigInt(Math.floor(value)) : -1n
}

// Ours begin at 1; 0 and -1 are what stations send that know no better.
function toTransaction(id: unknown): string | undefined {
  return typeof id === 'number' && id > 0 ? String(id) : undefined
}

const longestTag = 20

function hashToken(token: unknown): string[] {
  if (typeof token !== 'string' || token === '') return []
  // OCPP compares tokens without case.
  const plain = token.toLowerCase()
  return plain.length > longestTag ? [hash(plain), hash(plain.slice(0, longestTag))] : [hash(plain)]
}

function hash(text: string): string {
  return digest('sha256', text)
}
