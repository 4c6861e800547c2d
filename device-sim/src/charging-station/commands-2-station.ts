import type { ChargingProfile } from './charging-profiles.ts'
import type { Commands } from './commands.ts'
import type { DialectContext } from './dialect.ts'
import type { StationState } from './durable-state.ts'
import type { Answer, Payload } from './rpc.ts'
import type { CertificateHash } from './station-security.ts'

interface Context extends DialectContext {
  readonly commands: Commands
}

type Handler = (payload: never, context: Context) => Answer

const ok = (status: string, more: Payload = {}): Answer => ({ payload: { status, ...more } })

const certificates: Readonly<Record<string, Handler>> = {
  CertificateSigned: (
    { certificateChain, certificateType }: { certificateChain: string; certificateType?: string },
    { commands, clock },
  ) => {
    if (certificateType !== undefined && certificateType !== 'ChargingStationCertificate') return ok('Rejected')
    return ok(commands.security.takeCertificate(certificateChain, clock.nowMs) ? 'Accepted' : 'Rejected')
  },
  InstallCertificate: (
    { certificateType, certificate }: { certificateType: string; certificate: string },
    { commands },
  ) => ok(commands.security.installRoot(certificateType, certificate)),
  DeleteCertificate: ({ certificateHashData }: { certificateHashData: CertificateHash }, { commands }) =>
    ok(commands.security.deleteRoot(certificateHashData)),
  GetInstalledCertificateIds: ({ certificateType }: { certificateType?: string[] }, { commands }) => {
    const found = commands.security.roots(certificateType)
    if (found.length === 0) return ok('NotFound')
    const chain = found.map(({ type, hash }) => ({ certificateType: type, certificateHashData: hash }))
    return ok('Accepted', { certificateHashDataChain: chain })
  },
  // OCPP 2.0.1 B09: where to connect after the next restart, if its slot comes first.
  SetNetworkProfile: (
    {
      configurationSlot,
      connectionData: { ocppCsmsUrl, ocppTransport, securityProfile },
    }: {
      configurationSlot: number
      connectionData: { ocppCsmsUrl: string; ocppTransport: string; securityProfile: number }
    },
    { commands: { state, security } },
  ) => {
    const isTls = ocppCsmsUrl.startsWith('wss:')
    if (ocppTransport !== 'JSON' || (securityProfile > 1 && !isTls)) return ok('Rejected')
    if (securityProfile === 3 && security.identity.cert === undefined) return ok('Rejected')
    const { networkProfiles, ...rest } = state.now.security
    const profile = { url: ocppCsmsUrl.replace(/\/$/, ''), securityProfile }
    state.change({ security: { ...rest, networkProfiles: { ...networkProfiles, [configurationSlot]: profile } } })
    return ok('Accepted')
  },
}

type Monitor = StationState['monitors'][number]
interface MonitorRequest {
  readonly id?: number
  readonly value: number
  readonly type: string
  readonly severity: number
  readonly component: { readonly name: string }
  readonly variable: { readonly name: string }
}

const monitoring: Readonly<Record<string, Handler>> = {
  SetMonitoringBase: () => ok('Accepted'),
  SetMonitoringLevel: ({ severity }: { severity: number }) =>
    ok(severity >= 0 && severity <= 9 ? 'Accepted' : 'Rejected'),
  SetVariableMonitoring: ({ setMonitoringData }: { setMonitoringData: MonitorRequest[] }, context) => ({
    payload: { setMonitoringResult: setMonitoringData.map((request) => setMonitor(request, context)) },
  }),
  ClearVariableMonitoring: ({ id: ids }: { id: number[] }, { commands: { state } }) => {
    const { monitors } = state.now
    state.change({ monitors: monitors.filter(({ id }) => !ids.includes(id)) })
    const status = (id: number) => (monitors.some((one) => one.id === id) ? 'Accepted' : 'NotFound')
    return { payload: { clearMonitoringResult: ids.map((id) => ({ id, status: status(id) })) } }
  },
  GetMonitoringReport: ({ requestId }: { requestId: number }, { commands, clock }) => {
    const { monitors } = commands.state.now
    if (monitors.length === 0) return ok('EmptyResultSet')
    const monitor = monitors.map(({ component, variable, id, type, value, severity }) => ({
      component: { name: component },
      variable: { name: variable },
      variableMonitoring: [{ id, transaction: false, value, type, severity, eventNotificationType: 'CustomMonitor' }],
    }))
    const payload = { requestId, seqNo: 0, generatedAt: clock.format(clock.nowMs), tbc: false, monitor }
    commands.afterwards([{ action: 'NotifyMonitoringReport', payload: withoutNewFields(payload, commands) }])
    return ok('Accepted')
  },
}

