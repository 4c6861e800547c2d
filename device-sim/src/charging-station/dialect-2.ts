import type { Commands } from './commands.ts'
import { on2 } from './commands-2.ts'
import type { Dialect, DialectContext, EvseStatus } from './dialect.ts'
import type { ListEntry, QueuedEvent, Sample } from './durable-state.ts'
import type { Payload } from './rpc.ts'
import { type SampledValue, sampledValues } from './sampled-values.ts'
import type { Request } from './transaction-queue.ts'

// OCPP 2.0.1 part 2 table ConnectorStatusEnumType: what the finer states of 1.6 are there.
const connectorStatus: Readonly<Record<EvseStatus, string>> = {
  Available: 'Available',
  Preparing: 'Occupied',
  Charging: 'Occupied',
  SuspendedEV: 'Occupied',
  SuspendedEVSE: 'Occupied',
  Finishing: 'Occupied',
  Reserved: 'Reserved',
  Unavailable: 'Unavailable',
  Faulted: 'Faulted',
}

/** The one connector of each EVSE. */
const connectorId = 1

/** OCPP 2.0.1 and 2.1, as far as they say the same. */
export function dialect2(version: '2.0.1' | '2.1', context: DialectContext, commands: Commands): Dialect {
  const { identity, clock } = context
  return {
    subprotocol: `ocpp${version}`,
    boot: (reason) => ({
      action: 'BootNotification',
      payload: {
        chargingStation: {
          vendorName: identity.vendor,
          model: identity.model,
          serialNumber: identity.serial,
          firmwareVersion: identity.firmware,
        },
        reason,
      },
    }),
    statusName: (status) => toldStatus(status, context),
    // The station as a whole (EVSE 0) has no status there.
    status: ({ evseId, status, atMs }) =>
      evseId === 0
        ? undefined
        : {
            action: 'StatusNotification',
            payload: {
              timestamp: clock.format(atMs),
              connectorStatus: toldStatus(status, context),
              evseId,
              connectorId: context.quirks.has('connector-0') ? 0 : connectorId,
            },
          },
    authorize: (idToken) => ({ action: 'Authorize', payload: { idToken: toIdToken(idToken) } }),
    event: (event) => encodeEvent(event, context),
    meterValues: (evseId, sample) => ({
      action: 'MeterValues',
      payload: { evseId, meterValue: [meterValue(sample, sample.registerWh, context)] },
    }),
    reservationEnded: (reservationId) => ({
      action: 'ReservationStatusUpdate',
      payload: { reservationId, reservationUpdateStatus: 'Expired' },
    }),
    tokenInfo,
    givenIdIn: () => undefined,
    onCall: (action, payload) => on2(action, payload, { ...context, commands }),
  }
}

function toldStatus(status: EvseStatus, { quirks }: DialectContext): string {
  return connectorStatus[quirks.has('available-while-open') && status === 'Charging' ? 'Available' : status]
}

function toIdToken(idToken: string): Payload {
  return { idToken, type: 'ISO14443' }
}

function encodeEvent(event: QueuedEvent, context: DialectContext): readonly Request[] {
  const { quirks } = context
  if (event.eventType === 'Started' && (quirks.has('start-never-sent') || quirks.has('start-at-end'))) return []
  const type = event.eventType === 'Ended' && quirks.has('start-at-end') ? 'Started' : event.eventType
  const request = eventRequest({ ...event, eventType: type }, context)
  if (event.eventType === 'Started' && quirks.has('repeats-start')) return [request, request]
  if (event.eventType !== 'Ended') return [request]
  if (quirks.has('repeats-stop')) return [request, request]
  if (quirks.has('repeats-stop-otherwise')) {
    const samples = event.samples.map((sample) => ({ ...sample, registerWh: sample.registerWh + 1 }))
    return [request, eventRequest({ ...event, atMs: event.atMs + 1000, samples }, context)]
  }
  if (quirks.has('meter-values-after-stop')) {
    return [request, eventRequest({ ...event, eventType: 'Updated', seqNo: event.seqNo + 1 }, context)]
  }
  return [request]
}

