import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { makeAuthority } from '../../test/certificates.ts'
import { type CsmsRig, connectStation, startCsms } from '../../test/csms-rig.ts'
import { makeTempFolder } from '../../test/signing-rig.ts'

const secret = 'correct horse: battery'

function passwordFile(t: ExecutionContext): string {
  const file = join(makeTempFolder(t.teardown), 'password')
  writeFileSync(file, `${secret}\n`, { mode: 0o600 })
  return file
}

const basic = (user: string, password: string) => ({
  headers: { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` },
})

function tellsNoSecret(t: ExecutionContext, { log }: CsmsRig): void {
  const text = JSON.stringify(log.lines)
  for (const part of [secret, 'wrong-password', Buffer.from(`CP1:${secret}`).toString('base64')]) {
    t.false(text.includes(part), 'nothing about the secret in the log')
  }
}

const heartbeat = '[2,"h1","Heartbeat",{}]'

test('security profile 0: a station without credentials is served, and one with them as well', async (t) => {
  const { port } = await startCsms(t.teardown)
  for (const options of [{}, basic('CP1', 'x')]) {
    const station = await connectStation(`ws://127.0.0.1:${port}/CP1`, ['ocpp1.6'], options)
    t.is((await station.ask(heartbeat))[0], 3)
  }
})

test('security profile 1: the right password is let in, anything else is refused with the reason in words', async (t) => {
  const stations = [
    { id: 'CP1', passwordFile: passwordFile(t) },
    { id: 'a:b', passwordFile: passwordFile(t) },
  ]
  const rig = await startCsms(t.teardown, { securityProfile: 1, stations })
  const connect = (id: string, options = {}) =>
    connectStation(`ws://127.0.0.1:${rig.port}/${encodeURIComponent(id)}`, ['ocpp1.6'], options)
  for (const id of ['CP1', 'a:b']) t.is((await (await connect(id, basic(id, secret))).ask(heartbeat))[0], 3)
  await t.throwsAsync(connect('CP1'), { message: /^401: no password was sent/ })
  await t.throwsAsync(connect('CP1', basic('CP1', 'wrong-password')), { message: /^401: the password is wrong/ })
  await t.throwsAsync(connect('CP1', basic('CP1', '')), { message: /^401: the password is wrong/ })
  await t.throwsAsync(connect('CP1', basic('CP2', secret)), { message: /^401: the user name is not the identity/ })
  await t.throwsAsync(connect('CP1', { headers: { authorization: `Bearer ${secret}` } }), {
    message: /^401: .*not Basic/,
  })
  await t.throwsAsync(connect('CP9', basic('CP9', secret)), { message: /^403: station 'CP9' is not in the/ })
  t.like(rig.csms.stations(), [
    { id: 'CP1', refused: { reason: 'the Authorization header is not Basic', times: 5 } },
    { id: 'CP9', connected: false, refused: { times: 1 } },
    { id: 'a:b', connected: true },
  ])
  tellsNoSecret(t, rig)
})

test('a station that is refused again and again fills no log', async (t) => {
  const { port, log } = await startCsms(t.teardown, { unknownStations: 'refuse' })
  for (let n = 0; n < 5; n++) await t.throwsAsync(connectStation(`ws://127.0.0.1:${port}/CP1`))
  const levels = log.lines.filter(({ event }) => event === 'ocpp.station.refused').map(({ level }) => level)
  t.deepEqual(levels, ['warn', 'debug', 'debug', 'debug', 'debug'])
})

test('a missing or empty password file stops the start, and is named', async (t) => {
  const folder = makeTempFolder(t.teardown)
  const empty = join(folder, 'empty')
  writeFileSync(empty, '\n')
  const start = (file: string) => startCsms(() => {}, { stations: [{ id: 'CP1', passwordFile: file }] })
  t.like(await t.throwsAsync(start(join(folder, 'none'))), { code: 'config/unreadable' })
  t.like(await t.throwsAsync(start(empty)), { code: 'config/invalid' })
})

test('security profiles 2 and 3: TLS with password, and TLS with a client certificate', async (t) => {
  const folder = makeTempFolder(t.teardown)
  const ours = makeAuthority(folder, 'ours')
  const other = makeAuthority(folder, 'other')
  const server = ours.sign('localhost')
  const rig = await startCsms(t.teardown, {
    tls: { port: 0, certFile: server.cert, keyFile: server.key, clientCaFile: ours.cert },
    stations: [
      { id: 'CP0' },
      { id: 'CP1' },
      { id: 'CP2', securityProfile: 2, passwordFile: passwordFile(t) },
      { id: 'CP3', securityProfile: 3 },
      { id: 'CP4', securityProfile: 3, certificateName: 'SN-4711' },
    ],
  })
  const tls = { ca: readFileSync(ours.cert), servername: 'localhost' }
  const secure = (id: string, options = {}) =>
    connectStation(`wss://127.0.0.1:${rig.tlsPort}/${id}`, ['ocpp2.0.1'], { ...tls, ...options })
  const plain = (id: string, options = {}) => connectStation(`ws://127.0.0.1:${rig.port}/${id}`, ['ocpp2.0.1'], options)
  const files = ({ cert, key }: { cert: string; key: string }) => ({ cert: readFileSync(cert), key: readFileSync(key) })
  const good = [
    secure('CP2', basic('CP2', secret)),
    secure('CP3', files(ours.sign('CP3'))),
    secure('CP4', files(ours.sign('SN-4711'))),
    secure('CP0'),
    plain('CP1'),
  ]
  for (const station of await Promise.all(good)) t.is((await station.ask(heartbeat))[0], 3)

  await t.throwsAsync(plain('CP2', basic('CP2', secret)), { message: /^403: security profile 2 needs TLS/ })
  await t.throwsAsync(plain('CP3'), { message: /^403: security profile 3 needs TLS/ })
  await t.throwsAsync(secure('CP2', basic('CP2', 'wrong-password')), { message: /^401: the password is wrong/ })
  await t.throwsAsync(secure('CP2', files(ours.sign('CP2'))), { message: /^401: no password was sent/ })
  await t.throwsAsync(secure('CP3'), { message: /^401: no client certificate of our authority/ })
  await t.throwsAsync(secure('CP3', basic('CP3', secret)), { message: /^401: no client certificate/ })
  await t.throwsAsync(secure('CP3', files(other.sign('CP3'))), { message: /^401: no client certificate of our/ })
  await t.throwsAsync(secure('CP3', files(ours.sign('CP9'))), { message: /^401: the certificate is that of 'CP9'/ })
  tellsNoSecret(t, rig)
})

test('a port that is taken stops the start, and is named', async (t) => {
  const { port } = await startCsms(t.teardown)
  const error = await t.throwsAsync(startCsms(() => {}, { port }))
  t.like(error, { code: 'port/occupied' })
  t.regex(error?.message ?? '', new RegExp(`127\\.0\\.0\\.1:${port}`))
})
