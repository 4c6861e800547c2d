import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeTimestamp } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { makeTempFolder } from '../../../test/signing-rig.ts'
import { Authority, authorityPaths, createAuthority, renewServerCertificate } from './authority-files.ts'
import { readCertificateRequest } from './x509.ts'

const now = makeTimestamp(Date.now())
const dayMs = 86_400_000

function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] }).toString()
}

/** A request as openssl makes it, and the file of its key. */
function makeRequest(t: ExecutionContext, subject: string, ...how: string[]) {
  const folder = makeTempFolder(t.teardown)
  const key = join(folder, 'key')
  const newKey = how.length > 0 ? how : ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']
  return { key, csr: openssl('req', '-new', ...newKey, '-nodes', '-subj', subject, '-keyout', key) }
}

function makeAuthority(t: ExecutionContext) {
  const dataDir = makeTempFolder(t.teardown)
  t.true(createAuthority(dataDir, 'gw-1', now))
  return { dataDir, paths: authorityPaths(dataDir), authority: new Authority(dataDir) }
}

test('the authority is made once, and its key is for its owner alone', (t) => {
  const { dataDir, paths, authority } = makeAuthority(t)
  t.is(statSync(paths.authority.key).mode & 0o777, 0o600)
  t.is(statSync(paths.folder).mode & 0o777, 0o700)
  t.false(createAuthority(dataDir, 'gw-1', now))
  t.is(new Authority(dataDir).certificate, authority.certificate)
  chmodSync(paths.authority.key, 0o644)
  t.like(
    t.throws(() => new Authority(dataDir), { message: /others may have read the key/ }),
    { code: 'key/unreadable' },
  )
})

test('there is no authority: the message says how to make one', (t) => {
  t.throws(() => new Authority(makeTempFolder(t.teardown)), { message: /wattline-gateway ocpp ca init/ })
})

test('openssl verifies what the authority has made, each for its purpose and no other', (t) => {
  const { dataDir, paths, authority } = makeAuthority(t)
  authority.issueForServer(['gateway.local', '192.168.7.1', 'fd00::1'], now)
  const request = readCertificateRequest(makeRequest(t, '/O=x/CN=CP1').csr)
  if (!request.ok) return t.fail(request.reason)
  const station = join(dataDir, 'station.pem')
  writeFileSync(station, authority.issueForStation(request, now, 365))
  const verify = (file: string, purpose: string) =>
    openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', paths.authority.cert, file)
  t.regex(verify(station, 'sslclient'), /OK/)
  t.regex(verify(paths.server.cert, 'sslserver'), /OK/)
  t.throws(() => verify(station, 'sslserver'))
  t.throws(() => verify(paths.server.cert, 'sslclient'))
  const server = new X509Certificate(readFileSync(paths.server.cert))
  t.is(server.checkHost('gateway.local'), 'gateway.local')
  t.is(server.checkIP('192.168.7.1'), '192.168.7.1')
  t.is(server.checkIP('fd00::1'), 'fd00::1')
  t.is(server.checkHost('other.local'), undefined)
  t.is(statSync(paths.server.key).mode & 0o777, 0o600)
  const issued = new X509Certificate(readFileSync(station))
  t.regex(issued.subject, /CN=CP1/)
  t.is(Math.round((issued.validToDate.getTime() - now) / dayMs), 365)
})

test('no certificate outlives its authority', (t) => {
  const { authority } = makeAuthority(t)
  const request = readCertificateRequest(makeRequest(t, '/CN=CP1').csr)
  if (!request.ok) return t.fail(request.reason)
  const issued = new X509Certificate(authority.issueForStation(request, now, 36_500))
  t.deepEqual(issued.validToDate, new X509Certificate(authority.certificate).validToDate)
})

test('nothing is certified while the clock cannot be right', (t) => {
  t.throws(() => createAuthority(makeTempFolder(t.teardown), 'gw-1', makeTimestamp(60_000)), {
    message: /clock of this machine reads 1970-01-01/,
  })
})

test('the certificate of the TLS port is renewed when it ends soon, for the same names, with a new key', (t) => {
  const { dataDir, paths, authority } = makeAuthority(t)
  t.false(renewServerCertificate(authority, dataDir, now, 30), 'there is none of ours')
  authority.issueForServer(['gateway.local', '10.0.0.1'], now)
  const before = new X509Certificate(readFileSync(paths.server.cert))
  t.false(renewServerCertificate(authority, dataDir, now, 30))
  const later = makeTimestamp(now + 370 * dayMs)
  t.true(renewServerCertificate(authority, dataDir, later, 30))
  const after = new X509Certificate(readFileSync(paths.server.cert))
  t.is(after.subjectAltName, before.subjectAltName)
  t.notDeepEqual(after.publicKey.export({ format: 'jwk' }), before.publicKey.export({ format: 'jwk' }))
  t.true(after.validToDate.getTime() > later + 300 * dayMs)
})

test('a request is read as openssl makes it: curves, RSA, RSA-PSS, and without its PEM lines', (t) => {
  const ways = [
    ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
    ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-sha384'],
    ['-newkey', 'rsa:2048'],
    ['-newkey', 'rsa:2048', '-sigopt', 'rsa_padding_mode:pss', '-sha256'],
  ]
  for (const how of ways) {
    const { csr } = makeRequest(t, '/O=maker/CN=CP1', ...how)
    const bare = csr.replace(/-----.*-----\n/g, '').replace(/\n/g, '')
    for (const text of [csr, bare, csr.replaceAll('\n', '\\n')]) {
      t.like(readCertificateRequest(text), { ok: true, commonName: 'CP1' }, how.join(' '))
    }
  }
})

test('a request with a weak key, without a name, signed by another key, or that is none, is refused in words', (t) => {
  const reasonOf = (text: string) => {
    const read = readCertificateRequest(text)
    return read.ok ? 'accepted' : read.reason
  }
  t.regex(reasonOf(makeRequest(t, '/CN=CP1', '-newkey', 'rsa:1024').csr), /1024 bits/)
  t.regex(
    reasonOf(makeRequest(t, '/CN=CP1', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1').csr),
    /secp256k1 is none of/,
  )
  t.regex(reasonOf(makeRequest(t, '/CN=CP1', '-newkey', 'ed25519').csr), /type ed25519 is not taken/)
  t.regex(reasonOf(makeRequest(t, '/O=CP1').csr), /names nobody/)
  t.regex(reasonOf(makeRequest(t, '/CN=CP1/CN=CP2').csr), /names nobody/)
  for (const text of ['', 'hello', '-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----']) {
    t.regex(reasonOf(text), /cannot be read/, text)
  }
  // One byte of the name changed: the signature is that of another text.
  const der = Buffer.from(makeRequest(t, '/CN=CP1').csr.replace(/-----.*-----\n/g, ''), 'base64')
  der[der.indexOf('CP1') + 2] = 0x32
  t.regex(reasonOf(der.toString('base64')), /not signed with the key/)
  // Another key under the same signature.
  const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey
  const point = other.export({ format: 'der', type: 'spki' }).subarray(-65)
  const swapped = Buffer.from(makeRequest(t, '/CN=CP1').csr.replace(/-----.*-----\n/g, ''), 'base64')
  point.copy(swapped, swapped.indexOf(Buffer.from('034200', 'hex')) + 3)
  t.regex(reasonOf(swapped.toString('base64')), /not signed with the key/)
})
