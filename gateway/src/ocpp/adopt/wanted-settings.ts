import type { OcppVersion } from '@wattline/protocol'
import type { OcppConfig } from '../ocpp-config.ts'

/** One setting as it should be in every station. */
export interface WantedSetting {
  /** The key of OCPP 1.6, or `Component.Variable` of 2.x. */
  readonly name: string
  /** The best first: what is refused is followed by the next. */
  readonly values: readonly string[]
  /** Many stations do not have it, and nothing is lost. */
  readonly isOptional: boolean
}

type Pair = readonly [ocpp16: string | undefined, ocpp2: string | undefined]
type Row = readonly [names: Pair, values: readonly string[], isOptional?: 'optional']

const energy = 'Energy.Active.Import.Register'
// What a station leaves out is left out there in every combination; so one goes after the other, the least needed first.
const sampled = [
  `${energy},Power.Active.Import,Current.Import,Current.Offered,Voltage`,
  `${energy},Power.Active.Import,Current.Import,Voltage`,
  `${energy},Power.Active.Import,Current.Import`,
  `${energy},Current.Import`,
  `${energy},Power.Active.Import`,
  energy,
]

const rows = ({ heartbeatSeconds, pingSeconds, timeZone }: OcppConfig): readonly Row[] => [
  [['MeterValuesSampledData', 'SampledDataCtrlr.TxUpdatedMeasurands'], sampled],
  // Some take nothing below 30 s, and some only whole minutes.
  [
    ['MeterValueSampleInterval', 'SampledDataCtrlr.TxUpdatedInterval'],
    ['15', '30', '60'],
  ],
  [[undefined, 'SampledDataCtrlr.TxStartedMeasurands'], [energy], 'optional'],
  [['StopTxnSampledData', 'SampledDataCtrlr.TxEndedMeasurands'], [energy, ''], 'optional'],
  [['MeterValuesAlignedData', 'AlignedDataCtrlr.Measurands'], [energy], 'optional'],
  [
    ['ClockAlignedDataInterval', 'AlignedDataCtrlr.Interval'],
    ['900', '3600'],
  ],
  [['HeartbeatInterval', 'OCPPCommCtrlr.HeartbeatInterval'], [String(heartbeatSeconds)]],
  [['WebSocketPingInterval', 'OCPPCommCtrlr.WebSocketPingInterval'], [String(pingSeconds * 2)], 'optional'],
  // A station that gives up loses what a session has cost.
  [['TransactionMessageAttempts', 'OCPPCommCtrlr.MessageAttempts'], ['20', '10', '5'], 'optional'],
  [['TransactionMessageRetryInterval', 'OCPPCommCtrlr.MessageAttemptInterval'], ['30', '60'], 'optional'],
  // Whoever is known charges also while the line is down, and nobody else.
  [['LocalAuthorizeOffline', 'AuthCtrlr.LocalAuthorizeOffline'], ['true']],
  [['LocalPreAuthorize', 'AuthCtrlr.LocalPreAuthorize'], ['false'], 'optional'],
  [['AllowOfflineTxForUnknownId', 'AuthCtrlr.OfflineTxForUnknownIdEnabled'], ['false'], 'optional'],
  // OCPP 1.6 has no key for the zone, but many stations have one.
  [['TimeZone', 'ClockCtrlr.TimeZone'], [timeZone], 'optional'],
  [[undefined, 'ClockCtrlr.TimeSource'], ['Heartbeat', 'NTP,Heartbeat'], 'optional'],
  // OCA application note on signed meter values.
  [['SampledDataSignReadings', 'SampledDataCtrlr.SignReadings'], ['true'], 'optional'],
  [['AlignedDataSignReadings', 'AlignedDataCtrlr.SignReadings'], ['true'], 'optional'],
]

/** What is set in a station that speaks this version. */
export function wantedSettings(version: OcppVersion, config: OcppConfig): readonly WantedSetting[] {
  return rows(config).flatMap(([[ocpp16, ocpp2], values, optional]) => {
    const name = version === 'ocpp1.6' ? ocpp16 : ocpp2
    return name === undefined ? [] : [{ name, values, isOptional: optional === 'optional' }]
  })
}
