import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { WebSocketServer } from 'ws'
import { realTimers } from '../timers.ts'
import type { Quirk } from './quirks.ts'
import type { OcppVersion } from './schemas.ts'
import { Station } from './station.ts'
import { smallCar } from './station-rig.ts'
import { TestCsms } from './test-csms.ts'
import { Vehicle } from './vehicle.ts'
import { webSocketLinks } from './web-socket-link.ts'

interface Options {
  readonly version?: OcppVersion
  readonly quirks?: readonly Quirk[]
  readonly password?: string
}

/** A station over real sockets and in real time; its meter counts 3 kWh an hour, all the while. */
function startStation(
  t: ExecutionContext,
  url: string,
  { version = '1.6', quirks = [], password }: Options = {},
): Station {
  let text: string | undefined
  const active = new Set(quirks)
  const station = new Station({
    identity: { id: 'CP/1', vendor: 'Wattline', model: 'Test', serial: '1', firmware: '1.0' },
    version,
    url,
    password,
    quirks: active,
    preset: {},
    driftSeconds: 0,
    zoneMinutes: 0,
    evses: [{ maxCurrentA: 32, phases: 3, hasVentilation: false, startWh: 0 }],
    timers: realTimers,
    wallClockMs: Date.now,
    storage: {
      read: () => text,
      write(next) {
        text = next
      },
    },
    openLink: webSocketLinks(active),
    random: Math.random,
    advance: () => undefined,
    meteredMillijoules: () => BigInt(Math.floor(realTimers.now() * 3000)),
    onEvent: () => undefined,
  })
  t.teardown(() => station.powerOff('shutdown'))
  station.powerOn()
  return station
}

async function startCsms(
  t: ExecutionContext,
  options: ConstructorParameters<typeof TestCsms>[0] = {},
): Promise<TestCsms> {
  const csms = await new TestCsms(options).start()
  t.teardown(() => csms.stop())
  return csms
}

for (const version of ['1.6', '2.0.1', '2.1'] as const) {
  test(`${version}: a session over a real socket with ocpp-rpc at the other end, which checks every message`, async (t) => {
    const csms = await startCsms(t)
    const station = startStation(t, csms.url, { version })
    await csms.until(() => csms.of('StatusNotification').length > 0)
    t.is(csms.clients[0]?.identity, 'CP/1')
    t.is(csms.clients[0]?.protocol, `ocpp${version}`)
    // OCPP 2.0.1 part 4, table "WebSocket compression support".
    t.is(csms.extensions[0]?.includes('permessage-deflate'), version !== '1.6')
    station.plugIn(1, new Vehicle(smallCar))
    await station.presentCard(1, 'CARD')
    const begins = () => csms.of('StartTransaction', 'TransactionEvent')
    await csms.until(() => begins().length > 0)
    await station.presentCard(1, 'CARD')
    await csms.until(
      () => csms.of('StopTransaction').length > 0 || begins().some(({ params }) => params['eventType'] === 'Ended'),
    )
    const answer = await csms.clients[0]?.call(version === '1.6' ? 'GetConfiguration' : 'GetLocalListVersion', {})
    t.truthy(answer)
    t.is(station.evses[0]?.evse.pilot, 'B')
  })
}

test('Basic authentication is the id and the password', async (t) => {
  const csms = await startCsms(t, { password: 'correct horse battery' })
  startStation(t, csms.url, { password: 'correct horse battery' })
  await csms.until(() => csms.of('BootNotification').length > 0)
  t.deepEqual(csms.passwords, ['correct horse battery'])
})

test('a station whose socket is closed comes back', async (t) => {
  const csms = await startCsms(t)
  startStation(t, csms.url)
  await csms.until(() => csms.of('BootNotification').length === 1)
  await csms.clients[0]?.close({ force: true })
  await csms.until(() => csms.of('BootNotification').length === 2)
  t.is(csms.clients.length, 2)
})

test('Q1: without a subprotocol the server sees none', async (t) => {
  const csms = await startCsms(t)
  startStation(t, csms.url, { quirks: ['no-subprotocol'] })
  await csms.until(() => csms.of('BootNotification').length > 0)
  t.is(csms.clients[0]?.protocol, '')
})

test('Q3: the old socket stays open beside the new one', async (t) => {
  const csms = await startCsms(t)
  const station = startStation(t, csms.url, { quirks: ['old-socket-stays'] })
  await csms.until(() => csms.of('BootNotification').length === 1)
  let closed = false
  csms.clients[0]?.on('disconnect', () => {
    closed = true
  })
  station.reconnect()
  await csms.until(() => csms.of('BootNotification').length === 2)
  t.false(closed)
})

test('Q4: without `Connection: Upgrade` a server sees an ordinary request', async (t) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const seen = new Promise<[string, string]>((resolve) => {
    server.on('request', (request, response) => {
      resolve(['request', String(request.headers.upgrade)])
      response.writeHead(426).end()
    })
    server.on('upgrade', (request) => resolve(['upgrade', String(request.headers.upgrade)]))
  })
  startStation(t, `ws://127.0.0.1:${port}`, { quirks: ['no-upgrade-header'] })
  t.deepEqual(await seen, ['request', 'websocket'])
})

for (const quirk of ['ignores-pings', undefined] as const) {
  test(`Q5: ${quirk === undefined ? 'pings are answered' : 'with the quirk pings are not answered'}`, async (t) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'ocpp1.6' })
    t.teardown(() => server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    const answered = new Promise<boolean>((resolve) => {
      server.on('connection', (socket) => {
        socket.on('pong', () => resolve(true))
        // The message that follows the ping is sent by the station's firmware, not by its socket, in any case later.
        socket.ping()
        socket.send(JSON.stringify([2, '1', 'ClearCache', {}]))
        socket.on('message', (bytes) => {
          if (JSON.parse(bytes.toString())[0] === 3) resolve(false)
        })
        t.teardown(() => socket.terminate())
      })
    })
    startStation(t, `ws://127.0.0.1:${port}`, { quirks: quirk === undefined ? [] : [quirk] })
    t.is(await answered, quirk === undefined)
  })
}

test('Q5: a frame with reserved bits makes the server close, and the station comes back', async (t) => {
  const csms = await startCsms(t)
  startStation(t, csms.url, { quirks: ['bad-frames'] })
  await csms.until(() => csms.of('BootNotification').length === 2)
  t.is(csms.clients.length, 2)
})
