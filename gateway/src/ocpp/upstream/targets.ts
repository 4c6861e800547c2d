import { readFileSync, statSync } from 'node:fs'
import { type OcppVersion, WattError } from '@wattline/protocol'
import type { UpstreamConfig } from './upstream-config.ts'
import type { WireTarget } from './wire.ts'

/** Where and how a station appears upstream, whatever version it speaks. */
export type StationTarget = Omit<WireTarget, 'version'>

type ProofFiles = Pick<UpstreamConfig, 'passwordFile' | 'certFile' | 'keyFile'>
type Proofs = Pick<StationTarget, 'password' | 'tls'>

/** Knows which stations appear upstream, and as whom. */
export class UpstreamTargets {
  readonly #config: UpstreamConfig
  /** Undefined where every station does. */
  readonly #listed: ReadonlySet<string> | undefined
  readonly #proofs: ReadonlyMap<string, Proofs>
  readonly #common: Proofs

  /** Reads the files; throws where one is missing, or where others may read a password. */
  constructor(config: UpstreamConfig, localStations: readonly string[]) {
    this.#config = config
    const { stations } = config
    const names = stations?.map(({ id }) => id) ?? localStations
    this.#listed = stations === undefined && names.length === 0 ? undefined : new Set(names)
    const ca = config.caFile === undefined ? undefined : readFile(config.caFile)
    this.#common = readProofs(config, ca)
    this.#proofs = new Map(
      (stations ?? []).map(({ id, ...files }) => [id, readProofs({ ...pickFiles(config), ...files }, ca)]),
    )
  }

  /** Whether the station appears upstream. */
  has(stationId: string): boolean {
    return this.#listed === undefined || this.#listed.has(stationId)
  }

  /** Undefined where the station does not appear upstream. */
  find(stationId: string): StationTarget | undefined {
    if (!this.has(stationId)) return undefined
    const { url, identityPrefix, stations = [], pingSeconds, callTimeoutSeconds, maxMessageBytes } = this.#config
    const identity = stations.find(({ id }) => id === stationId)?.identity ?? `${identityPrefix}${stationId}`
    return {
      url: `${url.replace(/\/+$/, '')}/${encodeURIComponent(identity)}`,
      identity,
      ...(this.#proofs.get(stationId) ?? this.#common),
      pingMs: pingSeconds * 1000,
      callTimeoutMs: callTimeoutSeconds * 1000,
      maxMessageBytes,
    }
  }
}

/** The same, for one connection. */
export function withVersion(target: StationTarget, version: OcppVersion): WireTarget {
  return { ...target, version }
}

function pickFiles({ passwordFile, certFile, keyFile }: ProofFiles): ProofFiles {
  return {
    ...(passwordFile === undefined ? {} : { passwordFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  }
}

function readProofs({ passwordFile, certFile, keyFile }: ProofFiles, ca: Buffer | undefined): Proofs {
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(certFile === undefined ? {} : { cert: readFile(certFile) }),
    ...(keyFile === undefined ? {} : { key: readFile(keyFile) }),
  }
  return { tls, ...(passwordFile === undefined ? {} : { password: readPassword(passwordFile) }) }
}

function readPassword(file: string): Buffer {
  const content = readFile(file)
  if ((statSync(file).mode & 0o077) !== 0) {
    throw new WattError('config/invalid', `${file}: others may read the password: chmod 600 ${file}`)
  }
  const text = content.toString('latin1').replace(/[\r\n]+$/, '')
  if (text === '') throw new WattError('config/invalid', `${file}: expected a password, found nothing`)
  return Buffer.from(text, 'latin1')
}

function readFile(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('config/unreadable', `${file}: cannot be read: ${reason}`, { cause })
  }
}
