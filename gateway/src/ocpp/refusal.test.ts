import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import test, { type ExecutionContext } from 'ava'
import { makeAuthority } from '../../test/certificates.ts'
import { type CsmsRig, connectStation, openTcp, startCsms, upgradeHead } from '../../test/csms-rig.ts'
import { makeTempFolder } from '../../test/signing-rig.ts'
import { adviceOn, type RefusalCode, toTlsRefusal } from './refusal.ts'

async function startTls(t: ExecutionContext, config: object = {}) {
  const folder = makeTempFolder(t.teardown)
  const ours = makeAuthority(folder, 'ours')
  const server = ours.sign('localhost')
  const tls = { port: 0, certFile: server.cert, keyFile: server.key, clientCaFile: ours.cert }
  return { folder, ours, ...(await startCsms(t.teardown, { tls, ...config })) }
}

/** What the board says of somebody, as soon as it says something. */
async function refusalOf({ csms, log }: CsmsRig, id: string) {
  await log.line('ocpp.station.refused')
  const refused = csms.stations().find((station) => station.id === id)?.refused
  if (refused === undefined) throw new Error(`nothing of ${id}: ${JSON.stringify(csms.stations())}`)
  return refused
}

/** A handshake with these options; it need not come to an end. */
async function shakeHands(port: number, options: object): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connectTls({ host: '127.0.0.1', port, servername: 'localhost', ...options })
    socket.on('error', () => {}).on('close', () => resolve())
    socket.on('secureConnect', () => socket.end())
  })
}

const nobody = '?127.0.0.1'

test('TLS on the port without, and the other way round: each is told by its address', async (t) => {
  const rig = await startTls(t)
  await shakeHands(rig.port, { rejectUnauthorized: false })
  t.like(await refusalOf(rig, nobody), { code: 'tls-on-plain', address: '127.0.0.1' })
  const other = await startTls(t)
  await (await openTcp(other.tlsPort, upgradeHead('/CP1'))).until()
  t.like(await refusalOf(other, nobody), { code: 'plain-on-tls', address: '127.0.0.1' })
})

test('a station that does not trust us, speaks an old TLS, or goes away, is told apart', async (t) => {
  const cases: readonly [object, RefusalCode][] = [
    [{}, 'tls-distrust'],
    [
      { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0', rejectUnauthorized: false },
      'tls-version',
    ],
    [{ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA', rejectUnauthorized: false }, 'tls-cipher'],
  ]
  for (const [options, code] of cases) {
    const rig = await startTls(t)
    if (code === 'tls-distrust') await distrust(rig.tlsPort)
    else await shakeHands(rig.tlsPort, options)
    t.like(await refusalOf(rig, nobody), { code, address: '127.0.0.1' }, code)
  }
  const gone = await startTls(t)
  const tcp = await openTcp(gone.tlsPort, '\u0016\u0003\u0001')
  tcp.socket.end()
  t.like(await refusalOf(gone, nobody), { code: 'tls-broken' })
})

// Node ends a connection that it does not trust without an alert; openssl says why.
async function distrust(port: number): Promise<void> {
  const args = ['s_client', '-connect', `127.0.0.1:${port}`, '-verify_return_error', '-no-CAfile', '-no-CApath']
  const child = spawn('openssl', args, { stdio: 'ignore' })
  const [code] = await once(child, 'exit')
  if (code === 0) throw new Error('it trusts')
}

test('alerts of a station are put into words: its clock, its trust', (t) => {
  t.is(toTlsRefusal('ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED').code, 'tls-clock')
  t.is(toTlsRefusal('ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED').code, 'tls-clock')
  t.is(toTlsRefusal('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA').code, 'tls-distrust')
  t.is(toTlsRefusal('ECONNRESET').code, 'tls-broken')
  t.regex(adviceOn('tls-clock'), /clock is wrong/)
})

test('a certificate that has expired, or is not valid yet, or comes from others, is told apart', async (t) => {
  const rig = await startTls(t, { securityProfile: 3 })
  const dated = (from: string, to: string) => makeDated(rig.folder, rig.ours, from, to)
  const other = makeTempFolder(t.teardown)
  mkdirSync(join(other, 'x'))
  const cases = [
    [dated('20200101000000Z', '20200201000000Z'), 'certificate-expired'],
    [dated('20400101000000Z', '20400201000000Z'), 'certificate-early'],
    [makeAuthority(other, 'theirs').sign('CP1'), 'certificate-foreign'],
    [undefined, 'certificate-missing'],
    [rig.ours.sign('CP7'), 'certificate-name'],
  ] as const
  for (const [files, code] of cases) {
    const shown = files && { cert: readFileSync(files.cert), key: readFileSync(files.key) }
    const options = { rejectUnauthorized: false, ...shown }
    await t.throwsAsync(connectStation(`wss://127.0.0.1:${rig.tlsPort}/CP1`, ['ocpp2.0.1'], options))
    const refused = rig.csms.stations().find(({ id }) => id === 'CP1')?.refused
    t.is(refused?.code, code)
    t.is(refused?.advice, adviceOn(code))
  }
})

function makeDated(folder: string, ours: { cert: string; key: string }, from: string, to: string) {
  const [cert, key, request] = ['pem', 'key', 'csr'].map((end) => join(folder, `dated-${from}.${end}`)) as [
    string,
    string,
    string,
  ]
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  openssl('req', ...ec, '-subj', '/CN=CP1', '-keyout', key, '-out', request)
  const database = join(folder, `index-${from}`)
  execFileSync('touch', [database])
  const config = join(folder, `ca-${from}.cnf`)
  const lines = ['[ca]', 'default_ca=d', '[d]', `database=${database}`, `new_certs_dir=${folder}`, 'rand_serial=yes']
  execFileSync('sh', ['-c', `printf '%s\\n' "$@" > "$0"`, config, ...lines, 'policy=p', '[p]', 'commonName=supplied'])
  const signer = ['-cert', ours.cert, '-keyfile', ours.key, '-md', 'sha256']
  openssl(
    'ca',
    '-batch',
    '-config',
    config,
    ...signer,
    '-startdate',
    from,
    '-enddate',
    to,
    '-in',
    request,
    '-out',
    cert,
  )
  return { cert, key }
}

test('whoever knocks is listed with a code and what to look at: versions, identities, paths', async (t) => {
  const rig = await startCsms(t.teardown, { unknownStations: 'refuse', stations: [{ id: 'CP1' }] })
  const url = `ws://127.0.0.1:${rig.port}`
  const codeOf = (id: string) => rig.csms.stations().find((station) => station.id === id)?.refused?.code
  await t.throwsAsync(connectStation(`${url}/CP2`))
  t.is(codeOf('CP2'), 'unknown-station')
  await (await connectStation(`${url}/CP1`, [])).closed()
  t.is(codeOf('CP1'), 'no-subprotocol')
  await t.throwsAsync(connectStation(`${url}/CP1`, ['ocpp1.5']), { message: /subprotocol/ })
  await rig.log.line('ocpp.station.refused', 3)
  t.is(codeOf('CP1'), 'unknown-version')
  await t.throwsAsync(connectStation(`${url}/CP%201`))
  t.is(codeOf(nobody), 'path')
  await connectStation(`${url}/CP1`)
  t.is(codeOf('CP1'), undefined, 'let in at last')
})
