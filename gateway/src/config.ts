import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { decodeWith, idPattern, integerBetween, parsePublicKey, roles, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { parseDocument } from 'yaml'
import { checkReferences } from './config-references.ts'
import { driversShape, withAbsoluteDriverFiles } from './drivers/drivers-config.ts'
import { logLevels } from './log.ts'
import { ocppShape, withAbsoluteOcppFiles } from './ocpp/ocpp-config.ts'
import { siteShape } from './smart-charging/site-config.ts'

/** Every default in one place. Optional parts (`mqtt`, `web`, `ocpp`) are off where they are left out. */
export const configDefaults = {
  retentionDays: 400,
  maxOutboxMb: 2048,
  logLevel: 'info',
  baudRate: 9600,
  parity: 'none',
  stopBits: 1,
  modbusTcpPort: 502,
  intervalSeconds: 60,
  valuesIntervalSeconds: 60,
  /** 43 kW, the largest feed of a house and of an AC charger. */
  fuse: { amps: 63, phases: 3 },
  window: 300,
} as const

/** A fuse carries more than its rating for a while (IEC 60898-1: 1.45 times trips within the hour), and mains voltage is up to 10 % high. */
const fuseMargin = 1.25
const phaseVoltage = 230

const id = v.pipe(v.string(), v.regex(idPattern, "expected 1 to 40 letters, digits, '.', '_' or '-'"))
const path = v.pipe(v.string(), v.nonEmpty('expected a path'))
const host = v.pipe(v.string(), v.nonEmpty('expected a host name or address'))
const port = integerBetween(1, 65_535)
const socket = v.strictObject({ host, port: v.optional(port, configDefaults.modbusTcpPort) })
const range = v.pipe(
  v.strictTuple([v.pipe(v.number(), v.minValue(0)), v.pipe(v.number(), v.maxValue(1_000_000))]),
  v.check(([low, high]) => low < high, 'expected [from, to], the lower one first'),
)
const spki = v.pipe(
  v.string(),
  v.check((text) => {
    try {
      parsePublicKey(text)
      return true
    } catch {
      return false // told as a problem of this path
    }
  }, 'expected SPKI hex of an uncompressed secp256k1 key'),
)

const bus = v.pipe(
  v.strictObject({
    id,
    serial: v.exactOptional(
      v.strictObject({
        path,
        baudRate: v.optional(integerBetween(300, 921_600), configDefaults.baudRate),
        parity: v.optional(v.picklist(['none', 'even', 'odd']), configDefaults.parity),
        stopBits: v.optional(v.picklist([1, 2]), configDefaults.stopBits),
      }),
    ),
    /** Modbus TCP: MBAP over a socket. */
    tcp: v.exactOptional(socket),
    /** RTU frames over a socket, as serial device servers pass them on. */
    rtuOverTcp: v.exactOptional(socket),
  }),
  v.check(
    (value) => [value.serial, value.tcp, value.rtuOverTcp].filter((kind) => kind !== undefined).length === 1,
    'expected exactly one of serial, tcp, rtuOverTcp',
  ),
)

const meter = v.pipe(
  v.strictObject({
    id,
    bus: id,
    unitId: integerBetween(1, 247),
    profile: id,
    /** Which of a SunSpec device's models of the profile's kind is meant, counted from 1; the first where left out. */
    sunspecInstance: v.exactOptional(integerBetween(1, 32)),
    role: v.picklist(roles),
    intervalSeconds: v.optional(
      v.pipe(v.number(), v.minValue(0.2), v.maxValue(86_400)),
      configDefaults.intervalSeconds,
    ),
    /** How often voltages, currents and the like are read; 0 for never. They are shown and checked, never signed. */
    valuesIntervalSeconds: v.optional(
      v.union([v.literal(0), v.pipe(v.number(), v.minValue(1), v.maxValue(86_400))], 'expected 0, or 1 to 86400'),
      configDefaults.valuesIntervalSeconds,
    ),
    /** The meter of this gateway one level up, which also sees this one's energy. */
    behind: v.exactOptional(id),
    owner: v.exactOptional(
      v.pipe(v.string(), v.regex(/^[\x20-\x7e]{1,64}$/, 'expected 1 to 64 printable ASCII characters')),
    ),
    /** What kind of place it is at, such as `household`; never where. */
    location: v.exactOptional(id),
    /** The most that can flow here, in watts. Given straight, or as the fuse in front of the point. */
    maxPowerW: v.exactOptional(integerBetween(1, 1_000_000_000)),
    fuse: v.exactOptional(v.strictObject({ amps: integerBetween(1, 100_000), phases: v.picklist([1, 3]) })),
    /** What voltage (phase to neutral) and frequency may be here, where the grid is none of the usual ones. */
    grid: v.exactOptional(v.strictObject({ voltageV: v.exactOptional(range), frequencyHz: v.exactOptional(range) })),
  }),
  v.check((value) => value.maxPowerW === undefined || value.fuse === undefined, 'expected maxPowerW or fuse, not both'),
)

const mqtt = v.strictObject({
  url: v.pipe(
    v.string(),
    v.regex(
      /^mqtts?:\/\/[^/@\s]+$/,
      'expected mqtt://host:port or mqtts://host:port; a password goes into passwordFile',
    ),
  ),
  clientId: v.exactOptional(
    v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,128}$/, 'expected 1 to 128 printable characters')),
  ),
  username: v.exactOptional(v.string()),
  passwordFile: v.exactOptional(path),
  tls: v.exactOptional(
    v.strictObject({ caFile: v.exactOptional(path), certFile: v.exactOptional(path), keyFile: v.exactOptional(path) }),
  ),
  /** Records that may be under way without a receipt. */
  window: v.optional(integerBetween(1, 10_000), configDefaults.window),
  /** The ledger's key; without it, the first ledger that is met is trusted from then on. */
  ledgerKey: v.exactOptional(spki),
})

