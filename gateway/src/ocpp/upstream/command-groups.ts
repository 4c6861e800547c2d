const words = (text: string): readonly string[] => text.trim().split(/\s+/)

/** What an operator may do to stations from upstream; `allow` in the configuration names these. */
export const commandGroups = {
  read: words(`
    GetBaseReport GetChargingProfiles GetCompositeSchedule GetConfiguration GetDERControl GetDisplayMessages
    GetInstalledCertificateIds GetLocalListVersion GetMonitoringReport GetPeriodicEventStream GetReport GetTariffs
    GetTransactionStatus GetVariables`),
  trigger: words('ExtendedTriggerMessage TriggerMessage'),
  start: words('RemoteStartTransaction RequestStartTransaction'),
  stop: words('RemoteStopTransaction RequestStopTransaction'),
  reservation: words('CancelReservation ReserveNow'),
  profiles: words('ClearChargingProfile SetChargingProfile'),
  availability: words('ChangeAvailability UnlockConnector'),
  reset: words('Reset'),
  configuration: words(`
    AdjustPeriodicEventStream ChangeConfiguration ClearCache ClearVariableMonitoring SetMonitoringBase
    SetMonitoringLevel SetVariableMonitoring SetVariables`),
  display: words(`
    ChangeTransactionTariff ClearDisplayMessage ClearTariffs CostUpdated NotifyWebPaymentStarted SetDefaultTariff
    SetDisplayMessage`),
  firmware: words('PublishFirmware SignedUpdateFirmware UnpublishFirmware UpdateFirmware'),
  logs: words('CustomerInformation GetDiagnostics GetLog'),
  data: words('DataTransfer'),
} as const

export type CommandGroup = keyof typeof commandGroups

export const commandGroupNames: readonly CommandGroup[] = [
  'read',
  'trigger',
  'start',
  'stop',
  'reservation',
  'profiles',
  'availability',
  'reset',
  'configuration',
  'display',
  'firmware',
  'logs',
  'data',
]

// Whoever may send these owns what the gateway answers for: who may charge, which certificates count, where the station
// connects to, and how much flows.
const owned: Readonly<Record<string, string>> = {
  AFRRSignal: 'the site shares its power among its stations by itself',
  CertificateSigned: 'the gateway is the authority for certificates of its stations',
  ClearDERControl: 'the site shares its power among its stations by itself',
  DeleteCertificate: 'the gateway is the authority for certificates of its stations',
  InstallCertificate: 'the gateway is the authority for certificates of its stations',
  NotifyAllowedEnergyTransfer: 'the site shares its power among its stations by itself',
  RequestBatterySwap: 'the site shares its power among its stations by itself',
  SendLocalList: 'who may charge here stands in the list of the gateway',
  SetDERControl: 'the site shares its power among its stations by itself',
  SetNetworkProfile: 'stations connect to the gateway, and to nobody else',
  UpdateDynamicSchedule: 'the site shares its power among its stations by itself',
  UsePriorityCharging: 'the site shares its power among its stations by itself',
}

/** Why a command is never passed on; undefined where it may be. */
export function findOwnership(action: string): string | undefined {
  return Object.hasOwn(owned, action) ? owned[action] : undefined
}

/** The group of a command; undefined where it is never passed on. */
export function groupOf(action: string): CommandGroup | undefined {
  return commandGroupNames.find((name) => commandGroups[name].includes(action))
}
