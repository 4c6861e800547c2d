import type { Quirks } from './quirks.ts'

interface Setting {
  /** Its key in OCPP 1.6. */
  readonly key?: string
  /** Component and variable in OCPP 2.x. */
  readonly variable?: readonly [string, string]
  readonly value: string
  readonly readOnly?: true
  readonly type: 'integer' | 'boolean' | 'text' | 'measurands'
}

const table = {
  heartbeatInterval: {
    key: 'HeartbeatInterval',
    variable: ['OCPPCommCtrlr', 'HeartbeatInterval'],
    value: '300',
    type: 'integer',
  },
  sampleInterval: {
    key: 'MeterValueSampleInterval',
    variable: ['SampledDataCtrlr', 'TxUpdatedInterval'],
    value: '60',
    type: 'integer',
  },
  sampledMeasurands: {
    key: 'MeterValuesSampledData',
    variable: ['SampledDataCtrlr', 'TxUpdatedMeasurands'],
    value: 'Energy.Active.Import.Register,Power.Active.Import,Current.Import,SoC',
    type: 'measurands',
  },
  stopMeasurands: {
    key: 'StopTxnSampledData',
    variable: ['SampledDataCtrlr', 'TxEndedMeasurands'],
    value: '',
    type: 'measurands',
  },
  alignedInterval: {
    key: 'ClockAlignedDataInterval',
    variable: ['AlignedDataCtrlr', 'Interval'],
    value: '0',
    type: 'integer',
  },
  pingInterval: {
    key: 'WebSocketPingInterval',
    variable: ['OCPPCommCtrlr', 'WebSocketPingInterval'],
    value: '0',
    type: 'integer',
  },
  localAuthorizeOffline: {
    key: 'LocalAuthorizeOffline',
    variable: ['AuthCtrlr', 'LocalAuthorizeOffline'],
    value: 'true',
    type: 'boolean',
  },
  localPreAuthorize: {
    key: 'LocalPreAuthorize',
    variable: ['AuthCtrlr', 'LocalPreAuthorize'],
    value: 'false',
    type: 'boolean',
  },
  offlineUnknown: {
    key: 'AllowOfflineTxForUnknownId',
    variable: ['AuthCtrlr', 'OfflineTxForUnknownIdEnabled'],
    value: 'false',
    type: 'boolean',
  },
  remoteNeedsAuthorize: {
    key: 'AuthorizeRemoteTxRequests',
    variable: ['AuthCtrlr', 'AuthorizeRemoteStart'],
    value: 'false',
    type: 'boolean',
  },
  cacheEnabled: {
    key: 'AuthorizationCacheEnabled',
    variable: ['AuthCacheCtrlr', 'Enabled'],
    value: 'true',
    type: 'boolean',
  },
  listEnabled: {
    key: 'LocalAuthListEnabled',
    variable: ['LocalAuthListCtrlr', 'Enabled'],
    value: 'true',
    type: 'boolean',
  },
  stopOnInvalid: {
    key: 'StopTransactionOnInvalidId',
    variable: ['TxCtrlr', 'StopTxOnInvalidId'],
    value: 'true',
    type: 'boolean',
  },
  stopOnUnplug: {
    key: 'StopTransactionOnEVSideDisconnect',
    variable: ['TxCtrlr', 'StopTxOnEVSideDisconnect'],
    value: 'true',
    type: 'boolean',
    readOnly: true,
  },
  connectionTimeout: {
    key: 'ConnectionTimeOut',
    variable: ['TxCtrlr', 'EVConnectionTimeOut'],
    value: '120',
    type: 'integer',
  },
  messageAttempts: {
    key: 'TransactionMessageAttempts',
    variable: ['OCPPCommCtrlr', 'MessageAttempts'],
    value: '3',
    type: 'integer',
  },
  retryInterval: {
    key: 'TransactionMessageRetryInterval',
    variable: ['OCPPCommCtrlr', 'MessageAttemptInterval'],
    value: '10',
    type: 'integer',
  },
  password: {
    key: 'AuthorizationKey',
    variable: ['SecurityCtrlr', 'BasicAuthPassword'],
    value: '',
    type: 'text',
  },
  securityProfile: { key: 'SecurityProfile', value: '0', type: 'integer' },
  activeProfile: { variable: ['SecurityCtrlr', 'SecurityProfile'], value: '0', type: 'integer', readOnly: true },
  networkPriority: {
    variable: ['OCPPCommCtrlr', 'NetworkConfigurationPriority'],
    value: '0',
    type: 'text',
  },
  timeZone: { key: 'TimeZone', variable: ['ClockCtrlr', 'TimeZone'], value: 'UTC', type: 'text' },
  timeSource: { variable: ['ClockCtrlr', 'TimeSource'], value: 'Heartbeat', type: 'text' },
  startMeasurands: {
    variable: ['SampledDataCtrlr', 'TxStartedMeasurands'],
    value: 'Energy.Active.Import.Register',
    type: 'measurands',
  },
  rateUnit: {
    key: 'ChargingScheduleAllowedChargingRateUnit',
    variable: ['SmartChargingCtrlr', 'RateUnit'],
    value: 'Current,Power',
    type: 'text',
    readOnly: true,
  },
  maxStackLevel: {
    key: 'ChargeProfileMaxStackLevel',
    variable: ['SmartChargingCtrlr', 'ProfileStackLevel'],
    value: '8',
    type: 'integer',
    readOnly: true,
  },
  maxPeriods: {
    key: 'ChargingScheduleMaxPeriods',
    variable: ['SmartChargingCtrlr', 'PeriodsPerSchedule'],
    value: '24',
    type: 'integer',
    readOnly: true,
  },
  featureProfiles: {
    key: 'SupportedFeatureProfiles',
    value: 'Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger',
    type: 'text',
    readOnly: true,
  },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof table

const isName = (name: string): name is SettingName => name in table
const names = Object.keys(table).filter(isName)
const rows: Readonly<Record<SettingName, Setting>> = table

export type SettingChange = 'accepted' | 'rejected' | 'unknown' | 'read-only'

// What a sample can hold (sampled-values.ts).
const measurands = new Set([
  'Energy.Active.Import.Register',
  'Power.Active.Import',
  'Current.Import',
  'Current.Offered',
  'Voltage',
  'SoC',
])

/** One setting as a CSMS sees it. */
export interface ShownSetting {
  readonly name: string
  readonly component: string | undefined
  readonly value: string | undefined
  readonly readOnly: boolean
}

// Keys that a station with odd settings does not know, and how it spells others.
const leftOut = new Set<SettingName>(['maxStackLevel', 'maxPeriods', 'featureProfiles', 'pingInterval'])

/** The configuration keys of 1.6 and the variables of 2.x: one set of values under two kinds of names. */
export class Settings {
  readonly #read: () => Readonly<Record<string, string>>
  readonly #store: (values: Readonly<Record<string, string>>) => void
  readonly #quirks: Quirks
  readonly #defaults: Readonly<Record<string, string>>

  constructor(options: {
    readonly read: () => Readonly<Record<string, string>>
    readonly store: (values: Readonly<Record<string, string>>) => void
    readonly quirks: Quirks
    /** What the installer has set, by the name that the station's version uses. */
    readonly preset: Readonly<Record<string, string>>
  }) {
    this.#read = options.read
    this.#store = options.store
    this.#quirks = options.quirks
    const preset = Object.entries(options.preset).map(([name, value]) => [this.find(name) ?? name, value])
    this.#defaults = Object.fromEntries(preset)
  }

  text(name: SettingName): string {
    if (name === 'rateUnit' && this.#quirks.has('odd-settings')) return 'Power'
    return this.#read()[name] ?? this.#defaults[name] ?? rows[name].value
  }

  number(name: SettingName): number {
    return Number(this.text(name))
  }

  is(name: SettingName): boolean {
    return this.text(name).toLowerCase() === 'true'
  }

  /** A key of 1.6, `Component.Variable` or the variable alone of 2.x; keys are compared without case. */
  find(name: string): SettingName | undefined {
    const wanted = name.toLowerCase()
    return names.find((known) => {
      const { key, variable } = rows[known]
      return [key, variable?.join('.')].some((other) => other?.toLowerCase() === wanted)
    })
  }

  change(name: string, value: string): SettingChange {
    const known = this.find(name)
    if (known === undefined || this.#isLeftOut(known)) return 'unknown'
    const { readOnly, type } = rows[known]
    if (readOnly) return 'read-only'
    if (type === 'integer' && !/^\d{1,9}$/.test(value)) return 'rejected'
    if (type === 'measurands' && !value.split(',').every((one) => one === '' || measurands.has(one.trim()))) {
      return 'rejected'
    }
    if (type === 'boolean' && !/^(true|false)$/i.test(value)) return 'rejected'
    if (!this.#quirks.has('settings-ignored')) this.#store({ ...this.#read(), [known]: value })
    return 'accepted'
  }

  forget(): void {
    this.#store({})
  }

  /** All of them, by the names of one generation of OCPP. A password is never shown. */
  show(generation: 1 | 2): readonly ShownSetting[] {
    return names.flatMap((known): readonly ShownSetting[] => {
      const { key, variable, readOnly } = rows[known]
      const name = generation === 1 ? key : variable?.[1]
      if (name === undefined || this.#isLeftOut(known)) return []
      const shownName = this.#quirks.has('odd-settings') ? name.charAt(0).toLowerCase() + name.slice(1) : name
      return [
        {
          name: shownName,
          component: generation === 1 ? undefined : variable?.[0],
          value: known === 'password' ? undefined : this.text(known),
          readOnly: readOnly ?? false,
        },
      ]
    })
  }

  #isLeftOut(name: SettingName): boolean {
    return this.#quirks.has('odd-settings') && leftOut.has(name)
  }
}
