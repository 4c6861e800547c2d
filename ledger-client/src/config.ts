import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { decodeWith, integerBetween, isAddress, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { parse } from 'yaml'
import { type EvmConfig, evmShape, toEvm } from './evm/evm-config.ts'
import { eeaShares } from './ledger/genesis.ts'
import { type EnrolmentMode, enrolmentModes } from './points/enrolment.ts'
import { type VerifierName, verifierNames } from './verifiers/pick.ts'

/** Every default there is. */
export const defaults = {
  backend: 'sqlite',
  enrolment: 'closed',
  verifier: 'auto',
  clientId: 'wattline-ledger',
  logLevel: 'info',
  wallets: false,
  httpHost: '127.0.0.1',
} as const

/** A broker inside this program. */
export interface EmbeddedConfig {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Lines `<gatewayId>:<password>`, mode 0600. */
  readonly credentialsFile?: string
}

/** A broker elsewhere. */
export interface ExternalConfig {
  readonly url: string
  readonly clientId: string
  readonly tls?: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string }
  readonly username?: string
  readonly passwordFile?: string
}

export const backends = ['sqlite', 'evm'] as const
export const logLevels = ['error', 'warn', 'info', 'debug'] as const

/** A certificate, with those that lead to its authority behind it, and its key, in PEM. */
export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
}

/** What the ledger runs with; all paths are absolute. */
export interface LedgerConfig {
  readonly version: 1
  readonly ledger: {
    readonly dataDir: string
    /** Where the last word is: in the journal, or in a contract on a chain (then `evm` says which). */
    readonly backend: (typeof backends)[number]
    readonly enrolment: EnrolmentMode
    readonly verifier: VerifierName
    readonly logLevel: (typeof logLevels)[number]
    /** Who gets EEA at its genesis: 30, 35, 20, 10 and 5 %. */
    readonly eea?: { readonly holders: readonly string[] }
    /** Signs what an operator does; `operator.key` in the data directory if left out. Needed at hand only then. */
    readonly operatorKeyFile: string
  }
  readonly mqtt: { readonly embedded: EmbeddedConfig } | ExternalConfig
  readonly http?: {
    readonly host: string
    readonly port: number
    /** Whether wallets are served: anyone who reaches the port can order, and ask for the own account. */
    readonly wallets: boolean
    /** Serves https and nothing else. */
    readonly tls?: TlsFiles
  }
  readonly evm?: EvmConfig
}

const port = integerBetween(0, 65_535)
const text = v.pipe(v.string(), v.minLength(1))
const loopback = /^(127(\.\d{1,3}){3}|::1|localhost)$/

const embedded = v.pipe(
  v.strictObject({ host: text, port, credentialsFile: v.optional(text) }),
  v.forward(
    v.check(
      ({ host, credentialsFile }) => loopback.test(host) || credentialsFile !== undefined,
      'required where the host is not a loopback address: anyone there could publish',
    ),
    ['credentialsFile'],
  ),
)

