import type { OcppVersion } from '@wattline/protocol'

type Examples = Readonly<Record<string, object>>

const time = '2026-11-21T09:00:00Z'
const hash = { hashAlgorithm: 'SHA256', issuerNameHash: 'a1', issuerKeyHash: 'b2', serialNumber: '03' }
const pem = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'
const file = 'https://firmware.example/v2.bin'

/** One request as it would really be sent, for each action of OCPP 1.6 with its security extension. */
const requests16: Examples = {
  CancelReservation: { reservationId: 7 },
  CertificateSigned: { certificateChain: pem },
  ChangeAvailability: { connectorId: 0, type: 'Inoperative' },
  ChangeConfiguration: { key: 'MeterValueSampleInterval', value: '60' },
  ClearCache: {},
  ClearChargingProfile: { connectorId: 1, chargingProfilePurpose: 'TxDefaultProfile' },
  DataTransfer: { vendorId: 'com.example', messageId: 'Ping', data: '{}' },
  DeleteCertificate: { certificateHashData: hash },
  ExtendedTriggerMessage: { requestedMessage: 'SignChargePointCertificate' },
  GetCompositeSchedule: { connectorId: 1, duration: 3600, chargingRateUnit: 'A' },
  GetConfiguration: { key: ['HeartbeatInterval'] },
  GetDiagnostics: { location: 'ftp://files.example/', retries: 2 },
  GetInstalledCertificateIds: { certificateType: 'CentralSystemRootCertificate' },
  GetLocalListVersion: {},
  GetLog: { logType: 'SecurityLog', requestId: 1, log: { remoteLocation: 'https://files.example/' } },
  InstallCertificate: { certificateType: 'CentralSystemRootCertificate', certificate: pem },
  RemoteStartTransaction: { idTag: 'CARD', connectorId: 1 },
  RemoteStopTransaction: { transactionId: 12 },
  ReserveNow: { connectorId: 1, expiryDate: time, idTag: 'CARD', reservationId: 7 },
  Reset: { type: 'Soft' },
  SendLocalList: {
    listVersion: 3,
    updateType: 'Full',
    localAuthorizationList: [{ idTag: 'CARD', idTagInfo: { status: 'Accepted', expiryDate: time } }],
  },
  SetChargingProfile: {
    connectorId: 1,
    csChargingProfiles: {
      chargingProfileId: 1,
      stackLevel: 0,
      chargingProfilePurpose: 'TxDefaultProfile',
      chargingProfileKind: 'Absolute',
      chargingSchedule: { chargingRateUnit: 'A', chargingSchedulePeriod: [{ startPeriod: 0, limit: 6.3 }] },
    },
  },
  SignedUpdateFirmware: {
    requestId: 2,
    firmware: { location: file, retrieveDateTime: time, signingCertificate: pem, signature: 'c2ln' },
  },
  TriggerMessage: { requestedMessage: 'MeterValues', connectorId: 1 },
  UnlockConnector: { connectorId: 1 },
  UpdateFirmware: { location: file, retrieveDate: time },
}

const idToken = { idToken: 'CARD', type: 'ISO14443' }
const variable = { component: { name: 'SampledDataCtrlr' }, variable: { name: 'TxUpdatedInterval' } }
const message = { content: '0.35 EUR/kWh', format: 'UTF8' }
const profile = {
  id: 1,
  stackLevel: 0,
  chargingProfilePurpose: 'TxDefaultProfile',
  chargingProfileKind: 'Absolute',
  chargingSchedule: [
    { id: 1, chargingRateUnit: 'A', startSchedule: time, chargingSchedulePeriod: [{ startPeriod: 0, limit: 6.3 }] },
  ],
}

