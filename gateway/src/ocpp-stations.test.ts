import { createServer } from 'node:net'
import { PassThrough } from 'node:stream'
import test from 'ava'
import { makeTempFolder } from '../test/signing-rig.ts'
import { decodeConfig } from './config.ts'
import { controlPath } from './ocpp/control-socket.ts'
import { listStations } from './ocpp-command.ts'

test('how a station stands upstream is told in words: reachable or why not, what waits, what was put aside', async (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const config = decodeConfig(
    `version: 1
gateway: { id: gw-1, dataDir: ${dataDir} }
buses: [{ id: lan, tcp: { host: h } }]
meters: [{ id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: producer }]
ocpp: { host: 127.0.0.1, port: 9220 }`,
    '/etc/gateway.yaml',
  )
  const view = (id: string, upstream: object) => ({ id, connected: false, known: true, connectors: {}, upstream })
  const result = [
    view('CP1', { identity: 'DE*1', state: 'connected', waiting: 0, aside: 0 }),
    view('CP2', { identity: 'DE*2', state: 'unreachable', reason: 'no \u001b[2J route', waiting: 12, aside: 1 }),
    view('CP3', { identity: 'DE*3', state: 'idle', waiting: 0, aside: 0 }),
  ]
  const server = createServer((socket) =>
    socket.once('data', () => socket.end(`${JSON.stringify({ ok: true, result })}\n`)),
  )
  await new Promise<void>((resolve) => server.listen(controlPath(dataDir), resolve))
  t.teardown(() => server.close())
  const output = new PassThrough({ encoding: 'utf8' })
  await listStations(config, output, false)
  t.deepEqual(String(output.read()).trimEnd().split('\n'), [
    'CP1: not connected; upstream as DE*1: connected',
    'CP2: not connected; upstream as DE*2: unreachable (no ?[2J route), 12 messages wait, 1 put aside: see ocpp.upstream.aside in the log',
    'CP3: not connected; upstream as DE*3: not connected, as the station is away',
  ])
})
