import { isTransactionAction } from '@wattline/protocol'
import { fieldsOf } from '../json-place.ts'
import type { OcppPayload } from '../transaction-sink.ts'

/**
 * What becomes of a message of a station upstream. `kept`: each is delivered, in order, whenever that may be. `latest`:
 * only the newest about its subject counts. `passing`: it is of use at once or not at all. `own`: the gateway speaks for
 * itself, or the matter ends here.
 */
export type WayUp = 'kept' | 'latest' | 'passing' | 'own'

const words = (text: string): readonly string[] => text.trim().split(/\s+/)

// The messages of transactions reach the queue by way of the sink, in the transaction that journals them.
const kept = words('NotifyEvent ReservationStatusUpdate SecurityEventNotification')
const latest = words(`
  BootNotification DiagnosticsStatusNotification FirmwareStatusNotification LogStatusNotification
  PublishFirmwareStatusNotification SignedFirmwareStatusNotification StatusNotification`)
/** Parts of an answer that came before; upstream gets those that it has asked for. */
const reports = words(`
  NotifyCustomerInformation NotifyDisplayMessages NotifyMonitoringReport NotifyReport ReportChargingProfiles
  ReportDERControl`)
const passing = [
  ...reports,
  ...words('ClearedChargingLimit NotifyChargingLimit NotifyDERAlarm NotifyDERStartStop NotifyPriorityCharging'),
]

/** What becomes of a message upstream. */
export function wayUp(action: string): WayUp {
  if (isTransactionAction(action) || kept.includes(action)) return 'kept'
  if (latest.includes(action)) return 'latest'
  return passing.includes(action) ? 'passing' : 'own'
}

/** Whether a message is part of an answer that only whoever asked may read. */
export function isReport(action: string): boolean {
  return reports.includes(action)
}

/** What a message of which the latest counts is about. */
export function subjectOf(action: string, payload: OcppPayload): string {
  if (action !== 'StatusNotification') return action
  const { evseId = '', connectorId } = payload
  return `${action} ${String(evseId)}/${String(connectorId)}`
}

/** The same with the time at which it was true. A status of OCPP 1.6 without a time would count from its arrival. */
export function withTime(action: string, payload: OcppPayload, arrivedAt: number): OcppPayload {
  if (action !== 'StatusNotification' || payload['timestamp'] !== undefined) return payload
  return { ...payload, timestamp: new Date(arrivedAt).toISOString() }
}

/** The request id of a report, where it has one. */
export function requestIdOf(payload: unknown): number | undefined {
  const id = fieldsOf(payload)?.['requestId']
  return typeof id === 'number' ? id : undefined
}