const requests201: Examples = {
  CancelReservation: { reservationId: 7 },
  CertificateSigned: { certificateChain: pem, certificateType: 'ChargingStationCertificate' },
  ChangeAvailability: { operationalStatus: 'Inoperative', evse: { id: 1, connectorId: 1 } },
  ClearCache: {},
  ClearChargingProfile: { chargingProfileId: 1 },
  ClearDisplayMessage: { id: 1 },
  ClearVariableMonitoring: { id: [1] },
  CostUpdated: { totalCost: 1.25, transactionId: 'tx-1' },
  CustomerInformation: { requestId: 1, report: true, clear: false, idToken },
  DataTransfer: { vendorId: 'com.example', data: { any: 1 } },
  DeleteCertificate: { certificateHashData: hash },
  GetBaseReport: { requestId: 1, reportBase: 'FullInventory' },
  GetChargingProfiles: { requestId: 1, chargingProfile: { chargingProfilePurpose: 'TxProfile' } },
  GetCompositeSchedule: { duration: 3600, evseId: 1 },
  GetDisplayMessages: { requestId: 1 },
  GetInstalledCertificateIds: { certificateType: ['CSMSRootCertificate'] },
  GetLocalListVersion: {},
  GetLog: { logType: 'SecurityLog', requestId: 1, log: { remoteLocation: 'https://files.example/' } },
  GetMonitoringReport: { requestId: 1 },
  GetReport: { requestId: 1, componentVariable: [variable] },
  GetTransactionStatus: { transactionId: 'tx-1' },
  GetVariables: { getVariableData: [variable] },
  InstallCertificate: { certificateType: 'CSMSRootCertificate', certificate: pem },
  PublishFirmware: { location: file, checksum: 'd41d8cd98f00b204e9800998ecf8427e', requestId: 1 },
  RequestStartTransaction: { remoteStartId: 1, idToken, evseId: 1 },
  RequestStopTransaction: { transactionId: 'tx-1' },
  ReserveNow: { id: 7, expiryDateTime: time, idToken, evseId: 1 },
  Reset: { type: 'OnIdle' },
  SendLocalList: {
    versionNumber: 3,
    updateType: 'Full',
    localAuthorizationList: [{ idToken, idTokenInfo: { status: 'Accepted' } }],
  },
  SetChargingProfile: { evseId: 1, chargingProfile: profile },
  SetDisplayMessage: { message: { id: 1, priority: 'NormalCycle', message } },
  SetMonitoringBase: { monitoringBase: 'All' },
  SetMonitoringLevel: { severity: 4 },
  SetNetworkProfile: {
    configurationSlot: 1,
    connectionData: {
      ocppVersion: 'OCPP20',
      ocppTransport: 'JSON',
      ocppCsmsUrl: 'wss://gateway.local:9221',
      messageTimeout: 30,
      securityProfile: 2,
      ocppInterface: 'Wired0',
    },
  },
  SetVariableMonitoring: { setMonitoringData: [{ value: 80, type: 'UpperThreshold', severity: 3, ...variable }] },
  SetVariables: { setVariableData: [{ attributeValue: '60', ...variable }] },
  TriggerMessage: { requestedMessage: 'StatusNotification', evse: { id: 1, connectorId: 1 } },
  UnlockConnector: { evseId: 1, connectorId: 1 },
  UnpublishFirmware: { checksum: 'd41d8cd98f00b204e9800998ecf8427e' },
  UpdateFirmware: { requestId: 1, firmware: { location: file, retrieveDateTime: time } },
}

const tariff = { tariffId: 't1', currency: 'EUR', energy: { prices: [{ priceKwh: 0.35 }] } }

const requests21: Examples = {
  ...requests201,
  AFRRSignal: { timestamp: time, signal: -5 },
  AdjustPeriodicEventStream: { id: 1, params: { interval: 10, values: 5 } },
  ChangeTransactionTariff: { tariff, transactionId: 'tx-1' },
  ClearDERControl: { isDefault: false, controlType: 'LimitMaxDischarge' },
  ClearTariffs: { tariffIds: ['t1'] },
  GetDERControl: { requestId: 1 },
  GetPeriodicEventStream: {},
  GetTariffs: { evseId: 0 },
  NotifyAllowedEnergyTransfer: { allowedEnergyTransfer: ['AC_three_phase'], transactionId: 'tx-1' },
  NotifyWebPaymentStarted: { evseId: 1, timeout: 120 },
  RequestBatterySwap: { idToken, requestId: 1 },
  SetDERControl: {
    isDefault: true,
    controlId: 'c1',
    controlType: 'LimitMaxDischarge',
    limitMaxDischarge: { priority: 0, pctMaxDischargePower: 50 },
  },
  SetDefaultTariff: { evseId: 0, tariff },
  UpdateDynamicSchedule: { chargingProfileId: 1, scheduleUpdate: { limit: 6.3 } },
  UsePriorityCharging: { transactionId: 'tx-1', activate: true },
}

/** For tests: one valid request for each action that may be sent to a station. */
export const requestExamples: Readonly<Record<OcppVersion, Examples>> = {
  'ocpp1.6': requests16,
  'ocpp2.0.1': requests201,
  'ocpp2.1': requests21,
}