function eventRequest(event: QueuedEvent, context: DialectContext): Request {
  const { quirks, clock } = context
  const noReason = quirks.has('no-stopped-reason') || event.eventType !== 'Ended'
  const ended = event.eventType === 'Ended'
  return {
    action: 'TransactionEvent',
    payload: {
      eventType: event.eventType,
      timestamp: clock.format(event.atMs),
      triggerReason: event.triggerReason,
      seqNo: quirks.has('seq-no-0') ? 0 : event.seqNo,
      ...(event.offline ? { offline: true } : {}),
      ...(event.reservationId === undefined ? {} : { reservationId: event.reservationId }),
      transactionInfo: {
        transactionId: event.transactionId,
        chargingState: event.chargingState,
        ...(noReason || event.stoppedReason === undefined ? {} : { stoppedReason: event.stoppedReason }),
        ...(event.remoteStartId === undefined ? {} : { remoteStartId: event.remoteStartId }),
      },
      evse: { id: event.evseId, ...connector(context) },
      ...(event.idToken === undefined ? {} : { idToken: toIdToken(overrun(event.idToken, ended, context)) }),
      ...(event.samples.length === 0 || quirks.has('no-meter-value')
        ? {}
        : {
            meterValue: event.samples.map((sample) =>
              meterValue(spoilt(sample, event, context), event.startWh, context),
            ),
          }),
    },
  }
}

function connector({ quirks }: DialectContext): Payload {
  if (quirks.has('no-connector-id')) return {}
  return { connectorId: quirks.has('connector-0') ? 0 : connectorId }
}

// A buffer of 20 bytes without its end: what lies behind it is sent along.
function overrun(idToken: string, ended: boolean, { quirks }: DialectContext): string {
  return ended && quirks.has('long-tag-overrun') && idToken.length === 20 ? `${idToken}accepted` : idToken
}

function spoilt(sample: Sample, event: QueuedEvent, { quirks }: DialectContext): Sample {
  if (sample.context === 'Transaction.Begin' && quirks.has('start-below-last')) {
    return { ...sample, registerWh: sample.registerWh - 5 }
  }
  if (sample.context !== 'Transaction.End' || event.eventType !== 'Ended') return sample
  if (quirks.has('stop-minus-one')) return { ...sample, registerWh: -1 }
  if (quirks.has('stop-zero')) return { ...sample, registerWh: 0 }
  return quirks.has('stop-below-last') ? { ...sample, registerWh: sample.registerWh - 5 } : sample
}

function meterValue(sample: Sample, startWh: number, context: DialectContext): Payload {
  const { clock, settings, quirks } = context
  const measurands = settings.text('sampledMeasurands').split(',')
  return {
    timestamp: clock.format(sample.atMs),
    sampledValue: sampledValues(sample, { startWh, measurands, quirks }).map((value) => toSampledValue(value, quirks)),
  }
}

// In 2.x values are numbers by the schema, so text is the mistake.
function toSampledValue({ unit, value, ...rest }: SampledValue, quirks: DialectContext['quirks']): Payload {
  const asText = quirks.has('leading-blanks') ? `  ${value}` : value
  return { ...rest, value: asText, ...(unit === undefined ? {} : { unitOfMeasure: { unit } }) }
}

function tokenInfo(idToken: string, { idTokenInfo }: Payload): ListEntry | undefined {
  if (typeof idTokenInfo !== 'object' || idTokenInfo === null || !('status' in idTokenInfo)) return undefined
  const group = 'groupIdToken' in idTokenInfo ? idTokenInfo.groupIdToken : undefined
  const groupId = typeof group === 'object' && group !== null && 'idToken' in group ? String(group.idToken) : undefined
  const expires =
    'cacheExpiryDateTime' in idTokenInfo ? Date.parse(String(idTokenInfo.cacheExpiryDateTime)) : Number.NaN
  return {
    idToken,
    status: String(idTokenInfo.status),
    ...(groupId === undefined ? {} : { groupIdToken: groupId }),
    ...(Number.isNaN(expires) ? {} : { expiresAtMs: expires }),
  }
}
