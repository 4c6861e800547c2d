import { fieldsOf } from '../json-place.ts'

const words = (text: string): readonly string[] => text.trim().toLowerCase().split(/\s+/)

// OCPP 1.6 §9 and the security whitepaper: what the gateway sets when a station is taken into service, and what decides
// who may charge and what is measured.
const ownedKeys = words(`
  AllowOfflineTxForUnknownId AuthorizationCacheEnabled AuthorizationKey AuthorizeRemoteTxRequests
  ClockAlignedDataInterval CpoName HeartbeatInterval LocalAuthListEnabled LocalAuthorizeOffline LocalPreAuthorize
  MeterValueSampleInterval MeterValuesAlignedData MeterValuesSampledData SecurityProfile StopTransactionOnInvalidId
  StopTxnAlignedData StopTxnSampledData TransactionMessageAttempts TransactionMessageRetryInterval
  WebSocketPingInterval`)
// The names that makers give to the address of the central system.
const addressKey = /url|endpoint|host|backend|backoffice|centralsystem|server|chargepointid|chargeboxid|identity/i
// The settings of signed meter values (OCA): which values are signed, and with what.
const signingKey = /datasign|publickey|starttxnsampleddata/i
const secretKey = /authorizationkey|password|secret|privatekey/i

// OCPP 2.x: of these components nothing but the listed variables may be set, or nothing at all.
const ownedComponents = words(`
  AlignedDataCtrlr AuthCacheCtrlr AuthCtrlr ClockCtrlr FiscalMetering LocalAuthListCtrlr OCPPCommCtrlr SampledDataCtrlr
  SecurityCtrlr SmartChargingCtrlr TxCtrlr`)

/** OCPP 1.6: whether a key belongs to the gateway. Stations differ in case. */
export function isOwnedKey(key: string): boolean {
  return ownedKeys.includes(key.toLowerCase()) || addressKey.test(key) || signingKey.test(key) || secretKey.test(key)
}

/** OCPP 2.x: whether a variable belongs to the gateway. */
export function isOwnedVariable(entry: unknown): boolean {
  const { component, variable } = fieldsOf(entry) ?? {}
  const [owner, name] = [fieldsOf(component)?.['name'], fieldsOf(variable)?.['name']]
  if (typeof owner !== 'string' || typeof name !== 'string') return true
  return ownedComponents.includes(owner.toLowerCase()) || isOwnedKey(name)
}

/** An answer with the station's settings without what only it and the gateway may know. Some stations tell it. */
export function hideSecrets(answer: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { configurationKey, getVariableResult } = answer
  if (Array.isArray(configurationKey)) {
    return { ...answer, configurationKey: configurationKey.map((entry) => without(entry, 'value', keyOf(entry))) }
  }
  if (Array.isArray(getVariableResult)) {
    const hide = (entry: unknown) => without(entry, 'attributeValue', fieldsOf(fieldsOf(entry)?.['variable'])?.['name'])
    return { ...answer, getVariableResult: getVariableResult.map(hide) }
  }
  return answer
}

function keyOf(entry: unknown): unknown {
  return fieldsOf(entry)?.['key']
}

function without(entry: unknown, field: string, name: unknown): unknown {
  const fields = fieldsOf(entry)
  if (fields === undefined || !secretKey.test(String(name))) return entry
  const { [field]: _, ...rest } = fields
  return rest
}
