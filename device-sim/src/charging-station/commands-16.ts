import type { ChargingProfile } from './charging-profiles.ts'
import type { Commands, FirmwareStep, Triggered } from './commands.ts'
import { askForCertificate16, changeSecurityProfile, security16 } from './commands-16-security.ts'
import type { DialectContext } from './dialect.ts'
import { profileRefusal } from './profile-quirks.ts'
import type { Answer, Payload } from './rpc.ts'

interface Context extends DialectContext {
  readonly commands: Commands
}

type Handler = (payload: never, context: Context) => Answer

const ok = (status: string, more: Payload = {}): Answer => ({ payload: { status, ...more } })

interface Schedule {
  readonly duration?: number
  readonly startSchedule?: string
  readonly chargingRateUnit: 'A' | 'W'
  readonly chargingSchedulePeriod: readonly { startPeriod: number; limit: number; numberPhases?: number }[]
}

interface Profile16 {
  readonly chargingProfileId: number
  readonly transactionId?: number
  readonly stackLevel: number
  readonly chargingProfilePurpose: 'ChargePointMaxProfile' | 'TxDefaultProfile' | 'TxProfile'
  readonly chargingProfileKind: ChargingProfile['kind']
  readonly recurrencyKind?: 'Daily' | 'Weekly'
  readonly validFrom?: string
  readonly validTo?: string
  readonly chargingSchedule: Schedule
}

const purposes = {
  ChargePointMaxProfile: 'ChargingStationMaxProfile',
  TxDefaultProfile: 'TxDefaultProfile',
  TxProfile: 'TxProfile',
} as const

const triggers: Readonly<Record<string, Triggered>> = {
  BootNotification: 'boot',
  Heartbeat: 'heartbeat',
  StatusNotification: 'status',
  MeterValues: 'meter-values',
}

const idleReports: Readonly<Record<string, string>> = {
  DiagnosticsStatusNotification: 'DiagnosticsStatusNotification',
  FirmwareStatusNotification: 'FirmwareStatusNotification',
  LogStatusNotification: 'LogStatusNotification',
}

function toMs(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text)
}

function toProfile(evseId: number, profile: Profile16, transactionId: string | undefined): ChargingProfile {
  const schedule = profile.chargingSchedule
  return {
    id: profile.chargingProfileId,
    evseId,
    stackLevel: profile.stackLevel,
    purpose: purposes[profile.chargingProfilePurpose],
    kind: profile.chargingProfileKind,
    recurrency: profile.recurrencyKind,
    validFromMs: toMs(profile.validFrom),
    validToMs: toMs(profile.validTo),
    transactionId,
    startMs: toMs(schedule.startSchedule),
    durationSeconds: schedule.duration,
    unit: schedule.chargingRateUnit,
    periods: schedule.chargingSchedulePeriod.map(({ startPeriod, limit, numberPhases }) => ({
      startSeconds: startPeriod,
      limit,
      phases: numberPhases,
    })),
  }
}