const mqtt = v.pipe(
  v.strictObject({
    embedded: v.optional(embedded),
    url: v.optional(
      v.pipe(text, v.regex(/^mqtts?:\/\/[^/\s@]+\/?$/, 'mqtt://host:port or mqtts://host:port expected')),
    ),
    clientId: v.optional(v.pipe(text, v.maxLength(64))),
    tls: v.optional(
      v.pipe(
        v.strictObject({
          caFile: v.exactOptional(text),
          certFile: v.exactOptional(text),
          keyFile: v.exactOptional(text),
        }),
        v.check(
          ({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined),
          'certFile and keyFile go together',
        ),
      ),
    ),
    username: v.optional(text),
    passwordFile: v.optional(text),
  }),
  v.check(({ embedded, url }) => (embedded === undefined) !== (url === undefined), 'either embedded or url expected'),
  v.check(
    ({ embedded, url: _url, ...rest }) =>
      embedded === undefined || Object.values(rest).every((value) => value === undefined),
    'only url takes further keys',
  ),
  v.check(
    ({ username, passwordFile }) => passwordFile === undefined || username !== undefined,
    'passwordFile goes with username',
  ),
)

const http = v.pipe(
  v.strictObject({
    host: v.optional(text, defaults.httpHost),
    port,
    wallets: v.optional(v.boolean(), defaults.wallets),
    tls: v.exactOptional(v.strictObject({ certFile: text, keyFile: text })),
  }),
  v.forward(
    v.check(
      ({ host, wallets, tls }) => !wallets || tls !== undefined || loopback.test(host),
      'required where wallets are served beyond this machine: what an account holds is for its owner alone',
    ),
    ['tls'],
  ),
)

// The shares are fixed (SPEC-92); only who gets them is the operator's to say, once.
const eeaHolders = v.pipe(
  // An address in a second spelling would be an account that no wallet can open.
  v.array(
    v.pipe(
      text,
      v.maxLength(64),
      v.check((name) => !/^0x/i.test(name) || isAddress(name), 'an address as EIP-55 spells it expected'),
    ),
  ),
  v.length(eeaShares.length, `${eeaShares.length} names expected`),
  v.check((names) => new Set(names).size === names.length, 'different names expected'),
)

type MqttShape = v.InferOutput<typeof mqtt>

/** What a config file may hold. */
export const configShape = v.pipe(
  v.strictObject({
    version: v.literal(1),
    ledger: v.strictObject({
      dataDir: text,
      backend: v.optional(v.picklist(backends), defaults.backend),
      enrolment: v.optional(v.picklist(enrolmentModes), defaults.enrolment),
      verifier: v.optional(v.picklist(verifierNames), defaults.verifier),
      logLevel: v.optional(v.picklist(logLevels), defaults.logLevel),
      operatorKeyFile: v.exactOptional(text),
      eea: v.exactOptional(v.strictObject({ holders: eeaHolders })),
    }),
    mqtt,
    http: v.optional(http),
    evm: v.optional(evmShape),
  }),
  v.forward(
    v.check(({ ledger, evm }) => ledger.backend !== 'evm' || evm !== undefined, 'required where ledger.backend is evm'),
    ['evm'],
  ),
  v.forward(
    v.check(
      ({ evm, http }) => evm === undefined || http?.wallets !== true,
      'not beside section evm: WATT is paid with on the chain then, or it could be spent twice',
    ),
    ['http', 'wallets'],
  ),
)

/** Reads a config file. Every problem is told at once, with its path. */
export function loadConfig(path: string): LedgerConfig {
  let yaml: string
  try {
    yaml = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new WattError('config/unreadable', `${path}: cannot be read`, { cause })
  }
  return decodeConfig(yaml, path)
}

/** Decodes the text of a config file; relative paths in it begin at the file's folder. */
export function decodeConfig(yaml: string, path: string): LedgerConfig {
  let content: unknown
  try {
    content = parse(yaml)
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('config/invalid', `${path}: no YAML: ${problem}`, { cause })
  }
  const { ledger, mqtt: broker, ...rest } = decodeWith(configShape, content, path, 'config/invalid')
  const folder = dirname(resolve(path))
  const dataDir = resolve(folder, ledger.dataDir)
  return {
    version: 1,
    ledger: {
      ...ledger,
      dataDir,
      operatorKeyFile: resolve(folder, ledger.operatorKeyFile ?? join(dataDir, 'operator.key')),
    },
    mqtt: toMqtt(broker, folder),
    ...(rest.http === undefined ? {} : { http: toHttp(rest.http, folder) }),
    ...(rest.evm === undefined ? {} : { evm: toEvm(rest.evm, folder) }),
  }
}

function toHttp({ tls, ...place }: v.InferOutput<typeof http>, folder: string): NonNullable<LedgerConfig['http']> {
  if (tls === undefined) return place
  return { ...place, tls: { certFile: resolve(folder, tls.certFile), keyFile: resolve(folder, tls.keyFile) } }
}

function toMqtt(
  { embedded: local, url, clientId, tls, username, passwordFile }: MqttShape,
  folder: string,
): LedgerConfig['mqtt'] {
  if (local !== undefined) {
    const { credentialsFile, ...place } = local
    const credentials = credentialsFile === undefined ? {} : { credentialsFile: resolve(folder, credentialsFile) }
    return { embedded: { ...place, ...credentials } }
  }
  const files = Object.entries(tls ?? {}).map(([name, file]) => [name, resolve(folder, file)])
  return {
    url: url ?? '', // the schema demands it where there is no embedded broker
    clientId: clientId ?? defaults.clientId,
    ...(tls === undefined ? {} : { tls: Object.fromEntries(files) }),
    ...(username === undefined ? {} : { username }),
    ...(passwordFile === undefined ? {} : { passwordFile: resolve(folder, passwordFile) }),
  }
}

/** The effective config as text. Secrets stand in files, so it holds none. */
export function formatConfig(config: LedgerConfig): string {
  return `${JSON.stringify(config, null, 2)}\n`
}
