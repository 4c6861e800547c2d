import { createHash } from 'node:crypto'
import type { Commands } from './commands.ts'
import { on16 } from './commands-16.ts'
import type { Dialect, DialectContext, EvseStatus } from './dialect.ts'
import type { ListEntry, QueuedEvent, Sample } from './durable-state.ts'
import type { EvseFault } from './evse.ts'
import type { Payload } from './rpc.ts'
import { type SampledValue, sampledValues, shownRegisterWh } from './sampled-values.ts'
import type { Request } from './transaction-queue.ts'

const errorCodes: Readonly<Record<EvseFault, string>> = {
  'rcd-tripped': 'GroundFailure',
  'contactor-welded': 'PowerSwitchFailure',
  'lock-stuck': 'ConnectorLockFailure',
}

// Only the reasons that 1.6 has; the others are Other.
const stopReasons = new Set(['EmergencyStop', 'EVDisconnected', 'Local', 'Other', 'PowerLoss', 'Reboot', 'Remote'])
const stopReasonNames: Readonly<Record<string, string>> = {
  DeAuthorized: 'DeAuthorized',
  HardReset: 'HardReset',
  ImmediateReset: 'SoftReset',
}

/** What a CSMS is told for a transaction whose begin it never answered. */
const unknownTransaction = -1

/** OCPP 1.6J with the security extension. A connector is what 2.x calls an EVSE. */
export function dialect16(context: DialectContext, commands: Commands): Dialect {
  const { identity, clock } = context
  return {
    subprotocol: 'ocpp1.6',
    boot: () => ({
      action: 'BootNotification',
      payload: {
        chargePointVendor: identity.vendor,
        chargePointModel: identity.model,
        chargePointSerialNumber: identity.serial,
        firmwareVersion: identity.firmware,
      },
    }),
    statusName: (status) => toldStatus(status, context),
    status: ({ evseId, status, fault, atMs }) => ({
      action: 'StatusNotification',
      payload: {
        connectorId: evseId,
        errorCode: fault === undefined ? 'NoError' : errorCodes[fault],
        status: toldStatus(status, context),
        timestamp: clock.format(atMs),
      },
    }),
    authorize: (idTag) => ({ action: 'Authorize', payload: { idTag } }),
    event: (event) => encodeEvent(event, context),
    meterValues: (connectorId, sample) => meterValues({ connectorId }, sample, sample.registerWh, context),
    reservationEnded: () => undefined,
    tokenInfo,
    givenIdIn: ({ transactionId }) => (typeof transactionId === 'number' ? transactionId : undefined),
    onCall: (action, payload) => on16(action, payload, { ...context, commands }),
  }
}

function toldStatus(status: EvseStatus, { quirks }: DialectContext): EvseStatus {
  if (quirks.has('available-while-open') && status === 'Charging') return 'Available'
  return status
}

function encodeEvent(event: QueuedEvent, context: DialectContext): readonly Request[] {
  if (event.eventType === 'Started') return starts(event, context)
  if (event.eventType === 'Ended') return stops(event, context)
  return event.samples.map((sample) => valuesOf(event, sample, context))
}

function starts(event: QueuedEvent, context: DialectContext): readonly Request[] {
  const { quirks } = context
  if (quirks.has('start-never-sent') || quirks.has('start-at-end')) return []
  const request = startOf(event, event.startWh, context)
  return quirks.has('repeats-start') ? [request, request] : [request]
}

function startOf(event: QueuedEvent, registerWh: number, context: DialectContext): Request {
  const { quirks, clock } = context
  const below = quirks.has('start-below-last') ? 5 : 0
  return {
    action: 'StartTransaction',
    payload: {
      connectorId: event.evseId,
      idTag: event.idToken ?? '',
      meterStart: toWholeWh(shownRegisterWh(registerWh, event.startWh, quirks) - below, context),
      ...(event.reservationId === undefined ? {} : { reservationId: event.reservationId }),
      timestamp: clock.format(event.atMs),
    },
  }
}