// Each payload has passed the schema of its action before it gets here.
const handlers: Readonly<Record<string, Handler>> = {
  RemoteStartTransaction: (
    { connectorId, idTag, chargingProfile }: { connectorId?: number; idTag: string; chargingProfile?: Profile16 },
    { commands, quirks },
  ) => {
    // OCPP 1.6 §5.11: the profile of a remote start is a TxProfile, for a connector that is named.
    const profile = chargingProfile && connectorId ? toProfile(connectorId, chargingProfile, undefined) : undefined
    const sound = chargingProfile === undefined || profile?.purpose === 'TxProfile'
    if (!sound || (profile !== undefined && profileRefusal(profile, quirks) !== undefined)) return ok('Rejected')
    return ok(commands.remoteStart({ evseId: connectorId, idToken: idTag, profile }) ? 'Accepted' : 'Rejected')
  },
  RemoteStopTransaction: ({ transactionId }: { transactionId: number }, { commands }) => {
    const id = commands.transactionGiven(transactionId)
    return ok(id !== undefined && commands.remoteStop(id) ? 'Accepted' : 'Rejected')
  },
  ReserveNow: (
    payload: { connectorId: number; expiryDate: string; idTag: string; parentIdTag?: string; reservationId: number },
    { commands },
  ) =>
    ok(
      commands.reserve({
        id: payload.reservationId,
        evseId: payload.connectorId,
        idToken: payload.idTag,
        ...(payload.parentIdTag === undefined ? {} : { groupIdToken: payload.parentIdTag }),
        expiresAtMs: Date.parse(payload.expiryDate),
      }),
    ),
  CancelReservation: ({ reservationId }: { reservationId: number }, { commands }) =>
    ok(commands.cancelReservation(reservationId) ? 'Accepted' : 'Rejected'),
  SetChargingProfile: (
    { connectorId, csChargingProfiles: profile }: { connectorId: number; csChargingProfiles: Profile16 },
    { commands, quirks },
  ) => {
    const open = commands.openTransactionAt(connectorId)
    const named = profile.transactionId === undefined ? open : commands.transactionGiven(profile.transactionId)
    const isTx = profile.chargingProfilePurpose === 'TxProfile'
    if (isTx && (open === undefined || named !== open)) return ok('Rejected')
    const made = toProfile(connectorId, profile, isTx ? open : undefined)
    if (profileRefusal(made, quirks) !== undefined) return ok('Rejected')
    return ok(commands.setProfile(made) ? 'Accepted' : 'Rejected')
  },
  ClearChargingProfile: (
    criteria: {
      id?: number
      connectorId?: number
      chargingProfilePurpose?: Profile16['chargingProfilePurpose']
      stackLevel?: number
    },
    { commands },
  ) => {
    const cleared = commands.clearProfiles((profile) => {
      if (criteria.id !== undefined) return profile.id === criteria.id
      const { connectorId, chargingProfilePurpose: purpose, stackLevel } = criteria
      return (
        (connectorId === undefined || profile.evseId === connectorId) &&
        (purpose === undefined || profile.purpose === purposes[purpose]) &&
        (stackLevel === undefined || profile.stackLevel === stackLevel)
      )
    })
    return ok(cleared ? 'Accepted' : 'Unknown')
  },
  GetCompositeSchedule: (
    {
      connectorId,
      duration,
      chargingRateUnit = 'A',
    }: { connectorId: number; duration: number; chargingRateUnit?: 'A' | 'W' },
    { commands, clock },
  ) => {
    if (connectorId !== 0 && !commands.evseIds.includes(connectorId)) return ok('Rejected')
    const { startMs, periods } = commands.compositeSchedule(connectorId, duration, chargingRateUnit)
    const scheduleStart = clock.format(startMs)
    return ok('Accepted', {
      connectorId,
      scheduleStart,
      chargingSchedule: {
        duration,
        startSchedule: scheduleStart,
        chargingRateUnit,
        chargingSchedulePeriod: periods.map(({ startSeconds, limit, phases }) => ({
          startPeriod: startSeconds,
          limit,
          ...(phases === undefined ? {} : { numberPhases: phases }),
        })),
      },
    })
  },
  ChangeAvailability: ({ connectorId, type }: { connectorId: number; type: string }, { commands, quirks }) => {
    if (quirks.has('hangs-on-change-availability')) {
      commands.hang()
      return 'silence'
    }
    return ok(commands.setOperative(connectorId, type === 'Operative'))
  },
  UnlockConnector: ({ connectorId }: { connectorId: number }, { commands }) => {
    if (!commands.evseIds.includes(connectorId)) return ok('NotSupported')
    // 1.6 ends the transaction first (§5.18); a lock that is stuck stays so.
    const open = commands.openTransactionAt(connectorId)
    if (open !== undefined) commands.remoteStop(open)
    return ok(commands.unlock(connectorId) === 'Unlocked' ? 'Unlocked' : 'UnlockFailed')
  },
  Reset: ({ type }: { type: string }, { commands }) => {
    return ok(commands.reset('now', type === 'Hard' ? 'HardReset' : undefined))
  },
  GetLocalListVersion: (_: Payload, { commands }) => ({ payload: { listVersion: commands.listVersion() } }),
  SendLocalList: (payload: SendLocalList16, { commands }) => {
    const entries = (payload.localAuthorizationList ?? []).map(({ idTag, idTagInfo }) => {
      if (idTagInfo === undefined) return { idToken: idTag, removed: true } as const
      const { status, parentIdTag, expiryDate } = idTagInfo
      return {
        idToken: idTag,
        status,
        ...(parentIdTag === undefined ? {} : { groupIdToken: parentIdTag }),
        ...(expiryDate === undefined ? {} : { expiresAtMs: Date.parse(expiryDate) }),
      }
    })
    const updated = commands.updateList({ version: payload.listVersion, full: payload.updateType === 'Full', entries })
    return ok(updated ? 'Accepted' : 'VersionMismatch')
  },
  ClearCache: (_: Payload, { commands }) => ok(commands.clearCache() ? 'Accepted' : 'Rejected'),
  GetConfiguration: ({ key }: { key?: string[] }, { settings }) => {
    const all = settings.show(1)
    const wanted = key === undefined || key.length === 0 ? undefined : key
    const find = (name: string) => all.find((shown) => shown.name.toLowerCase() === name.toLowerCase())
    const found = wanted === undefined ? all : wanted.map(find).filter((shown) => shown !== undefined)
    return {
      payload: {
        configurationKey: found.map(({ name, value, readOnly }) => ({
          key: name,
          readonly: readOnly,
          ...(value === undefined ? {} : { value }),
        })),
        unknownKey: (wanted ?? []).filter((name) => find(name) === undefined),
      },
    }
  },
  ChangeConfiguration: ({ key, value }: { key: string; value: string }, context) => {
    const { settings } = context
    if (settings.find(key) === 'securityProfile') return changeSecurityProfile(value, context)
    const change = settings.change(key, value)
    return ok({ accepted: 'Accepted', rejected: 'Rejected', 'read-only': 'Rejected', unknown: 'NotSupported' }[change])
  },
  TriggerMessage: (request: TriggerMessage16, context) => trigger(request, context),
  ExtendedTriggerMessage: (request: TriggerMessage16, context) =>
    request.requestedMessage === 'SignChargePointCertificate'
      ? askForCertificate16(context)
      : trigger(request, context),
  DataTransfer: () => ok('UnknownVendorId'),
  UpdateFirmware: (_: Payload, { commands }) => {
    commands.updateFirmware(firmwareStatus)
    return { payload: {} }
  },
  ...security16,
}

interface SendLocalList16 {
  readonly listVersion: number
  readonly updateType: string
  readonly localAuthorizationList?: readonly {
    readonly idTag: string
    readonly idTagInfo?: { readonly status: string; readonly parentIdTag?: string; readonly expiryDate?: string }
  }[]
}

interface TriggerMessage16 {
  readonly requestedMessage: string
  readonly connectorId?: number
}

function trigger({ requestedMessage, connectorId }: TriggerMessage16, { commands }: Context): Answer {
  const report = idleReports[requestedMessage]
  if (report !== undefined) {
    commands.afterwards([{ action: report, payload: { status: 'Idle' } }])
    return ok('Accepted')
  }
  const message = triggers[requestedMessage]
  if (message === undefined) return ok('NotImplemented')
  return ok(commands.trigger(message, connectorId) ? 'Accepted' : 'Rejected')
}

function firmwareStatus(status: FirmwareStep) {
  return { action: 'FirmwareStatusNotification', payload: { status } }
}

/** Answers a CALL of OCPP 1.6 whose payload has passed its schema. */
export function on16(action: string, payload: Payload, context: Context): Answer {
  const handler = handlers[action]
  return handler === undefined ? { errorCode: 'NotImplemented' } : handler(payload as never, context)
}
