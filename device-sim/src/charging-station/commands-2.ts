import type { ChargingProfile, ProfilePurpose } from './charging-profiles.ts'
import type { Commands, Triggered } from './commands.ts'
import { askForCertificate2, station2 } from './commands-2-station.ts'
import type { DialectContext } from './dialect.ts'
import { profileRefusal } from './profile-quirks.ts'
import type { Answer, Payload } from './rpc.ts'

interface Context extends DialectContext {
  readonly commands: Commands
}

type Handler = (payload: never, context: Context) => Answer

const ok = (status: string, more: Payload = {}): Answer => ({ payload: { status, ...more } })

interface IdToken {
  readonly idToken: string
}

interface Profile2 {
  readonly id: number
  readonly transactionId?: string
  readonly stackLevel: number
  readonly chargingProfilePurpose: string
  readonly chargingProfileKind: string
  readonly recurrencyKind?: 'Daily' | 'Weekly'
  readonly validFrom?: string
  readonly validTo?: string
  readonly chargingSchedule: readonly {
    readonly startSchedule?: string
    readonly duration?: number
    readonly chargingRateUnit: 'A' | 'W'
    readonly chargingSchedulePeriod: readonly { startPeriod: number; limit?: number; numberPhases?: number }[]
  }[]
}

interface Variable {
  readonly component: { readonly name: string }
  readonly variable: { readonly name: string }
  readonly attributeType?: string
}

const purposes: readonly string[] = [
  'ChargingStationExternalConstraints',
  'ChargingStationMaxProfile',
  'TxDefaultProfile',
  'TxProfile',
] satisfies ProfilePurpose[]
const isPurpose = (text: string): text is ProfilePurpose => purposes.includes(text)
const isKind = (text: string): text is ChargingProfile['kind'] => ['Absolute', 'Recurring', 'Relative'].includes(text)

const triggers: Readonly<Record<string, Triggered>> = {
  BootNotification: 'boot',
  Heartbeat: 'heartbeat',
  StatusNotification: 'status',
  MeterValues: 'meter-values',
  TransactionEvent: 'transaction',
}

function toMs(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text)
}

// Nothing where it has what this station cannot do: the kinds and purposes that 2.1 adds, several schedules.
function toProfile(evseId: number, profile: Profile2): ChargingProfile | undefined {
  const [schedule, another] = profile.chargingSchedule
  const { chargingProfilePurpose: purpose, chargingProfileKind: kind } = profile
  if (schedule === undefined || another !== undefined || !isPurpose(purpose) || !isKind(kind)) return undefined
  const periods = schedule.chargingSchedulePeriod.flatMap(({ startPeriod, limit, numberPhases }) =>
    limit === undefined ? [] : [{ startSeconds: startPeriod, limit, phases: numberPhases }],
  )
  if (periods.length < schedule.chargingSchedulePeriod.length) return undefined
  return {
    id: profile.id,
    evseId,
    stackLevel: profile.stackLevel,
    purpose,
    kind,
    recurrency: profile.recurrencyKind,
    validFromMs: toMs(profile.validFrom),
    validToMs: toMs(profile.validTo),
    transactionId: profile.transactionId,
    startMs: toMs(schedule.startSchedule),
    durationSeconds: schedule.duration,
    unit: schedule.chargingRateUnit,
    periods,
  }
}

