/** The versions of OCPP-J that are spoken here, named as their WebSocket subprotocols. */
export const ocppVersions = ['ocpp1.6', 'ocpp2.0.1', 'ocpp2.1'] as const

export type OcppVersion = (typeof ocppVersions)[number]

/** Which side of the connection a request comes from. DataTransfer may come from both. */
export type OcppSender = 'station' | 'csms'

const words = (text: string): readonly string[] => text.trim().split(/\s+/)

// OCPP 1.6 edition 2, sections 4 and 5, and the whitepaper "Improved security for OCPP 1.6-J" edition 3.
const fromStation16 = words(`
  Authorize BootNotification DataTransfer DiagnosticsStatusNotification FirmwareStatusNotification Heartbeat
  LogStatusNotification MeterValues SecurityEventNotification SignCertificate SignedFirmwareStatusNotification
  StartTransaction StatusNotification StopTransaction`)
const fromCsms16 = words(`
  CancelReservation CertificateSigned ChangeAvailability ChangeConfiguration ClearCache ClearChargingProfile
  DataTransfer DeleteCertificate ExtendedTriggerMessage GetCompositeSchedule GetConfiguration GetDiagnostics
  GetInstalledCertificateIds GetLocalListVersion GetLog InstallCertificate RemoteStartTransaction
  RemoteStopTransaction ReserveNow Reset SendLocalList SetChargingProfile SignedUpdateFirmware TriggerMessage
  UnlockConnector UpdateFirmware`)

// OCPP 2.0.1 part 2, "Messages".
const fromStation201 = words(`
  Authorize BootNotification ClearedChargingLimit DataTransfer FirmwareStatusNotification Get15118EVCertificate
  GetCertificateStatus Heartbeat LogStatusNotification MeterValues NotifyChargingLimit NotifyCustomerInformation
  NotifyDisplayMessages NotifyEVChargingNeeds NotifyEVChargingSchedule NotifyEvent NotifyMonitoringReport NotifyReport
  PublishFirmwareStatusNotification ReportChargingProfiles ReservationStatusUpdate SecurityEventNotification
  SignCertificate StatusNotification TransactionEvent`)
const fromCsms201 = words(`
  CancelReservation CertificateSigned ChangeAvailability ClearCache ClearChargingProfile ClearDisplayMessage
  ClearVariableMonitoring CostUpdated CustomerInformation DataTransfer DeleteCertificate GetBaseReport
  GetChargingProfiles GetCompositeSchedule GetDisplayMessages GetInstalledCertificateIds GetLocalListVersion GetLog
  GetMonitoringReport GetReport GetTransactionStatus GetVariables InstallCertificate PublishFirmware
  RequestStartTransaction RequestStopTransaction ReserveNow Reset SendLocalList SetChargingProfile SetDisplayMessage
  SetMonitoringBase SetMonitoringLevel SetNetworkProfile SetVariableMonitoring SetVariables TriggerMessage
  UnlockConnector UnpublishFirmware UpdateFirmware`)

// What OCPP 2.1 part 2 adds. NotifyPeriodicEventStream is no request: it is sent and never answered.
const fromStation21 = words(`
  BatterySwap ClosePeriodicEventStream GetCertificateChainStatus NotifyDERAlarm NotifyDERStartStop
  NotifyPriorityCharging NotifySettlement OpenPeriodicEventStream PullDynamicScheduleUpdate ReportDERControl
  VatNumberValidation`)
const fromCsms21 = words(`
  AFRRSignal AdjustPeriodicEventStream ChangeTransactionTariff ClearDERControl ClearTariffs GetDERControl
  GetPeriodicEventStream GetTariffs NotifyAllowedEnergyTransfer NotifyWebPaymentStarted RequestBatterySwap
  SetDERControl SetDefaultTariff UpdateDynamicSchedule UsePriorityCharging`)

/** Every request of a version, by who may send it. */
export const ocppActions: Readonly<Record<OcppVersion, Readonly<Record<OcppSender, readonly string[]>>>> = {
  'ocpp1.6': { station: fromStation16, csms: fromCsms16 },
  'ocpp2.0.1': { station: fromStation201, csms: fromCsms201 },
  'ocpp2.1': { station: [...fromStation201, ...fromStation21], csms: [...fromCsms201, ...fromCsms21] },
}

/** What is sent without an answer (OCPP 2.1 part 4, SEND). */
export const ocppSendActions: readonly string[] = ['NotifyPeriodicEventStream']

/** Messages that tell of energy: a station keeps and repeats them until they are answered. */
export const transactionActions = ['StartTransaction', 'StopTransaction', 'MeterValues', 'TransactionEvent'] as const

export type TransactionAction = (typeof transactionActions)[number]

/** Whether a message tells of energy. */
export function isTransactionAction(action: string): action is TransactionAction {
  return transactionActions.some((known) => known === action)
}
