import { connect as connectTcp } from 'node:net'
import test from 'ava'
import WebSocket from 'ws'
import { startStationLine } from './ocpp-line.ts'
import { readMemory } from './process-memory.ts'

// Many stations at once against the gateway as it ships. They are bare sockets: two hundred simulated ones would be a
// test of the simulator.

const mostMegabytes = 200

class BareStation {
  readonly socket: WebSocket
  readonly #waiting = new Map<string, (answer: unknown[]) => void>()
  answered = 0

  constructor(url: string, id: string) {
    this.socket = new WebSocket(`${url}/${id}`, ['ocpp1.6'])
    this.socket.on('message', (data: Buffer) => {
      const message: unknown[] = JSON.parse(data.toString())
      this.answered++
      this.#waiting.get(String(message[1]))?.(message)
    })
  }

  async open(): Promise<this> {
    await new Promise((resolve, reject) => this.socket.once('open', resolve).once('error', reject))
    return this
  }

  ask(id: string, action: string, payload: object): Promise<unknown[]> {
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      this.socket.send(JSON.stringify([2, id, action, payload]))
    })
  }
}

test('200 stations boot at once and are all served in 200 MB; one that floods waits, the others do not', async (t) => {
  const line = await startStationLine(t, { messagesPerSecond: 50 })
  const stations = await Promise.all(Array.from({ length: 200 }, (_, n) => new BareStation(line.url, `CP${n}`).open()))
  t.teardown(() => stations.forEach(({ socket }) => void socket.terminate()))
  const status = { connectorId: 1, errorCode: 'NoError', status: 'Available' }
  const sampledValue = ['L1', 'L2', 'L3'].map((phase) => ({
    value: '16.0',
    measurand: 'Current.Import',
    phase,
    unit: 'A',
  }))
  const meterValue = [{ timestamp: '2026-11-21T09:00:00Z', sampledValue }]
  const answers = await Promise.all(
    stations.flatMap((station) => [
      station.ask('boot', 'BootNotification', { chargePointVendor: 'v', chargePointModel: 'm' }),
      station.ask('status', 'StatusNotification', status),
      station.ask('values', 'MeterValues', { connectorId: 1, meterValue }),
    ]),
  )
  t.true(answers.every(([type]) => type === 3))
  const { result } = await line.ask({ command: 'stations' })
  t.is((result as { connected: boolean }[]).filter(({ connected }) => connected).length, 200)

  // D1: a library below would end the process here.
  await new Promise<void>((resolve) => {
    const { port, hostname } = new URL(line.url)
    const socket = connectTcp(Number(port), hostname, () => {
      socket.end('GET /%ZZ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    })
    socket.resume().on('close', () => resolve())
  })

  // Four seconds' worth pass at once, and then one each 20 ms: by then the others have long had their answers.
  const [flood, ...others] = stations
  if (flood === undefined) return t.fail()
  const floodFrom = flood.answered
  const count = 400
  const flooding = Array.from({ length: count }, (_, n) => flood.ask(`f${n}`, 'Heartbeat', { pad: 'x'.repeat(3_000) }))
  await Promise.all(others.map((other) => other.ask('beat', 'Heartbeat', {})))
  t.true(flood.answered - floodFrom < count, 'the flood still waits when all others have been served')
  await Promise.all(flooding)

  const peakMb = readMemory(line.gateway.pid)?.peakMb ?? Number.NaN
  t.log(`peak of the gateway: ${peakMb.toFixed(0)} MB`)
  t.true(peakMb <= mostMegabytes)
  t.deepEqual(
    line.gateway.log.filter(({ level, event }) => level === 'error' || event === 'ocpp.call.refused'),
    [],
  )
  t.is(await line.gateway.stop(), 0)
})
