import {
  type Certificate,
  formatPublicKey,
  type GatewayId,
  type MeterId,
  type MeterProfile,
  makeGatewayId,
  makeMeterId,
  makePointId,
  type PointId,
  planEnergySnapshot,
  type Role,
  roleDirections,
  type Signer,
  WattError,
} from '@wattline/protocol'
import type { GatewayConfig, MeterConfig } from './config.ts'
import { defaultGridLimits, type GridLimits } from './guard-grid.ts'
import { loadCertificate } from './identity/certificate-file.ts'
import { ensureDeviceKey, loadDeviceKey } from './identity/device-key.ts'
import { finishRotation } from './identity/rotation.ts'
import { findProfile, type Profiles } from './modbus/profiles.ts'
import type { Store } from './store/database.ts'
import { findPoint } from './store/points.ts'

/** A configured meter with its profile. */
export interface MeterSetup {
  readonly config: MeterConfig
  readonly profile: MeterProfile
  readonly meterId: MeterId
  readonly point: PointId
}

/** Looks up what the configuration names. */
export function setUpMeters(config: GatewayConfig, profiles: Profiles): readonly MeterSetup[] {
  const gatewayId = makeGatewayId(config.gateway.id)
  return config.meters.map((meter) => {
    const meterId = makeMeterId(meter.id)
    return {
      config: meter,
      profile: findProfile(profiles, meter.profile),
      meterId,
      point: makePointId(gatewayId, meterId),
    }
  })
}

/** Checks that each meter's profile exists and serves the registers of its role. Tells all problems at once. */
export function checkProfiles(config: GatewayConfig, profiles: Profiles, source: string): void {
  const problems = config.meters.flatMap((meter, at) => {
    try {
      const profile = findProfile(profiles, meter.profile)
      planEnergySnapshot(profile, roleDirections[meter.role])
      if (meter.sunspecInstance === undefined || profile.sunspec !== undefined) return []
      return [`${source}: meters[${at}].sunspecInstance: profile ${profile.id} is not of SunSpec`]
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      return [`${source}: meters[${at}].profile: ${error.message}`]
    }
  })
  if (problems.length > 0) throw new WattError('config/invalid', problems.join('\n'))
}

/** A metering point that can sign. */
export interface PointSetup {
  readonly meterId: MeterId
  readonly point: PointId
  readonly role: Role
  readonly behind?: MeterId
  readonly owner?: string
  readonly location?: string
  readonly vendor: string
  readonly model: string
  readonly maxPowerW: number
  readonly rolloverWh?: bigint
  /** Absent where voltage and frequency are never read. */
  readonly grid?: GridLimits
  readonly signer: Signer
}

/** Loads the metering points' keys, makes those that never were, and refuses to go on where one was lost. */
export function setUpPoints(meters: readonly MeterSetup[], dataDir: string, store: Store): readonly PointSetup[] {
  for (const meter of meters) checkKey(meter, dataDir, store)
  return meters.map(({ config, profile, meterId, point }) => ({
    meterId,
    point,
    role: loadCertificate(dataDir, meterId)?.role ?? config.role,
    ...(config.behind === undefined ? {} : { behind: makeMeterId(config.behind) }),
    ...(config.owner === undefined ? {} : { owner: config.owner }),
    ...(config.location === undefined ? {} : { location: config.location }),
    vendor: profile.brand,
    model: profile.models[0] ?? profile.id,
    maxPowerW: config.maxPowerW,
    ...(profile.rolloverWh === undefined ? {} : { rolloverWh: BigInt(profile.rolloverWh) }),
    ...toGridLimits(config),
    signer: ensureDeviceKey(dataDir, meterId),
  }))
}

function toGridLimits({ grid, valuesIntervalSeconds }: MeterConfig): Pick<PointSetup, 'grid'> {
  if (valuesIntervalSeconds === 0) return {}
  const { voltageV, frequencyHz } = grid ?? {}
  return {
    grid: {
      voltageV: voltageV === undefined ? defaultGridLimits.voltageV : [voltageV],
      frequencyHz: frequencyHz ?? defaultGridLimits.frequencyHz,
    },
  }
}

/** A new key in place of a lost one would be another metering point under the same name: throws where one was lost. */
export function checkKey(
  { meterId, point }: Pick<MeterSetup, 'meterId' | 'point'>,
  dataDir: string,
  store: Store,
): void {
  finishRotation({ meterId, point }, dataDir, store)
  const key = loadDeviceKey(dataDir, meterId)
  const certificate = loadCertificate(dataDir, meterId)
  const known = [findPoint(store, point)?.publicKey, certificate && formatPublicKey(certificate.key)]
  const advice = `Put ${meterId}.key back from a backup, or give the meter another id, which begins a new metering point`
  for (const other of known) {
    if (other === undefined || (key !== undefined && formatPublicKey(key.publicKey) === other)) continue
    const found = key === undefined ? 'its key is missing' : 'another key lies in its place'
    throw new WattError('key/mismatch', `${point} has signed records, but ${found} in ${dataDir}/keys. ${advice}`)
  }
}

/** What the configuration says otherwise than the certificate, which is made once and kept. */
export function listCertificateDifferences(
  config: Pick<MeterConfig, 'behind' | 'maxPowerW' | 'owner' | 'role'>,
  gatewayId: GatewayId,
  certificate: Certificate,
): readonly string[] {
  const behind = config.behind === undefined ? undefined : makePointId(gatewayId, makeMeterId(config.behind))
  const pairs = [
    ['role', certificate.role, config.role],
    ['behind', certificate.behind, behind],
    ['owner', certificate.owner, config.owner],
    ['maxPowerW', certificate.maxPowerW, config.maxPowerW],
  ] as const
  return pairs.flatMap(([name, kept, wanted]) =>
    kept === wanted ? [] : [`${name}: ${kept ?? 'none'}, the configuration says ${wanted ?? 'none'}`],
  )
}
