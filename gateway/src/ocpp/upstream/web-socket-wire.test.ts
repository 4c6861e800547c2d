import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type WebSocket, WebSocketServer } from 'ws'
import { makeAuthority } from '../../../test/certificates.ts'
import { RpcUpstream } from '../../../test/rpc-upstream.ts'
import { makeTempFolder } from '../../../test/signing-rig.ts'
import { UpstreamRig } from '../../../test/upstream-rig.ts'
import { FakeScheduler } from '../../modbus/fake-scheduler.ts'
import { makeWebSocketDial } from './web-socket-wire.ts'

const secret = 'correct horse: battery'

function passwordFile(t: ExecutionContext, mode = 0o600, text = `${secret}\n`): string {
  const file = join(makeTempFolder(t.teardown), 'password')
  writeFileSync(file, text, { mode })
  return file
}

function open(t: ExecutionContext, config: { url: string } & Record<string, unknown>, station = 'CP1'): UpstreamRig {
  const scheduler = new FakeScheduler()
  const rig = new UpstreamRig(t.teardown, { dial: makeWebSocketDial(scheduler), scheduler, config })
  rig.upstream.connected(station, 'ocpp1.6')
  return rig
}

const stateOf = (rig: UpstreamRig, station = 'CP1') => rig.upstream.views().get(station)

/** A WebSocket server that does what the test says. */
async function openRaw(t: ExecutionContext, options: object = {}) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'ocpp1.6', ...options })
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => {
    for (const client of server.clients) client.terminate()
    server.close()
  })
  const sockets: WebSocket[] = []
  const received: unknown[][] = []
  server.on('connection', (socket) => {
    sockets.push(socket)
    socket.on('message', (data) => received.push(JSON.parse(String(data))))
  })
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, received }
}

test('a station proves who it is with its password; a wrong one is told in words, and nothing about the secret', async (t) => {
  const judge = (identity: string, password: Buffer | undefined) =>
    identity === 'DE*1:a' && password?.toString() === secret ? undefined : 'bad'
  const csms = await RpcUpstream.start(t.teardown, { judge })
  const stations = [
    { id: 'CP1', identity: 'DE*1:a', passwordFile: passwordFile(t) },
    { id: 'CP2', identity: 'DE*2', passwordFile: passwordFile(t, 0o600, 'wrong-password') },
    { id: 'CP3' },
  ]
  const rig = open(t, { url: csms.url, stations })
  for (const id of ['CP2', 'CP3', 'CP4']) rig.upstream.connected(id, 'ocpp1.6')
  await rig.until(
    () =>
      stateOf(rig)?.state === 'connected' && ['CP2', 'CP3'].every((id) => stateOf(rig, id)?.state === 'unreachable'),
  )
  t.regex(stateOf(rig, 'CP2')?.reason ?? '', /upstream answered 401/)
  t.is(stateOf(rig, 'CP4'), undefined, 'it is not in the list')
  t.deepEqual([...csms.clients.keys()], ['DE*1:a'])
  t.notRegex(JSON.stringify(rig.log.lines), /horse|wrong-password|Basic/)
})

test('a password that others may read, or that is none, stops the start', (t) => {
  for (const file of [passwordFile(t, 0o644), passwordFile(t, 0o600, '\n'), '/nowhere/password']) {
    t.throws(() => open(t, { url: 'ws://127.0.0.1:1', passwordFile: file }), { message: new RegExp(file) })
  }
})

