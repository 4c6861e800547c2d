import { idPattern, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import { upstreamShape, withAbsoluteUpstreamFiles } from './upstream/upstream-config.ts'

/** Every default of the part for charging stations. */
export const ocppDefaults = {
  securityProfile: 0,
  noSubprotocol: 'refuse',
  timeZone: 'UTC',
  heartbeatSeconds: 300,
  pingSeconds: 30,
  callTimeoutSeconds: 30,
  maxConnections: 500,
  maxMessageBytes: 1_048_576,
  messagesPerSecond: 50,
  tlsPort: 9221,
  /** 43 kW and the margin of a fuse, as for meters: the largest feed of an AC charger. */
  maxPowerW: 54_338,
} as const

const path = v.pipe(v.string(), v.nonEmpty('expected a path'))
export const stationId = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9*\-_=:+|@.~!]{1,48}$/, 'expected 1 to 48 letters, digits and * - _ = : + | @ . ~ !'),
)
const securityProfile = v.picklist([0, 1, 2, 3])
const noSubprotocol = v.picklist(['refuse', 'ocpp1.6'])
const timeZone = v.pipe(
  v.string(),
  v.check((name) => {
    try {
      new Intl.DateTimeFormat('en', { timeZone: name })
      return true
    } catch {
      return false // told as a problem of this path
    }
  }, 'expected an IANA time zone, such as Europe/Berlin'),
)

const meterId = v.pipe(v.string(), v.regex(idPattern, "expected 1 to 40 letters, digits, '.', '_' or '-'"))

/** What is said of a charging point, or of all of a station. */
const chargingPoint = {
  /** Whose account pays where no driver's is known. */
  owner: v.exactOptional(
    v.pipe(v.string(), v.regex(/^[\x20-\x7e]{1,64}$/, 'expected 1 to 64 printable ASCII characters')),
  ),
  /** The meter of this gateway that also sees this energy. */
  behind: v.exactOptional(meterId),
  /** The most that can flow here, in watts. */
  maxPowerW: v.exactOptional(integerBetween(1, 1_000_000_000)),
  /** A meter of this gateway that measures nothing but this: sessions are compared with it. */
  feederMeter: v.exactOptional(meterId),
  /** The public key of the station's own meter, SPKI in hex or base64, for the values that it signs. */
  meterKey: v.exactOptional(v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/=]{40,2500}$/, 'expected SPKI in hex or base64'))),
}

const station = v.strictObject({
  id: stationId,
  ...chargingPoint,
  /** Its connectors (OCPP 2.x: EVSEs), where they differ from the station, or are to have their keys at the start. */
  connectors: v.exactOptional(
    v.pipe(
      v.array(v.strictObject({ id: integerBetween(0, 9_999), ...chargingPoint })),
      v.check((list) => new Set(list.map(({ id }) => id)).size === list.length, 'expected each connector once'),
    ),
  ),
  /** Where it differs from that of all. */
  securityProfile: v.exactOptional(securityProfile),
  /** The password of Basic authentication, alone in a file. */
  passwordFile: v.exactOptional(path),
  /** The common name of its certificate, where that is not its identity. */
  certificateName: v.exactOptional(v.pipe(v.string(), v.nonEmpty())),
  noSubprotocol: v.exactOptional(noSubprotocol),
  timeZone: v.exactOptional(timeZone),
})

/** `ocpp:` of gateway.yaml. */
export const ocppShape = v.pipe(
  v.strictObject({
    host: v.pipe(v.string(), v.nonEmpty('expected a host name or address')),
    port: integerBetween(0, 65_535),
    /** OCPP's security profiles: 0 nothing, 1 Basic, 2 Basic over TLS, 3 client certificate. The least for every station. */
    securityProfile: v.optional(securityProfile, ocppDefaults.securityProfile),
    /** A second port, for TLS. */
    tls: v.exactOptional(
      v.strictObject({
        port: v.optional(integerBetween(0, 65_535), ocppDefaults.tlsPort),
        certFile: path,
        keyFile: path,
        /** Who signs the stations' certificates: needed for profile 3. */
        clientCaFile: v.exactOptional(path),
      }),
    ),
    stations: v.optional(v.array(station), []),
    /** Stations that are not listed. Without this they are accepted as long as none is listed. */
    unknownStations: v.exactOptional(v.picklist(['accept', 'refuse'])),
    /** What a station speaks that offers no subprotocol. */
    noSubprotocol: v.optional(noSubprotocol, ocppDefaults.noSubprotocol),
    /** What a time without a zone is local to. */
    timeZone: v.optional(timeZone, ocppDefaults.timeZone),
    heartbeatSeconds: v.optional(integerBetween(10, 86_400), ocppDefaults.heartbeatSeconds),
    pingSeconds: v.optional(integerBetween(1, 3_600), ocppDefaults.pingSeconds),
    callTimeoutSeconds: v.optional(integerBetween(1, 600), ocppDefaults.callTimeoutSeconds),
    maxConnections: v.optional(integerBetween(1, 10_000), ocppDefaults.maxConnections),
    maxMessageBytes: v.optional(integerBetween(16_384, 16_777_216), ocppDefaults.maxMessageBytes),
    messagesPerSecond: v.optional(integerBetween(1, 10_000), ocppDefaults.messagesPerSecond),
    /** The CSMS of an operator, to which the stations appear as they are. */
    upstream: v.exactOptional(upstreamShape),
  }),
  v.check(
    ({ stations }) => new Set(stations.map(({ id }) => id)).size === stations.length,
    'expected each station once',
  ),
  v.check(
    ({ tls, stations, securityProfile: all }) =>
      tls !== undefined || stations.every((one) => (one.securityProfile ?? all) < 2),
    'expected tls, which security profiles 2 and 3 need',
  ),
  v.check(
    ({ tls, stations, securityProfile: all }) =>
      tls?.clientCaFile !== undefined || stations.every((one) => (one.securityProfile ?? all) < 3),
    'expected tls.clientCaFile, which security profile 3 needs',
  ),
  v.check(
    ({ stations, securityProfile: all }) =>
      stations.every((one) => one.passwordFile !== undefined || ![1, 2].includes(one.securityProfile ?? all)),
    'expected a passwordFile for each station with security profile 1 or 2',
  ),
)

export type OcppConfig = v.InferOutput<typeof ocppShape>
export type StationConfig = OcppConfig['stations'][number]

/** The same with absolute paths. */
export function withAbsoluteOcppFiles(config: OcppConfig, absolute: (path: string) => string): OcppConfig {
  const { tls, stations, upstream } = config
  return {
    ...config,
    stations: stations.map(({ passwordFile, ...rest }) =>
      passwordFile === undefined ? rest : { ...rest, passwordFile: absolute(passwordFile) },
    ),
    ...(upstream === undefined ? {} : { upstream: withAbsoluteUpstreamFiles(upstream, absolute) }),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            port: tls.port,
            certFile: absolute(tls.certFile),
            keyFile: absolute(tls.keyFile),
            ...(tls.clientCaFile === undefined ? {} : { clientCaFile: absolute(tls.clientCaFile) }),
          },
        }),
  }
}
