import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type OcppVersion, ocppActions } from '@wattline/protocol'
import test from 'ava'
import { runCommand } from '../src/demo/programs.ts'
import { startStationLine } from './ocpp-line.ts'

// Every request that a gateway can send, through `ocpp call` to the simulated station of each version: each is answered
// as OCPP says, and so is what the station sends because of it.

/** What the answer must hold, `{}` for anything that its schema allows; a text is its status, `refused` a CALLERROR. */
type Expected = string | object | typeof refused
type Exchange = readonly [action: string, payload: object, expected: Expected]

const refused = Symbol('NotImplemented')
const inAnHour = new Date(Date.now() + 3_600_000).toISOString()
const file = 'https://127.0.0.1/file'
const hash = { hashAlgorithm: 'SHA256', issuerNameHash: 'a1', issuerKeyHash: 'b2', serialNumber: '03' }

const exchanges16 = (root: string): readonly Exchange[] => {
  const schedule = { chargingRateUnit: 'A', chargingSchedulePeriod: [{ startPeriod: 0, limit: 6.3 }] }
  const csChargingProfiles = {
    chargingProfileId: 1,
    stackLevel: 0,
    chargingProfilePurpose: 'TxDefaultProfile',
    chargingProfileKind: 'Absolute',
    chargingSchedule: schedule,
  }
  const listed = [{ idTag: 'CARD', idTagInfo: { status: 'Accepted', expiryDate: inAnHour } }]
  return [
    ['TriggerMessage', { requestedMessage: 'MeterValues', connectorId: 1 }, 'Accepted'],
    ['GetConfiguration', { key: ['HeartbeatInterval'] }, { configurationKey: [{ key: 'HeartbeatInterval' }] }],
    ['ChangeConfiguration', { key: 'MeterValueSampleInterval', value: '30' }, 'Accepted'],
    ['ChangeConfiguration', { key: 'Nonsense', value: '1' }, 'NotSupported'],
    ['SendLocalList', { listVersion: 3, updateType: 'Full', localAuthorizationList: listed }, 'Accepted'],
    ['GetLocalListVersion', {}, { listVersion: 3 }],
    ['ClearCache', {}, 'Accepted'],
    ['ReserveNow', { connectorId: 2, expiryDate: inAnHour, idTag: 'CARD', reservationId: 7 }, 'Accepted'],
    ['CancelReservation', { reservationId: 7 }, 'Accepted'],
    ['CancelReservation', { reservationId: 7 }, 'Rejected'],
    ['SetChargingProfile', { connectorId: 1, csChargingProfiles }, 'Accepted'],
    ['GetCompositeSchedule', { connectorId: 1, duration: 60, chargingRateUnit: 'A' }, 'Accepted'],
    ['ClearChargingProfile', { id: 1 }, 'Accepted'],
    ['ClearChargingProfile', { id: 1 }, 'Unknown'],
    ['RemoteStartTransaction', { idTag: 'CARD', connectorId: 1 }, 'Accepted'],
    ['RemoteStopTransaction', { transactionId: 999_999 }, 'Rejected'],
    ['UnlockConnector', { connectorId: 1 }, 'Unlocked'],
    ['ChangeAvailability', { connectorId: 2, type: 'Inoperative' }, 'Accepted'],
    ['DataTransfer', { vendorId: 'com.example', messageId: 'Ping', data: '{}' }, 'UnknownVendorId'],
    ['InstallCertificate', { certificateType: 'CentralSystemRootCertificate', certificate: root }, 'Accepted'],
    ['GetInstalledCertificateIds', { certificateType: 'CentralSystemRootCertificate' }, 'Accepted'],
    ['DeleteCertificate', { certificateHashData: hash }, 'NotFound'],
    ['CertificateSigned', { certificateChain: root }, 'Rejected'],
    ['ExtendedTriggerMessage', { requestedMessage: 'SignChargePointCertificate' }, 'Accepted'],
    ['GetDiagnostics', { location: file, retries: 2 }, { fileName: 'diagnostics.txt' }],
    ['GetLog', { logType: 'SecurityLog', requestId: 1, log: { remoteLocation: file } }, 'Accepted'],
    [
      'SignedUpdateFirmware',
      {
        requestId: 2,
        firmware: { location: file, retrieveDateTime: inAnHour, signingCertificate: root, signature: 'c2ln' },
      },
      'Accepted',
    ],
    ['UpdateFirmware', { location: file, retrieveDate: inAnHour }, {}],
    ['Reset', { type: 'Soft' }, 'Accepted'],
  ]
}