// eventNotificationType came with 2.1, and must be there.
function withoutNewFields(
  { monitor, ...rest }: Payload & { monitor: readonly Payload[] },
  commands: Commands,
): Payload {
  if (commands.version === '2.1') return { ...rest, monitor }
  const plain = (one: object) => {
    const { eventNotificationType: _, ...kept } = one as Payload
    return kept
  }
  const monitors = monitor.map((one) => ({
    ...one,
    variableMonitoring: (one['variableMonitoring'] as object[]).map(plain),
  }))
  return { ...rest, monitor: monitors }
}

function setMonitor(request: MonitorRequest, { commands: { state }, settings }: Context): Payload {
  const { component, variable, type, severity, value } = request
  const answer = { type, severity, component, variable }
  const known = settings.show(2).filter((shown) => shown.component === component.name)
  if (known.length === 0) return { ...answer, status: 'UnknownComponent' }
  if (!known.some(({ name }) => name === variable.name)) return { ...answer, status: 'UnknownVariable' }
  const { monitors } = state.now
  const id = request.id ?? Math.max(0, ...monitors.map((one) => one.id)) + 1
  const made: Monitor = { id, component: component.name, variable: variable.name, type, value, severity }
  state.change({ monitors: [...monitors.filter((one) => one.id !== id), made] })
  return { ...answer, id, status: 'Accepted' }
}

interface ReportRequest {
  readonly requestId: number
  readonly componentVariable?: readonly {
    readonly component: { readonly name: string }
    readonly variable?: { readonly name: string }
  }[]
}

const reports: Readonly<Record<string, Handler>> = {
  GetReport: ({ requestId, componentVariable }: ReportRequest, { commands, settings, clock }) => {
    const isWanted = (component: string | undefined, name: string) =>
      componentVariable?.some((one) => one.component.name === component && (one.variable?.name ?? name) === name) ??
      true
    const found = settings.show(2).filter(({ component, name }) => isWanted(component, name))
    if (found.length === 0) return ok('EmptyResultSet')
    const reportData = found.map(({ component, name, value, readOnly }) => ({
      component: { name: component },
      variable: { name },
      variableAttribute: [
        {
          ...(value === undefined ? {} : { value }),
          mutability: value === undefined ? 'WriteOnly' : readOnly ? 'ReadOnly' : 'ReadWrite',
        },
      ],
    }))
    const payload = { requestId, generatedAt: clock.format(clock.nowMs), reportData, tbc: false, seqNo: 0 }
    commands.afterwards([{ action: 'NotifyReport', payload }])
    return ok('Accepted')
  },
  GetLog: ({ requestId }: { requestId: number }, { commands }) => {
    // The simulated station has no way to send a file, and says so.
    const report = (status: string) => ({ action: 'LogStatusNotification', payload: { status, requestId } })
    commands.afterwards([report('Uploading'), report('NotSupportedOperation')])
    return ok('Accepted', { filename: 'log.txt' })
  },
  CustomerInformation: (
    request: { requestId: number; report: boolean; clear: boolean; idToken?: { idToken: string } },
    { commands, clock },
  ) => {
    const { requestId, report, clear, idToken } = request
    const { state } = commands
    const known = state.now.cache.filter((entry) => entry.idToken === idToken?.idToken)
    if (clear) state.change({ cache: state.now.cache.filter((entry) => !known.includes(entry)) })
    const text = report ? known.map(({ status }) => `in the cache: ${status}`).join('; ') : ''
    const head = { requestId, seqNo: 0, generatedAt: clock.format(clock.nowMs), tbc: false }
    commands.afterwards([{ action: 'NotifyCustomerInformation', payload: { ...head, data: text } }])
    return ok('Accepted')
  },
  GetChargingProfiles: (request: ProfilesRequest, context) => reportProfiles(request, context),
}

interface ProfilesRequest {
  readonly requestId: number
  readonly evseId?: number
  readonly chargingProfile: {
    readonly chargingProfilePurpose?: string
    readonly stackLevel?: number
    readonly chargingProfileId?: readonly number[]
  }
}