test('TLS: upstream proves itself with a certificate of its authority, the station with its own', async (t) => {
  const folder = makeTempFolder(t.teardown)
  const authority = makeAuthority(folder, 'operator')
  const stranger = makeAuthority(folder, 'stranger')
  const [server, own] = [authority.sign('localhost'), authority.sign('CP1')]
  const tls = { cert: readFileSync(server.cert), key: readFileSync(server.key), ca: readFileSync(authority.cert) }
  const csms = await RpcUpstream.start(t.teardown, {
    tls,
    judge: (identity, _, name) => (name === identity ? undefined : 'no certificate'),
  })
  const own3 = { certFile: own.cert, keyFile: own.key }
  const url = csms.url.replace('127.0.0.1', 'localhost')
  const misnamed = open(t, { url: csms.url, caFile: authority.cert, ...own3 })
  const bare = open(t, { url, caFile: authority.cert })
  const fooled = open(t, { url, caFile: stranger.cert, ...own3 })
  for (const rig of [misnamed, bare, fooled]) await rig.until(() => stateOf(rig)?.state === 'unreachable')
  t.regex(stateOf(misnamed)?.reason ?? '', /127\.0\.0\.1/, 'the name in its certificate counts')
  t.regex(stateOf(bare)?.reason ?? '', /401/)
  t.is(csms.clients.size, 0)
  const right = open(t, { url, caFile: authority.cert, ...own3 })
  await right.until(() => stateOf(right)?.state === 'connected')
  t.is(csms.clients.size, 1)
})

test('an upstream that does not speak the version is named as such', async (t) => {
  const { url } = await openRaw(t, { handleProtocols: () => false })
  const rig = open(t, { url })
  await rig.until(() => stateOf(rig)?.state === 'unreachable')
  t.is(stateOf(rig)?.reason, 'CP1: upstream does not speak ocpp1.6')
})

test('an upstream that takes messages and answers none is left and found again, with the same message', async (t) => {
  const { url, sockets, received } = await openRaw(t)
  const rig = open(t, { url, callTimeoutSeconds: 10 })
  await rig.say('CP1', 'ocpp1.6', 'MeterValues', {
    connectorId: 1,
    meterValue: [{ timestamp: '2027-01-15T08:00:00Z', sampledValue: [{ value: '1' }] }],
  })
  await rig.until(() => received.length === 1)
  await rig.advance(11_000)
  await rig.until(() => stateOf(rig)?.state === 'unreachable')
  t.regex(stateOf(rig)?.reason ?? '', /did not answer MeterValues in time/)
  await rig.advance(2_000)
  await rig.until(() => received.length === 2)
  t.deepEqual(received[1], received[0])
  sockets[1]?.send(JSON.stringify([3, received[1]?.[1], {}]))
  await rig.until(() => stateOf(rig)?.waiting === 0)
})

test('an upstream that answers no ping is taken for gone', async (t) => {
  const { url, sockets } = await openRaw(t, { autoPong: false })
  const rig = open(t, { url, pingSeconds: 10 })
  await rig.until(() => sockets.length === 1 && stateOf(rig)?.state === 'connected')
  await rig.advance(31_000)
  await rig.until(() => stateOf(rig)?.state === 'unreachable')
  t.regex(stateOf(rig)?.reason ?? '', /answers no ping/)
})

test('whatever upstream sends, it gets an answer as OCPP-J says, and the station is not disturbed', async (t) => {
  const { url, sockets, received } = await openRaw(t)
  const rig = open(t, { url })
  await rig.until(() => sockets.length === 1 && stateOf(rig)?.state === 'connected')
  const frames = [
    '',
    '{}',
    'hello',
    '[2,"a","MakeCoffee",{}]',
    '[2,7,"ClearCache",{}]',
    '[2,"b","Reset",{"type":"x"}]',
    '[3,"?",{}]',
    '[4,"?"]',
    '[9,"c"]',
  ]
  for (const frame of frames) sockets[0]?.send(frame)
  await rig.until(() => received.length === 5)
  const answers = received.map(([type, id, code]) => [type, id, type === 4 ? code : ''])
  t.deepEqual(answers.map(String).toSorted(), [
    '3,7,',
    '4,-1,GenericError',
    '4,-1,GenericError',
    '4,a,NotImplemented',
    '4,b,FormationViolation',
  ])
  t.deepEqual(
    rig.commands.map(({ action }) => action),
    ['ClearCache'],
  )
})

test('the end of the gateway does not wait for an upstream that takes connections and says nothing', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const accepted = new Promise((resolve) => server.once('connection', resolve))
  const rig = open(t, { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` })
  await accepted
  await rig.close()
  t.false(rig.store.db.open)
})
