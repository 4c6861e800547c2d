import { type Clock, isTransactionAction, type OcppVersion } from '@wattline/protocol'
import { fieldsOf } from './json-place.ts'
import { toIdTagInfo, toIdTokenInfo } from './transaction-answers.ts'
import type { Authorizer, OcppPayload } from './transaction-sink.ts'

/** What the answers are made of. */
export interface AnswerContext {
  readonly stationId: string
  readonly version: OcppVersion
  readonly clock: Clock
  readonly authorizer: Authorizer
  readonly heartbeatSeconds: number
}

type Answer = (payload: OcppPayload, context: AnswerContext) => OcppPayload

const nothing: Answer = () => ({})
const rejected: Answer = () => ({ status: 'Rejected' })
const currentTime = ({ clock }: AnswerContext) => new Date(clock.now()).toISOString()

function authorize(payload: OcppPayload, { version, stationId, authorizer }: AnswerContext): OcppPayload {
  if (version === 'ocpp1.6') {
    return { idTagInfo: toIdTagInfo(authorizer.authorize({ stationId, idToken: String(payload['idTag']) })) }
  }
  const { idToken, type } = fieldsOf(payload['idToken']) ?? {}
  const verdict = authorizer.authorize({ stationId, idToken: String(idToken), type: String(type) })
  return { idTokenInfo: toIdTokenInfo(verdict) }
}

// In the order of what they need; those that only take note first.
const answers: Readonly<Record<string, Answer>> = {
  ClearedChargingLimit: nothing,
  ClosePeriodicEventStream: nothing,
  DiagnosticsStatusNotification: nothing,
  FirmwareStatusNotification: nothing,
  LogStatusNotification: nothing,
  NotifyChargingLimit: nothing,
  NotifyCustomerInformation: nothing,
  NotifyDERAlarm: nothing,
  NotifyDERStartStop: nothing,
  NotifyDisplayMessages: nothing,
  NotifyEvent: nothing,
  NotifyMonitoringReport: nothing,
  NotifyPriorityCharging: nothing,
  NotifyReport: nothing,
  PublishFirmwareStatusNotification: nothing,
  ReportChargingProfiles: nothing,
  ReportDERControl: nothing,
  ReservationStatusUpdate: nothing,
  SecurityEventNotification: nothing,
  SignedFirmwareStatusNotification: nothing,
  StatusNotification: nothing,

  BootNotification: (_, context) => ({
    currentTime: currentTime(context),
    interval: context.heartbeatSeconds,
    status: 'Accepted',
  }),
  Heartbeat: (_, context) => ({ currentTime: currentTime(context) }),
  // OCPP 1.6 §4.3: never a CALLERROR, so that a station learns what its vendor's message is worth here.
  DataTransfer: () => ({ status: 'UnknownVendorId' }),
  Authorize: authorize,

  // Nobody here issues certificates, so none is promised.
  SignCertificate: rejected,
  GetCertificateStatus: () => ({ status: 'Failed' }),
  Get15118EVCertificate: () => ({ status: 'Failed', exiResponse: '' }),
  // Schedules of the vehicle are not taken into account.
  NotifyEVChargingNeeds: rejected,
  NotifyEVChargingSchedule: rejected,
  OpenPeriodicEventStream: rejected,
  PullDynamicScheduleUpdate: rejected,
  VatNumberValidation: ({ vatNumber }) => ({ status: 'Rejected', vatNumber: String(vatNumber) }),
}

// These must be read to be answered. Everything else gets its answer whatever it says.
const readToAnswer: readonly string[] = ['Authorize', 'SignCertificate', 'VatNumberValidation']

/** Whether a message is served here at all. Those that tell of energy always are. */
export function isServed(action: string): boolean {
  return isTransactionAction(action) || Object.hasOwn(answers, action)
}

/** Whether a message that cannot be read is answered all the same. */
export function canAnswerAnything(action: string): boolean {
  return isServed(action) && !readToAnswer.includes(action)
}

/** Answers a message that tells of no energy. */
export function answerOrdinary(action: string, payload: OcppPayload, context: AnswerContext): OcppPayload {
  const answer = Object.hasOwn(answers, action) ? answers[action] : undefined
  if (answer === undefined) throw new Error(`${action} is not served here`)
  return answer(payload, context)
}