function reportProfiles({ requestId, evseId, chargingProfile: wanted }: ProfilesRequest, context: Context): Answer {
  const { commands } = context
  const found = commands.state.now.profiles.filter(
    (profile) =>
      (evseId === undefined || profile.evseId === evseId) &&
      (wanted.chargingProfilePurpose === undefined || profile.purpose === wanted.chargingProfilePurpose) &&
      (wanted.stackLevel === undefined || profile.stackLevel === wanted.stackLevel) &&
      (wanted.chargingProfileId === undefined || wanted.chargingProfileId.includes(profile.id)),
  )
  if (found.length === 0) return ok('NoProfiles')
  const places = [...new Set(found.map((profile) => profile.evseId))]
  commands.afterwards(
    places.map((place, at) => ({
      action: 'ReportChargingProfiles',
      payload: {
        requestId,
        chargingLimitSource: 'CSO',
        evseId: place,
        tbc: at < places.length - 1,
        chargingProfile: found.filter((profile) => profile.evseId === place).map(toPayload),
      },
    })),
  )
  return ok('Accepted')
}

function toPayload(profile: ChargingProfile): Payload {
  const { id, stackLevel, purpose, kind, recurrency, transactionId, startMs, durationSeconds, unit, periods } = profile
  const time = (name: string, ms: number | undefined) =>
    ms === undefined ? {} : { [name]: new Date(ms).toISOString() }
  return {
    id,
    stackLevel,
    chargingProfilePurpose: purpose,
    chargingProfileKind: kind,
    ...(recurrency === undefined ? {} : { recurrencyKind: recurrency }),
    ...(transactionId === undefined ? {} : { transactionId }),
    ...time('validFrom', profile.validFromMs),
    ...time('validTo', profile.validToMs),
    chargingSchedule: [
      {
        id: 1,
        chargingRateUnit: unit,
        ...time('startSchedule', startMs),
        ...(durationSeconds === undefined ? {} : { duration: durationSeconds }),
        chargingSchedulePeriod: periods.map(({ startSeconds, limit, phases }) => ({
          startPeriod: startSeconds,
          limit,
          ...(phases === undefined ? {} : { numberPhases: phases }),
        })),
      },
    ],
  }
}

interface DisplayMessage extends Readonly<Record<string, unknown>> {
  readonly id: number
}

const mostMessages = 10

// OCPP 2.0.1 part 2 O and I: the display shows what charging costs.
const display: Readonly<Record<string, Handler>> = {
  SetDisplayMessage: ({ message }: { message: DisplayMessage }, { commands: { state } }) => {
    const others = state.now.displayMessages.filter(({ id }) => id !== message.id)
    if (others.length >= mostMessages) return ok('Rejected')
    state.change({ displayMessages: [...others, { id: message.id, info: message }] })
    return ok('Accepted')
  },
  GetDisplayMessages: ({ requestId, id: ids }: { requestId: number; id?: number[] }, { commands }) => {
    const found = commands.state.now.displayMessages.filter(({ id }) => ids?.includes(id) ?? true)
    if (found.length === 0) return ok('Unknown')
    const payload = { requestId, tbc: false, messageInfo: found.map(({ info }) => info) }
    commands.afterwards([{ action: 'NotifyDisplayMessages', payload }])
    return ok('Accepted')
  },
  ClearDisplayMessage: ({ id }: { id: number }, { commands: { state } }) => {
    const kept = state.now.displayMessages.filter((message) => message.id !== id)
    if (kept.length === state.now.displayMessages.length) return ok('Unknown')
    state.change({ displayMessages: kept })
    return ok('Accepted')
  },
  CostUpdated: ({ totalCost, transactionId }: { totalCost: number; transactionId: string }, { commands }) => {
    commands.showCost(transactionId, totalCost)
    return { payload: {} }
  },
}

/** Blocks of OCPP 2.x that tell of the station itself: security, monitoring, reports, display. */
export const station2: Readonly<Record<string, Handler>> = { ...certificates, ...monitoring, ...reports, ...display }

/** TriggerMessage: has the station ask for a certificate. */
export function askForCertificate2({ commands }: Context): Answer {
  const requestId = commands.version === '2.1' ? { requestId: 1 } : {}
  const csr = commands.security.makeRequest()
  const payload = { csr, certificateType: 'ChargingStationCertificate', ...requestId }
  commands.afterwards([{ action: 'SignCertificate', payload }])
  return ok('Accepted')
}
