import { integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import { commandGroupNames } from './command-groups.ts'

/** Every default of the connection to an operator's CSMS. */
export const upstreamDefaults = {
  identityPrefix: '',
  onRefusal: 'continue',
  attempts: 3,
  retrySeconds: 60,
  pingSeconds: 60,
  callTimeoutSeconds: 30,
  maxMessageBytes: 1_048_576,
} as const

const path = v.pipe(v.string(), v.nonEmpty('expected a path'))
// OCPP 2.x part 4 §3.1.1 allows these in an identity; older systems allow a few more.
const identityCharacters = /^[A-Za-z0-9*\-_=:+|@.~!]*$/
const identity = v.pipe(
  v.string(),
  v.regex(identityCharacters, 'expected letters, digits and * - _ = : + | @ . ~ !'),
  v.minLength(1, 'expected at least 1 character'),
  v.maxLength(48, 'expected at most 48 characters'),
)
const url = v.pipe(
  v.string(),
  v.check((text) => {
    try {
      const { protocol, username, password, search, hash } = new URL(text)
      return ['ws:', 'wss:'].includes(protocol) && [username, password, search, hash].every((part) => part === '')
    } catch {
      return false // told as a problem of this path
    }
  }, 'expected ws:// or wss://, without user, password, query and fragment'),
)

const proofs = {
  /** The password of Basic authentication, alone in a file that only its owner may read. */
  passwordFile: v.exactOptional(path),
  /** The client certificate, and its key. */
  certFile: v.exactOptional(path),
  keyFile: v.exactOptional(path),
}

const upstreamStation = v.strictObject({
  id: v.string(),
  /** What it is called upstream, where that is not the prefix and its own identity. */
  identity: v.exactOptional(identity),
  ...proofs,
})

/** `ocpp.upstream` of gateway.yaml: the CSMS of an operator, to which the stations appear as they are. */
export const upstreamShape = v.pipe(
  v.strictObject({
    /** Each station appears at `<url>/<identity>`. */
    url,
    identityPrefix: v.optional(
      v.pipe(v.string(), v.regex(identityCharacters), v.maxLength(40)),
      upstreamDefaults.identityPrefix,
    ),
    /** The authority of upstream's certificate, where it is none of those that everybody trusts. */
    caFile: v.exactOptional(path),
    ...proofs,
    /** The stations that appear upstream. Without it: those of `ocpp.stations`, and where there are none, every one. */
    stations: v.exactOptional(v.array(upstreamStation)),
    /** What the operator may do. Without it: everything but what the gateway answers for itself. */
    allow: v.optional(v.array(v.picklist(commandGroupNames)), [...commandGroupNames]),
    /** What becomes of a session whose driver upstream refuses, and the gateway has accepted. */
    onRefusal: v.optional(v.picklist(['continue', 'stop']), upstreamDefaults.onRefusal),
    /** No charging profile from upstream may allow more than this on a phase. */
    maxProfileAmps: v.exactOptional(v.pipe(v.number(), v.minValue(0), v.maxValue(10_000))),
    /** OCPP's TransactionMessageAttempts and TransactionMessageRetryInterval, for messages that upstream refuses. */
    attempts: v.optional(integerBetween(1, 100), upstreamDefaults.attempts),
    retrySeconds: v.optional(integerBetween(1, 86_400), upstreamDefaults.retrySeconds),
    pingSeconds: v.optional(integerBetween(1, 3_600), upstreamDefaults.pingSeconds),
    callTimeoutSeconds: v.optional(integerBetween(1, 600), upstreamDefaults.callTimeoutSeconds),
    maxMessageBytes: v.optional(integerBetween(16_384, 16_777_216), upstreamDefaults.maxMessageBytes),
  }),
  v.check(
    ({ stations = [] }) => new Set(stations.map(({ id }) => id)).size === stations.length,
    'expected each station once',
  ),
  v.check(({ stations = [], identityPrefix }) => {
    const names = stations.map(({ id, identity: own }) => own ?? `${identityPrefix}${id}`)
    return new Set(names).size === names.length
  }, 'expected each identity once'),
  v.check(
    ({ stations = [], ...all }) =>
      [all, ...stations].every(({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined)),
    'expected certFile and keyFile together',
  ),
  v.check(
    ({ url: address, caFile, stations = [], ...all }) =>
      !address.startsWith('ws:') ||
      (caFile === undefined && [all, ...stations].every(({ certFile }) => certFile === undefined)),
    'expected a wss:// url, which certificates need',
  ),
)

export type UpstreamConfig = v.InferOutput<typeof upstreamShape>

/** The same with absolute paths. */
export function withAbsoluteUpstreamFiles(config: UpstreamConfig, absolute: (path: string) => string): UpstreamConfig {
  const settle = <T extends object>(owner: T): T => {
    const files = Object.entries(owner).filter(([name]) => /File$/.test(name))
    return { ...owner, ...Object.fromEntries(files.map(([name, file]) => [name, absolute(String(file))])) }
  }
  const { stations } = config
  return { ...settle(config), ...(stations === undefined ? {} : { stations: stations.map(settle) }) }
}