function stops(event: QueuedEvent, context: DialectContext): readonly Request[] {
  const { quirks } = context
  const registerWh = event.samples.at(-1)?.registerWh ?? event.startWh
  if (quirks.has('start-at-end')) return [startOf(event, registerWh, context)]
  const stop = stopOf(event, registerWh, context)
  const requests = [stop]
  if (quirks.has('repeats-stop')) requests.push(stop)
  if (quirks.has('repeats-stop-otherwise')) {
    requests.push(stopOf({ ...event, atMs: event.atMs + 1000 }, registerWh + 1, context))
  }
  const last = event.samples.at(-1)
  if (quirks.has('meter-values-after-stop') && last !== undefined) requests.push(valuesOf(event, last, context))
  return requests
}

function stopOf(event: QueuedEvent, registerWh: number, context: DialectContext): Request {
  const { quirks, clock, settings } = context
  const shown = toWholeWh(shownRegisterWh(registerWh, event.startWh, quirks), context)
  const reason = event.stoppedReason ?? 'Local'
  const measurands = settings.text('stopMeasurands').split(',')
  const odd = quirks.has('odd-stop-transaction-id')
  return {
    action: 'StopTransaction',
    payload: {
      ...(event.idToken === undefined ? {} : { idTag: overrun(event.idToken, context) }),
      meterStop: spoiltStop(shown, context),
      timestamp: clock.format(event.atMs),
      transactionId: transactionIdOf(event, context, odd),
      ...(reason === 'Local'
        ? {}
        : { reason: stopReasonNames[reason] ?? (stopReasons.has(reason) ? reason : 'Other') }),
      ...(measurands[0] === ''
        ? {}
        : { transactionData: event.samples.map((s) => meterValue(s, event.startWh, context)) }),
    },
  }
}

function spoiltStop(shown: number, { quirks }: DialectContext): number {
  if (quirks.has('stop-minus-one')) return -1
  if (quirks.has('stop-zero')) return 0
  return quirks.has('stop-below-last') ? shown - 5 : shown
}

// A buffer of 20 bytes without its end: what lies behind it is sent along.
function overrun(idToken: string, { quirks }: DialectContext): string {
  return quirks.has('long-tag-overrun') && idToken.length === 20 ? `${idToken}accepted` : idToken
}

function valuesOf(event: QueuedEvent, sample: Sample, context: DialectContext): Request {
  const odd = context.quirks.has('odd-meter-values-transaction-id')
  const transactionId = transactionIdOf(event, context, odd)
  return meterValues({ connectorId: event.evseId, transactionId }, sample, event.startWh, context)
}

function meterValues(head: Payload, sample: Sample, startWh: number, context: DialectContext): Request {
  return { action: 'MeterValues', payload: { ...head, meterValue: [meterValue(sample, startWh, context)] } }
}

function meterValue(sample: Sample, startWh: number, context: DialectContext): Payload {
  const { clock, settings, quirks } = context
  const measurands = settings.text('sampledMeasurands').split(',')
  return {
    timestamp: clock.format(sample.atMs),
    sampledValue: sampledValues(sample, { startWh, measurands, quirks }).map((value) => ({
      ...value,
      value: toText(value, context),
    })),
  }
}

function toText({ value }: SampledValue, { quirks }: DialectContext): string | number {
  if (quirks.has('value-as-number')) return value
  return quirks.has('leading-blanks') ? `  ${value}` : String(value)
}

function toWholeWh(wh: number, { quirks }: DialectContext): number {
  return quirks.has('fractional-wh') ? Math.floor(wh) + 0.36 : Math.floor(wh)
}

function transactionIdOf({ transactionId }: QueuedEvent, { quirks, givenId }: DialectContext, odd: boolean): number {
  const made = createHash('sha256').update(transactionId).digest().readUInt16BE()
  if (odd) return [0, -1, made][made % 3] ?? 0
  // A station that charges in its own mode numbers transactions itself.
  if (quirks.has('start-never-sent')) return made
  return givenId(transactionId) ?? unknownTransaction
}

function tokenInfo(idToken: string, { idTagInfo }: Payload): ListEntry | undefined {
  if (typeof idTagInfo !== 'object' || idTagInfo === null || !('status' in idTagInfo)) return undefined
  const parent = 'parentIdTag' in idTagInfo ? String(idTagInfo.parentIdTag) : undefined
  const expires = 'expiryDate' in idTagInfo ? Date.parse(String(idTagInfo.expiryDate)) : Number.NaN
  return {
    idToken,
    status: String(idTagInfo.status),
    ...(parent === undefined ? {} : { groupIdToken: parent }),
    ...(Number.isNaN(expires) ? {} : { expiresAtMs: expires }),
  }
}