// Each payload has passed the schema of its action before it gets here.
const remote: Readonly<Record<string, Handler>> = {
  RequestStartTransaction: (
    request: {
      evseId?: number
      idToken: IdToken
      groupIdToken?: IdToken
      remoteStartId: number
      chargingProfile?: Profile2
    },
    { commands, quirks },
  ) => {
    const profile = request.chargingProfile && toProfile(request.evseId ?? 0, request.chargingProfile)
    const wrong =
      profile === undefined || profile.purpose !== 'TxProfile' || profileRefusal(profile, quirks) !== undefined
    if (request.chargingProfile !== undefined && wrong) return ok('Rejected')
    const accepted = commands.remoteStart({
      evseId: request.evseId,
      idToken: request.idToken.idToken,
      groupIdToken: request.groupIdToken?.idToken,
      remoteStartId: request.remoteStartId,
      profile,
    })
    return ok(accepted ? 'Accepted' : 'Rejected')
  },
  RequestStopTransaction: ({ transactionId }: { transactionId: string }, { commands }) =>
    ok(commands.remoteStop(transactionId) ? 'Accepted' : 'Rejected'),
  GetTransactionStatus: ({ transactionId }: { transactionId?: string }, { commands }) => {
    const { ongoing, queued } = commands.transactionStatus(transactionId)
    // F.R.05: no ongoingIndicator where no transaction is asked for.
    return {
      payload: { ...(transactionId === undefined ? {} : { ongoingIndicator: ongoing }), messagesInQueue: queued },
    }
  },
  ReserveNow: (
    request: { id: number; expiryDateTime: string; idToken: IdToken; evseId?: number; groupIdToken?: IdToken },
    { commands },
  ) =>
    ok(
      commands.reserve({
        id: request.id,
        evseId: request.evseId ?? 0,
        idToken: request.idToken.idToken,
        ...(request.groupIdToken === undefined ? {} : { groupIdToken: request.groupIdToken.idToken }),
        expiresAtMs: Date.parse(request.expiryDateTime),
      }),
    ),
  CancelReservation: ({ reservationId }: { reservationId: number }, { commands }) =>
    ok(commands.cancelReservation(reservationId) ? 'Accepted' : 'Rejected'),
  UnlockConnector: ({ evseId, connectorId }: { evseId: number; connectorId: number }, { commands }) =>
    ok(commands.evseIds.includes(evseId) && connectorId === 1 ? commands.unlock(evseId) : 'UnknownConnector'),
  ChangeAvailability: (
    { evse, operationalStatus }: { evse?: { id: number }; operationalStatus: string },
    { commands, quirks },
  ) => {
    if (quirks.has('hangs-on-change-availability')) {
      commands.hang()
      return 'silence'
    }
    return ok(commands.setOperative(evse?.id ?? 0, operationalStatus === 'Operative'))
  },
  Reset: ({ type, evseId }: { type: string; evseId?: number }, { commands }) => {
    if (evseId !== undefined || type === 'ImmediateAndResume') return ok('Rejected')
    return ok(commands.reset(type === 'OnIdle' ? 'when-idle' : 'now'))
  },
}

const charging: Readonly<Record<string, Handler>> = {
  SetChargingProfile: (
    { evseId, chargingProfile }: { evseId: number; chargingProfile: Profile2 },
    { commands, quirks },
  ) => {
    const profile = toProfile(evseId, chargingProfile)
    if (profile === undefined || profileRefusal(profile, quirks) !== undefined) return ok('Rejected')
    // K01.FR.03, K01.FR.09: a TxProfile names the transaction that goes on at its EVSE.
    const open = commands.openTransactionAt(evseId)
    const isTx = profile.purpose === 'TxProfile'
    if (isTx && (open === undefined || profile.transactionId !== open)) return ok('Rejected')
    return ok(commands.setProfile(profile) ? 'Accepted' : 'Rejected')
  },
  ClearChargingProfile: (
    {
      chargingProfileId,
      chargingProfileCriteria: criteria = {},
    }: {
      chargingProfileId?: number
      chargingProfileCriteria?: { evseId?: number; chargingProfilePurpose?: string; stackLevel?: number }
    },
    { commands },
  ) => {
    const cleared = commands.clearProfiles((profile) => {
      if (chargingProfileId !== undefined) return profile.id === chargingProfileId
      const { evseId, chargingProfilePurpose: purpose, stackLevel } = criteria
      return (
        (evseId === undefined || profile.evseId === evseId) &&
        (purpose === undefined || profile.purpose === purpose) &&
        (stackLevel === undefined || profile.stackLevel === stackLevel)
      )
    })
    return ok(cleared ? 'Accepted' : 'Unknown')
  },
  GetCompositeSchedule: (
    { evseId, duration, chargingRateUnit = 'A' }: { evseId: number; duration: number; chargingRateUnit?: 'A' | 'W' },
    { commands, clock },
  ) => {
    if (evseId !== 0 && !commands.evseIds.includes(evseId)) return ok('Rejected')
    const { startMs, periods } = commands.compositeSchedule(evseId, duration, chargingRateUnit)
    const chargingSchedulePeriod = periods.map(({ startSeconds, limit, phases }) => ({
      startPeriod: startSeconds,
      limit,
      ...(phases === undefined ? {} : { numberPhases: phases }),
    }))
    const schedule = {
      evseId,
      duration,
      scheduleStart: clock.format(startMs),
      chargingRateUnit,
      chargingSchedulePeriod,
    }
    return ok('Accepted', { schedule })
  },
}