const exchanges2 = (root: string, version: '2.0.1' | '2.1'): readonly Exchange[] => {
  const idToken = { idToken: 'CARD', type: 'ISO14443' }
  const interval = { component: { name: 'SampledDataCtrlr' }, variable: { name: 'TxUpdatedInterval' } }
  const content = { content: '0.35 EUR/kWh', format: 'UTF8' }
  const chargingProfile = {
    id: 1,
    stackLevel: 0,
    chargingProfilePurpose: 'TxDefaultProfile',
    chargingProfileKind: 'Absolute',
    chargingSchedule: [
      {
        id: 1,
        chargingRateUnit: 'A',
        startSchedule: inAnHour,
        chargingSchedulePeriod: [{ startPeriod: 0, limit: 6.3 }],
      },
    ],
  }
  const connectionData = {
    ocppVersion: version === '2.1' ? 'OCPP21' : 'OCPP20',
    ocppTransport: 'JSON',
    ocppCsmsUrl: 'wss://127.0.0.1:9',
    messageTimeout: 30,
    securityProfile: 2,
    ocppInterface: 'Wired0',
  }
  const listed = [{ idToken, idTokenInfo: { status: 'Accepted' } }]
  const monitors = [{ value: 80, type: 'UpperThreshold', severity: 3, ...interval }]
  return [
    ['TriggerMessage', { requestedMessage: 'StatusNotification', evse: { id: 1, connectorId: 1 } }, 'Accepted'],
    ['GetVariables', { getVariableData: [interval] }, { getVariableResult: [{ attributeStatus: 'Accepted' }] }],
    [
      'SetVariables',
      { setVariableData: [{ attributeValue: '30', ...interval }] },
      { setVariableResult: [{ attributeStatus: 'Accepted' }] },
    ],
    ['GetBaseReport', { requestId: 1, reportBase: 'FullInventory' }, 'Accepted'],
    ['GetReport', { requestId: 2, componentVariable: [interval] }, 'Accepted'],
    ['GetReport', { requestId: 3, componentVariable: [{ component: { name: 'Nobody' } }] }, 'EmptyResultSet'],
    ['SetNetworkProfile', { configurationSlot: 2, connectionData }, 'Accepted'],
    ['SendLocalList', { versionNumber: 3, updateType: 'Full', localAuthorizationList: listed }, 'Accepted'],
    ['GetLocalListVersion', {}, { versionNumber: 3 }],
    ['ClearCache', {}, 'Accepted'],
    ['ReserveNow', { id: 7, expiryDateTime: inAnHour, idToken, evseId: 2 }, 'Accepted'],
    ['CancelReservation', { reservationId: 7 }, 'Accepted'],
    ['SetChargingProfile', { evseId: 1, chargingProfile }, 'Accepted'],
    [
      'GetChargingProfiles',
      { requestId: 4, chargingProfile: { chargingProfilePurpose: 'TxDefaultProfile' } },
      'Accepted',
    ],
    ['GetCompositeSchedule', { duration: 60, evseId: 1 }, 'Accepted'],
    ['ClearChargingProfile', { chargingProfileId: 1 }, 'Accepted'],
    ['GetChargingProfiles', { requestId: 5, chargingProfile: { stackLevel: 0 } }, 'NoProfiles'],
    ['RequestStartTransaction', { remoteStartId: 1, idToken, evseId: 1 }, 'Accepted'],
    ['GetTransactionStatus', {}, {}],
    ['CostUpdated', { totalCost: 1.25, transactionId: 'tx-1' }, {}],
    ['RequestStopTransaction', { transactionId: 'nobodys' }, 'Rejected'],
    ['ChangeAvailability', { operationalStatus: 'Inoperative', evse: { id: 2 } }, 'Accepted'],
    ['UnlockConnector', { evseId: 2, connectorId: 1 }, 'Unlocked'],
    ['DataTransfer', { vendorId: 'com.example', data: { any: 1 } }, 'UnknownVendorId'],
    ['InstallCertificate', { certificateType: 'CSMSRootCertificate', certificate: root }, 'Accepted'],
    ['GetInstalledCertificateIds', { certificateType: ['CSMSRootCertificate'] }, 'Accepted'],
    ['DeleteCertificate', { certificateHashData: hash }, 'NotFound'],
    ['CertificateSigned', { certificateChain: root, certificateType: 'ChargingStationCertificate' }, 'Rejected'],
    ['TriggerMessage', { requestedMessage: 'SignChargingStationCertificate' }, 'Accepted'],
    ['GetLog', { logType: 'SecurityLog', requestId: 6, log: { remoteLocation: file } }, 'Accepted'],
    ['CustomerInformation', { requestId: 7, report: true, clear: true, idToken }, 'Accepted'],
    ['SetMonitoringBase', { monitoringBase: 'All' }, 'Accepted'],
    ['SetMonitoringLevel', { severity: 4 }, 'Accepted'],
    [
      'SetVariableMonitoring',
      { setMonitoringData: monitors },
      { setMonitoringResult: [{ status: 'Accepted', id: 1 }] },
    ],
    ['GetMonitoringReport', { requestId: 8 }, 'Accepted'],
    ['ClearVariableMonitoring', { id: [1] }, { clearMonitoringResult: [{ status: 'Accepted', id: 1 }] }],
    ['GetMonitoringReport', { requestId: 9 }, 'EmptyResultSet'],
    ['SetDisplayMessage', { message: { id: 1, priority: 'NormalCycle', message: content } }, 'Accepted'],
    ['GetDisplayMessages', { requestId: 10 }, 'Accepted'],
    ['ClearDisplayMessage', { id: 1 }, 'Accepted'],
    ['ClearDisplayMessage', { id: 1 }, 'Unknown'],
    // For a local controller.
    ['PublishFirmware', { location: file, checksum: 'd41d8cd98f00b204e9800998ecf8427e', requestId: 11 }, refused],
    ['UnpublishFirmware', { checksum: 'd41d8cd98f00b204e9800998ecf8427e' }, refused],
    ['UpdateFirmware', { requestId: 12, firmware: { location: file, retrieveDateTime: inAnHour } }, 'Accepted'],
    ['Reset', { type: 'Immediate' }, 'Accepted'],
  ]
}

