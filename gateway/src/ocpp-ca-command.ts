import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { makeTimestamp, WattError } from '@wattline/protocol'
import type { Output } from './commands.ts'
import type { GatewayConfig } from './config.ts'
import {
  Authority,
  authorityPaths,
  createAuthority,
  hostsOf,
  readServerCertificate,
} from './ocpp/authority/authority-files.ts'
import { readCertificateRequest } from './ocpp/authority/x509.ts'
import { ocppDefaults } from './ocpp/ocpp-config.ts'

const now = () => makeTimestamp(Date.now())

/** `ocpp ca init`: makes the authority and the certificate of the TLS port where they are missing. */
export function initAuthority({ gateway }: GatewayConfig, output: Output, hosts: readonly string[]): void {
  const { dataDir, id } = gateway
  const { authority, server } = authorityPaths(dataDir)
  const isNew = createAuthority(dataDir, id, now())
  output.write(`${authority.cert}: ${isNew ? 'made' : 'was there'}; stations must trust it as root certificate\n`)
  const before = readServerCertificate(dataDir)
  const known = before === undefined ? [] : hostsOf(before)
  const wanted = hosts.length > 0 ? hosts : known
  if (wanted.length === 0) {
    throw new WattError('config/invalid', 'with which names or addresses do stations reach this gateway? --host NAME')
  }
  const isSame = before !== undefined && wanted.every((host) => known.includes(host)) && wanted.length === known.length
  if (!isSame || isNew) new Authority(dataDir).issueForServer(wanted, now())
  output.write(`${server.cert}: ${isSame && !isNew ? 'was there' : 'made'}; for ${wanted.join(', ')}\n`)
  output.write(`Into the configuration:
ocpp:
  tls: { port: ${ocppDefaults.tlsPort}, certFile: ${server.cert}, keyFile: ${server.key}, clientCaFile: ${authority.cert} }
  authority: {}
`)
}

/** `ocpp ca sign`: signs a request that came by hand, for a station that cannot ask by itself. */
export function signRequest({ gateway, ocpp }: GatewayConfig, output: Output, station: string, file: string): void {
  const request = readCertificateRequest(readRequestFile(file))
  if (!request.ok) throw new WattError('certificate/invalid', `${file}: ${request.reason}`)
  const expected = ocpp?.stations.find(({ id }) => id === station)?.certificateName ?? station
  if (request.commonName !== expected) {
    const message = `${file}: the request is for '${request.commonName}', not for '${expected}'`
    throw new WattError('certificate/invalid', message)
  }
  const days = ocpp?.authority?.certificateDays ?? ocppDefaults.certificateDays
  const authority = new Authority(gateway.dataDir)
  output.write(authority.issueForStation(request, now(), days) + authority.certificate)
}

/** `ocpp ca show`: what there is, and when it ends. */
export function showAuthority({ gateway }: GatewayConfig, output: Output): void {
  const { authority, server } = authorityPaths(gateway.dataDir)
  const ends = ({ validToDate }: X509Certificate) => validToDate.toISOString().slice(0, 10)
  const own = new X509Certificate(new Authority(gateway.dataDir).certificate)
  output.write(`${authority.cert}: ends ${ends(own)}; SHA-256 ${own.fingerprint256}\n`)
  const tls = readServerCertificate(gateway.dataDir)
  if (tls !== undefined) output.write(`${server.cert}: ends ${ends(tls)}; for ${hostsOf(tls).join(', ')}\n`)
}

function readRequestFile(file: string): string {
  try {
    const bytes = readFileSync(file)
    // DER begins with a SEQUENCE; PEM is text.
    return bytes[0] === 0x30 ? bytes.toString('base64') : bytes.toString('utf8')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('config/unreadable', `${file}: cannot be read: ${reason}`, { cause })
  }
}