const provisioning: Readonly<Record<string, Handler>> = {
  GetVariables: ({ getVariableData }: { getVariableData: Variable[] }, { settings }) => ({
    payload: {
      getVariableResult: getVariableData.map(({ component, variable, attributeType = 'Actual' }) => {
        const base = { component, variable, attributeType }
        const inComponent = settings.show(2).filter((shown) => sameName(shown.component, component.name))
        const shown = inComponent.find(({ name }) => sameName(name, variable.name))
        if (inComponent.length === 0) return { ...base, attributeStatus: 'UnknownComponent' }
        if (shown === undefined) return { ...base, attributeStatus: 'UnknownVariable' }
        if (attributeType !== 'Actual') return { ...base, attributeStatus: 'NotSupportedAttributeType' }
        // B06.FR.09: what may only be written is not told.
        if (shown.value === undefined) return { ...base, attributeStatus: 'Rejected' }
        return { ...base, attributeStatus: 'Accepted', attributeValue: shown.value }
      }),
    },
  }),
  SetVariables: (
    { setVariableData }: { setVariableData: (Variable & { attributeValue: string })[] },
    { settings },
  ) => ({
    payload: {
      setVariableResult: setVariableData.map(({ component, variable, attributeType = 'Actual', attributeValue }) => {
        const base = { component, variable, attributeType }
        if (attributeType !== 'Actual') return { ...base, attributeStatus: 'NotSupportedAttributeType' }
        const known = settings.show(2).some((shown) => sameName(shown.component, component.name))
        if (!known) return { ...base, attributeStatus: 'UnknownComponent' }
        const change = settings.change(`${component.name}.${variable.name}`, attributeValue)
        const status = {
          accepted: 'Accepted',
          rejected: 'Rejected',
          'read-only': 'Rejected',
          unknown: 'UnknownVariable',
        }
        return { ...base, attributeStatus: status[change] }
      }),
    },
  }),
  GetBaseReport: ({ requestId }: { requestId: number }, { commands, settings, clock }) => {
    const reportData = settings.show(2).map(({ component, name, value, readOnly }) => ({
      component: { name: component },
      variable: { name },
      variableAttribute: [
        {
          ...(value === undefined ? {} : { value }),
          mutability: value === undefined ? 'WriteOnly' : readOnly ? 'ReadOnly' : 'ReadWrite',
        },
      ],
    }))
    const head = { requestId, generatedAt: clock.format(clock.nowMs) }
    // In parts, as a real one must.
    const half = Math.ceil(reportData.length / 2)
    commands.afterwards([
      { action: 'NotifyReport', payload: { ...head, reportData: reportData.slice(0, half), tbc: true, seqNo: 0 } },
      { action: 'NotifyReport', payload: { ...head, reportData: reportData.slice(half), tbc: false, seqNo: 1 } },
    ])
    return ok('Accepted')
  },
  TriggerMessage: ({ requestedMessage, evse }: { requestedMessage: string; evse?: { id: number } }, context) => {
    const { commands } = context
    if (requestedMessage === 'SignChargingStationCertificate') return askForCertificate2(context)
    if (requestedMessage === 'FirmwareStatusNotification' || requestedMessage === 'LogStatusNotification') {
      commands.afterwards([{ action: requestedMessage, payload: { status: 'Idle' } }])
      return ok('Accepted')
    }
    const message = triggers[requestedMessage]
    if (message === undefined) return ok('NotImplemented')
    return ok(commands.trigger(message, evse?.id) ? 'Accepted' : 'Rejected')
  },
  UpdateFirmware: ({ requestId }: { requestId: number }, { commands }) => {
    commands.updateFirmware((status) => ({ action: 'FirmwareStatusNotification', payload: { status, requestId } }))
    return ok('Accepted')
  },
  DataTransfer: () => ok('UnknownVendorId'),
}

const lists: Readonly<Record<string, Handler>> = {
  GetLocalListVersion: (_: Payload, { commands }) => ({ payload: { versionNumber: commands.listVersion() } }),
  SendLocalList: (
    request: {
      versionNumber: number
      updateType: string
      localAuthorizationList?: readonly {
        idToken: IdToken
        idTokenInfo?: { status: string; groupIdToken?: IdToken; cacheExpiryDateTime?: string }
      }[]
    },
    { commands },
  ) => {
    const entries = (request.localAuthorizationList ?? []).map(({ idToken: { idToken }, idTokenInfo }) => {
      if (idTokenInfo === undefined) return { idToken, removed: true } as const
      const { status, groupIdToken, cacheExpiryDateTime } = idTokenInfo
      return {
        idToken,
        status,
        ...(groupIdToken === undefined ? {} : { groupIdToken: groupIdToken.idToken }),
        ...(cacheExpiryDateTime === undefined ? {} : { expiresAtMs: Date.parse(cacheExpiryDateTime) }),
      }
    })
    const update = { version: request.versionNumber, full: request.updateType === 'Full', entries }
    return ok(commands.updateList(update) ? 'Accepted' : 'VersionMismatch')
  },
  ClearCache: (_: Payload, { commands }) => ok(commands.clearCache() ? 'Accepted' : 'Rejected'),
}

function sameName(a: string | undefined, b: string): boolean {
  return a?.toLowerCase() === b.toLowerCase()
}

const handlers: Readonly<Record<string, Handler>> = { ...remote, ...charging, ...provisioning, ...lists, ...station2 }

/** Answers a CALL of OCPP 2.x whose payload has passed its schema. */
export function on2(action: string, payload: Payload, context: Context): Answer {
  const handler = handlers[action]
  return handler === undefined ? { errorCode: 'NotImplemented' } : handler(payload as never, context)
}