const tariff = { tariffId: 't1', currency: 'EUR', energy: { prices: [{ priceKwh: 0.35 }] } }

/** Blocks of OCPP 2.1 that the simulated station has not: it must say so, and go on. */
const exchanges21: readonly Exchange[] = [
  ['AFRRSignal', { timestamp: inAnHour, signal: -5 }, refused],
  ['AdjustPeriodicEventStream', { id: 1, params: { interval: 10, values: 5 } }, refused],
  ['ChangeTransactionTariff', { tariff, transactionId: 'tx-1' }, refused],
  ['ClearDERControl', { isDefault: false, controlType: 'LimitMaxDischarge' }, refused],
  ['ClearTariffs', { tariffIds: ['t1'] }, refused],
  ['GetDERControl', { requestId: 1 }, refused],
  ['GetPeriodicEventStream', {}, refused],
  ['GetTariffs', { evseId: 0 }, refused],
  ['NotifyAllowedEnergyTransfer', { allowedEnergyTransfer: ['AC_three_phase'], transactionId: 'tx-1' }, refused],
  ['NotifyWebPaymentStarted', { evseId: 1, timeout: 120 }, refused],
  ['RequestBatterySwap', { idToken: { idToken: 'CARD', type: 'ISO14443' }, requestId: 1 }, refused],
  [
    'SetDERControl',
    {
      isDefault: true,
      controlId: 'c1',
      controlType: 'LimitMaxDischarge',
      limitMaxDischarge: { priority: 0, pctMaxDischargePower: 50 },
    },
    refused,
  ],
  ['SetDefaultTariff', { evseId: 0, tariff }, refused],
  ['UpdateDynamicSchedule', { chargingProfileId: 1, scheduleUpdate: { limit: 6.3 } }, refused],
  ['UsePriorityCharging', { transactionId: 'tx-1', activate: true }, refused],
]

test('every request of each version is answered by the simulated station as OCPP says', async (t) => {
  const line = await startStationLine(t, {}, async (config) => {
    await runCommand('gateway', ['ocpp', 'ca', 'init', '--host', '127.0.0.1', '--config', config])
  })
  const root = readFileSync(join(line.folder, 'data/ocpp-ca/ca.pem'), 'utf8')
  const tables: Readonly<Record<string, [OcppVersion, readonly Exchange[]]>> = {
    'CP-16': ['ocpp1.6', exchanges16(root)],
    'CP-201': ['ocpp2.0.1', exchanges2(root, '2.0.1')],
    'CP-21': ['ocpp2.1', [...exchanges21, ...exchanges2(root, '2.1')]],
  }
  const evses = [{}, {}]
  const steps = [{ at: 0, do: 'plug-in', evse: 1 }]
  const sim = await line.startSim(
    Object.entries(tables).map(([id, [version]]) => ({ id, ocpp: version.slice(4), url: line.url, evses, steps })),
  )
  await Promise.all(
    Object.entries(tables).map(async ([id, [version, exchanges]]) => {
      const named = new Set(exchanges.map(([action]) => action))
      t.deepEqual([...named].toSorted(), ocppActions[version].csms.toSorted(), `${id}: every action once`)
      await sim.event(({ event, station }) => event === 'sim.station.connection.accepted' && station === id)
      for (const [action, payload, expected] of exchanges) {
        const { ok, result, code, message } = await line.call(id, action, payload)
        const what = `${id} ${action}: ${message ?? JSON.stringify(result)}`
        if (expected === refused)
          t.deepEqual([code, /NotImplemented/.test(message ?? '')], ['station/refused', true], what)
        else {
          t.true(ok, what)
          const answer = typeof expected === 'string' ? { status: expected } : (expected as object)
          const isAnything = Object.keys(answer).length === 0
          t.like(result as object, { ...(isAnything ? {} : { payload: answer }), faults: [] } as object, what)
        }
      }
    }),
  )
  // What came because of it: reports, states of firmware and files, requests for certificates.
  await Promise.all(
    Object.keys(tables).map((id) =>
      sim.event(
        ({ event, station, reason }) => event === 'sim.station.power-on' && station === id && reason !== 'PowerUp',
      ),
    ),
  )
  await sim.stop()
  t.deepEqual(
    (await line.messages()).filter(({ outcome }) => outcome !== 'accepted'),
    [],
  )
  t.deepEqual(
    line.gateway.log.filter(({ event }) => event === 'ocpp.call.refused' || event === 'ocpp.call.failed'),
    [],
  )
})
