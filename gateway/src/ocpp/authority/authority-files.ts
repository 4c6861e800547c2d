import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Timestamp, WattError } from '@wattline/protocol'
import { checkPrivate } from '../../identity/device-key.ts'
import { makePrivateFolder, writeDurably } from '../../store/atomic-file.ts'
import { issueCertificate, readPrivateKey } from './x509.ts'

const dayMs = 86_400_000
// A station trusts the authority's certificate for as long as it hangs on the wall.
const authorityDays = 20 * 365
const serverDays = 397
/** Clocks differ, and a station's may be a day slow before it is set: certificates begin in the past. */
const backdatedMs = dayMs
/** Before this was written no clock can be right. */
const earliestMs = Date.UTC(2026, 0, 1)

/** Where the local authority lies. Its key signs certificates of stations; the server's is that of the TLS port. */
export function authorityPaths(dataDir: string) {
  const folder = join(dataDir, 'ocpp-ca')
  return {
    folder,
    authority: { cert: join(folder, 'ca.pem'), key: join(folder, 'ca.key') },
    server: { cert: join(folder, 'server.pem'), key: join(folder, 'server.key') },
  } as const
}

/** Makes the authority where there is none; gives whether it was made. An authority's key is never overwritten. */
export function createAuthority(dataDir: string, name: string, now: Timestamp): boolean {
  const { folder, authority } = authorityPaths(dataDir)
  makePrivateFolder(folder)
  if (!exists(authority.key)) writeDurably(authority.key, exportKey(makeKey()), 'keep-existing')
  if (exists(authority.cert)) return false
  const privateKey = readKey(authority.key)
  const certificate = issueCertificate(
    {
      kind: 'authority',
      commonName: `Charging stations of ${name}`,
      publicKey: createPublicKey(privateKey),
      ...validity(now, authorityDays),
    },
    { privateKey },
  )
  return writeDurably(authority.cert, certificate, 'keep-existing', 0o644)
}

/** What is certified for a station. */
export interface StationSubject {
  readonly commonName: string
  readonly publicKey: KeyObject
}

/** The authority of a gateway: signs certificates for its stations and its TLS port. */
export class Authority {
  /** Its own certificate, in PEM: what stations must trust. */
  readonly certificate: string
  readonly #dataDir: string
  readonly #privateKey: KeyObject
  readonly #endsAt: number

  /** Throws where there is none, or where it is damaged or open to others. */
  constructor(dataDir: string) {
    const { authority } = authorityPaths(dataDir)
    if (!exists(authority.key) || !exists(authority.cert)) {
      const message = `${authority.cert}: there is no authority yet: run wattline-gateway ocpp ca init`
      throw new WattError('certificate/invalid', message)
    }
    this.#dataDir = dataDir
    this.#privateKey = readKey(authority.key)
    this.certificate = readText(authority.cert)
    const parsed = readCertificate(this.certificate, authority.cert)
    if (!parsed.checkPrivateKey(this.#privateKey)) {
      throw new WattError('key/mismatch', `${authority.cert} and ${authority.key} do not belong together`)
    }
    this.#endsAt = parsed.validToDate.getTime()
  }

  /** A certificate with which a station shows who it is, as PEM. */
  issueForStation(subject: StationSubject, now: Timestamp, days: number): string {
    return this.#issue({ kind: 'station', ...subject }, now, days)
  }

  /** Makes a new key and certificate for the TLS port, reached under these names and addresses. */
  issueForServer(hosts: readonly string[], now: Timestamp): void {
    const { server } = authorityPaths(this.#dataDir)
    const privateKey = makeKey()
    const [commonName = 'gateway'] = hosts
    const fields = { kind: 'server', commonName, hosts, publicKey: createPublicKey(privateKey) } as const
    const certificate = this.#issue(fields, now, serverDays)
    // One file after the other: between the two a start of the gateway finds a pair that does not match, says so, and
    // the command is run again.
    writeDurably(server.key, exportKey(privateKey), 'replace')
    writeDurably(server.cert, certificate, 'replace', 0o644)
  }

  #issue(fields: StationSubject & { kind: 'server' | 'station' }, now: Timestamp, days: number): string {
    const { notBefore, notAfter } = validity(now, days)
    const last = new Date(Math.min(notAfter.getTime(), this.#endsAt))
    return issueCertificate(
      { ...fields, organisation: 'Wattline', notBefore, notAfter: last },
      { certificate: this.certificate, privateKey: this.#privateKey },
    )
  }
}

/** The certificate of the TLS port, where this gateway's authority has made one. */
export function readServerCertificate(dataDir: string): X509Certificate | undefined {
  const { server } = authorityPaths(dataDir)
  return exists(server.cert) ? readCertificate(readText(server.cert), server.cert) : undefined
}

/** Makes the TLS port's certificate anew, for the same names, where it ends soon; gives whether it did. */
export function renewServerCertificate(authority: Authority, dataDir: string, now: Timestamp, beforeDays: number) {
  const certificate = readServerCertificate(dataDir)
  if (certificate === undefined || certificate.validToDate.getTime() - now > beforeDays * dayMs) return false
  authority.issueForServer(hostsOf(certificate), now)
  return true
}

/** Names and addresses in a certificate. */
export function hostsOf({ subjectAltName = '' }: X509Certificate): readonly string[] {
  return subjectAltName.split(', ').flatMap((name) => /^(?:DNS|IP Address):(.+)$/.exec(name)?.[1] ?? [])
}

function validity(now: Timestamp, days: number) {
  if (now < earliestMs) {
    const reads = new Date(now).toISOString()
    throw new WattError('certificate/invalid', `no certificate is made: the clock of this machine reads ${reads}`)
  }
  return { notBefore: new Date(now - backdatedMs), notAfter: new Date(now + days * dayMs) }
}

function makeKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
}

function exportKey(key: KeyObject): string {
  return key.export({ format: 'pem', type: 'pkcs8' }).toString()
}

function readKey(path: string): KeyObject {
  checkPrivate(path, 0o600)
  try {
    return readPrivateKey(readText(path))
  } catch (cause) {
    throw new WattError('key/unreadable', `${path}: no private key. Put it back from a backup of this file`, { cause })
  }
}

function readCertificate(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    throw new WattError('certificate/invalid', `${path}: no certificate`, { cause })
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('key/unreadable', `${path} cannot be read: ${reason}`, { cause })
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}