const listener = v.strictObject({ host, port: integerBetween(0, 65_535) })

export const configShape = v.pipe(
  v.strictObject({
    version: v.literal(1),
    gateway: v.strictObject({
      id,
      dataDir: path,
      retentionDays: v.optional(integerBetween(1, 36_500), configDefaults.retentionDays),
      maxOutboxMb: v.optional(integerBetween(1, 1_000_000), configDefaults.maxOutboxMb),
      logLevel: v.optional(v.picklist(logLevels), configDefaults.logLevel),
    }),
    buses: v.pipe(v.array(bus), v.minLength(1, 'expected at least one bus')),
    meters: v.pipe(v.array(meter), v.minLength(1, 'expected at least one meter')),
    mqtt: v.exactOptional(mqtt),
    ocpp: v.exactOptional(ocppShape),
    /** What the house allows its chargers; they share nothing where this is left out. */
    site: v.exactOptional(siteShape),
    drivers: v.exactOptional(driversShape),
    web: v.exactOptional(listener),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    for (const { message, path: place } of checkReferences(dataset.value)) addIssue({ message, path: place })
  }),
)

type Shape = v.InferOutput<typeof configShape>
export type BusConfig = Shape['buses'][number]
export type MeterConfig = Omit<Shape['meters'][number], 'fuse'> & { readonly maxPowerW: number }
export type MqttConfig = NonNullable<Shape['mqtt']>
export type ListenerConfig = NonNullable<Shape['web']>

/** The checked configuration, complete with defaults; every path in it is absolute. */
export interface GatewayConfig extends Omit<Shape, 'meters'> {
  readonly meters: readonly MeterConfig[]
}

/** Reads and checks a configuration file. All problems come in one `config/invalid`, a line each. */
export function loadConfig(file: string): GatewayConfig {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('config/unreadable', `${file}: cannot be read: ${reason}`, { cause })
  }
  return decodeConfig(text, file)
}

/** Checks a configuration given as YAML; relative paths count from the folder of `file`. */
export function decodeConfig(text: string, file: string): GatewayConfig {
  const document = parseDocument(text)
  if (document.errors.length > 0) {
    throw new WattError('config/unreadable', document.errors.map(({ message }) => `${file}: ${message}`).join('\n'))
  }
  const checked = decodeWith(configShape, document.toJS(), file, 'config/invalid')
  const absolute = (relative: string) => resolve(dirname(file), relative)
  return {
    ...checked,
    gateway: { ...checked.gateway, dataDir: absolute(checked.gateway.dataDir) },
    buses: checked.buses.map((one) =>
      one.serial === undefined ? one : { ...one, serial: { ...one.serial, path: absolute(one.serial.path) } },
    ),
    meters: checked.meters.map(({ fuse, ...rest }) => ({ ...rest, maxPowerW: rest.maxPowerW ?? toMaxPowerW(fuse) })),
    ...(checked.mqtt === undefined ? {} : { mqtt: withAbsoluteFiles(checked.mqtt, absolute) }),
    ...(checked.drivers === undefined ? {} : { drivers: withAbsoluteDriverFiles(checked.drivers, absolute) }),
    ...(checked.ocpp === undefined ? {} : { ocpp: withAbsoluteOcppFiles(checked.ocpp, absolute) }),
  }
}

function toMaxPowerW(fuse: { readonly amps: number; readonly phases: number } = configDefaults.fuse): number {
  return Math.ceil(fuse.amps * fuse.phases * phaseVoltage * fuseMargin)
}

function withAbsoluteFiles(config: MqttConfig, absolute: (path: string) => string): MqttConfig {
  const { passwordFile, tls, ...rest } = config
  return {
    ...rest,
    ...(passwordFile === undefined ? {} : { passwordFile: absolute(passwordFile) }),
    ...(tls === undefined
      ? {}
      : { tls: Object.fromEntries(Object.entries(tls).map(([name, file]) => [name, absolute(file)])) }),
  }
}
