import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { idPattern, type MeterId, makeGatewayId, makeMeterId, makePointId, type PointId } from '@wattline/protocol'
import type { GatewayConfig } from '../config.ts'
import { loadCertificate } from '../identity/certificate-file.ts'
import { ensureDeviceKey, keyFolder } from '../identity/device-key.ts'
import { ocppDefaults, type StationConfig } from '../ocpp/ocpp-config.ts'
import { checkKey, type PointSetup } from '../setup.ts'
import type { Store } from '../store/database.ts'
import type { ChargingPlace } from './session-signer.ts'

/** A charging point: the metering point that the sessions at one place are signed under. */
export interface ChargingPoint {
  readonly place: ChargingPlace
  readonly meterId: MeterId
  readonly point: PointId
}

/** What the configuration says of a place. */
export type ChargingTerms = Pick<StationConfig, 'owner' | 'behind' | 'feederMeter' | 'meterKey'> & {
  readonly maxPowerW: number
}

/** MV and MM of a charging point: its register is told over OCPP, and read by nobody here. */
export const chargingVendor = 'OCPP'
const chargingModel = 'charging station'

/** What the configuration says of a place: of the connector, else of its station, else what holds for all. */
export function termsOf(
  { ocpp }: Pick<GatewayConfig, 'ocpp'>,
  { stationId, connectorId }: ChargingPlace,
): ChargingTerms {
  const { connectors = [], ...station } = ocpp?.stations.find(({ id }) => id === stationId) ?? {}
  const { id: _id, ...connector } = connectors.find(({ id }) => id === connectorId) ?? {}
  return { maxPowerW: ocppDefaults.maxPowerW, ...station, ...connector }
}

/**
 * The id of a charging point: `<station>.<connector>`. Where that is no id, or a meter has it, the station's name is
 * shortened and a hash of it keeps it apart from others: the same for the same place, always.
 */
export function nameChargingPoint({ meters }: Pick<GatewayConfig, 'meters'>, place: ChargingPlace): MeterId {
  const { stationId, connectorId } = place
  const plain = `${stationId}.${connectorId}`
  if (idPattern.test(plain) && !meters.some(({ id }) => id === plain)) return makeMeterId(plain)
  const hash = createHash('sha256').update(stationId).digest('hex').slice(0, 8)
  const readable = stationId.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 20)
  return makeMeterId(`cp-${readable}-${hash}.${connectorId}`)
}

/** Puts together what is known of a place. */
export function toChargingPoint(config: GatewayConfig, place: ChargingPlace): ChargingPoint {
  const meterId = nameChargingPoint(config, place)
  return { place, meterId, point: makePointId(makeGatewayId(config.gateway.id), meterId) }
}

/**
 * Every charging point there is: the connectors that the configuration lists, and those that have been met, which their
 * certificates tell. Works without the database.
 */
export function listChargingPoints(config: GatewayConfig): readonly ChargingPoint[] {
  const listed = (config.ocpp?.stations ?? []).flatMap(({ id, connectors = [] }) =>
    connectors.map((connector) => toChargingPoint(config, { stationId: id, connectorId: connector.id })),
  )
  const found = new Map(listed.map((point) => [point.meterId, point]))
  for (const point of readMet(config)) found.set(point.meterId, found.get(point.meterId) ?? point)
  return [...found.values()]
}

const suffix = '.certificate'

function readMet(config: GatewayConfig): readonly ChargingPoint[] {
  const { dataDir } = config.gateway
  const meters = new Set(config.meters.map(({ id }) => id))
  return listFiles(keyFolder(dataDir)).flatMap((file) => {
    const name = file.slice(0, -suffix.length)
    if (!file.endsWith(suffix) || !idPattern.test(name) || meters.has(name)) return []
    const certificate = loadCertificate(dataDir, makeMeterId(name))
    if (certificate?.role !== 'charger' || certificate.meter.vendor !== chargingVendor) return []
    const place = parseSerial(certificate.meter.serial)
    return place === undefined ? [] : [{ place, meterId: makeMeterId(name), point: certificate.point }]
  })
}

function listFiles(folder: string): readonly string[] {
  try {
    return readdirSync(folder).toSorted()
  } catch {
    return [] // nothing was signed here yet
  }
}

/** MS of a charging point. */
export function formatSerial({ stationId, connectorId }: ChargingPlace): string {
  return `${stationId}/${connectorId}`
}

// What a record cannot carry stands there in percent notation, and `|` is the only such character of a station's id.
function parseSerial(serial: string): ChargingPlace | undefined {
  const match = /^(.+)\/(\d{1,15})$/.exec(serial.replaceAll('%7C', '|'))
  return match === null ? undefined : { stationId: match[1] ?? '', connectorId: Number(match[2]) }
}

/** Loads or makes the key of a charging point, and refuses to go on where one was lost. */
export function setUpChargingPoint(config: GatewayConfig, store: Store, point: ChargingPoint): PointSetup {
  const { dataDir } = config.gateway
  checkKey(point, dataDir, store)
  const { owner, behind, maxPowerW } = termsOf(config, point.place)
  return {
    meterId: point.meterId,
    point: point.point,
    role: 'charger',
    ...(behind === undefined ? {} : { behind: makeMeterId(behind) }),
    ...(owner === undefined ? {} : { owner }),
    vendor: chargingVendor,
    model: chargingModel,
    maxPowerW,
    signer: ensureDeviceKey(dataDir, point.meterId),
  }
}
