import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { WattError } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { tempDir } from '../test/rig.ts'
import { type Broker, PacketMeter, startBroker } from './broker.ts'

interface Teardown {
  teardown(fn: () => unknown): void
}

async function start(t: Teardown, credentialsFile?: string): Promise<Broker & { events: string[] }> {
  const events: string[] = []
  const config = { host: '127.0.0.1', port: 0, ...(credentialsFile === undefined ? {} : { credentialsFile }) }
  const broker = await startBroker(config, (event) => events.push(event))
  t.teardown(() => broker.close())
  return { ...broker, events }
}

async function enter(t: Teardown, broker: Broker, options: IClientOptions): Promise<MqttClient> {
  const client = await connectAsync(broker.url, { reconnectPeriod: 0, clean: true, ...options })
  client.on('error', () => {}) // what the broker does is the test's matter
  t.teardown(() => client.endAsync(true))
  return client
}

/** The ledger's own link; it takes what there is room for. */
async function attach(t: Teardown, broker: Broker) {
  const deliveries: { topic: string; text: string }[] = []
  const room = { left: Number.POSITIVE_INFINITY }
  const connected = Promise.withResolvers<void>()
  const link = broker.open({
    connected: () => connected.resolve(),
    disconnected: () => {},
    received: ({ topic, payload }) => {
      deliveries.push({ topic, text: Buffer.from(payload).toString() })
      return --room.left > 0
    },
  })
  t.teardown(() => link.close())
  await connected.promise
  return { link, deliveries, room }
}

function nextMessage(client: MqttClient): Promise<{ text: string; retain: boolean }> {
  return new Promise((resolve) => {
    client.once('message', (_topic, payload, { retain }) => resolve({ text: String(payload), retain }))
  })
}

function closing(client: MqttClient): Promise<void> {
  return new Promise((resolve) => client.once('close', () => resolve()))
}

function credentials(t: Teardown, text: string, mode = 0o600): string {
  const path = join(tempDir(t), 'credentials')
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

async function codeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
    return 'nothing'
  } catch (error) {
    return error instanceof WattError ? error.code : String(error)
  }
}

test('a gateway publishes records and reads receipts; only the ledger publishes those', async (t) => {
  const broker = await start(t)
  const gateway = await enter(t, broker, { clientId: 'gw-1' })
  const { link, deliveries } = await attach(t, broker)
  await gateway.subscribeAsync('wattline/v1/gw-1/+/receipt', { qos: 1 })
  await gateway.publishAsync('wattline/v1/gw-1/roof/record', 'x', { qos: 1, retain: true })
  const record = { topic: 'wattline/v1/gw-1/roof/record', text: 'x' }
  while (deliveries.length === 0) await new Promise((resolve) => setImmediate(resolve))
  t.deepEqual(deliveries, [record])
  const receipt = nextMessage(gateway)
  await link.publish('wattline/v1/gw-1/roof/receipt', 'y')
  t.like(await receipt, { text: 'y' })
  const late = await enter(t, broker, { clientId: 'late' })
  let retained = 0
  late.on('message', () => retained++)
  await late.subscribeAsync('wattline/v1/#')
  await link.publish('wattline/v1/gw-1/x/receipt', 'z')
  t.true(retained <= 1, 'nothing is retained')
  const closed = closing(gateway)
  gateway.publish('wattline/v1/gw-1/roof/receipt', 'forged', { qos: 1 })
  await closed
  t.true(broker.events.includes('broker.client.failed'))
})

test('a ledger that has no room makes the broker wait, and gets everything once in order when it has', async (t) => {
  const broker = await start(t)
  const gateway = await enter(t, broker, { clientId: 'gw-1' })
  const { link, deliveries, room } = await attach(t, broker)
  const texts = Array.from({ length: 3000 }, (_, n) => `${n}`)
  room.left = 100
  const sent = texts.map((text) => gateway.publishAsync('wattline/v1/gw-1/roof/record', text, { qos: 1 }))
  while (deliveries.length < 100) await new Promise((resolve) => setImmediate(resolve))
  const held = deliveries.length
  t.true(held < 1000, `${held} messages are pressed upon a ledger that has said stop`)
  while (deliveries.length < texts.length) {
    room.left = 100
    link.resume()
    await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all(sent)
  t.deepEqual(
    deliveries.map(({ text }) => text),
    texts,
  )
})

test('with credentials a gateway speaks and listens below its own id only', async (t) => {
  const broker = await start(t, credentials(t, '# gateways\ngw-1:one\ngw-2:two:with:colons\n'))
  await t.throwsAsync(enter(t, broker, { clientId: 'gw-1' }))
  await t.throwsAsync(enter(t, broker, { clientId: 'gw-1', username: 'gw-1', password: 'wrong' }))
  await t.throwsAsync(
    enter(t, broker, { clientId: 'gw-2', username: 'gw-1', password: 'one' }),
    undefined,
    'the session of another',
  )
  const one = await enter(t, broker, { clientId: 'gw-1', username: 'gw-1', password: 'one' })
  await enter(t, broker, { clientId: 'gw-2', username: 'gw-2', password: 'two:with:colons' })
  await one.publishAsync('wattline/v1/gw-1/roof/record', 'x', { qos: 1 })
  const granted = await one.subscribeAsync('wattline/v1/gw-1/+/receipt', { qos: 1 })
  t.is(granted[0]?.qos, 1)
  await t.throwsAsync(one.subscribeAsync('wattline/v1/+/+/receipt', { qos: 1 }))
  const closed = closing(one)
  one.publish('wattline/v1/gw-2/roof/record', 'x', { qos: 1 })
  await closed
})

test('credentials that others can read, or that are none, are refused', async (t) => {
  t.is(await codeOf(() => start(t, credentials(t, 'gw-1:x', 0o644))), 'config/invalid')
  t.is(await codeOf(() => start(t, credentials(t, 'gw-1'))), 'config/invalid')
  t.is(await codeOf(() => start(t, '/nowhere/credentials')), 'config/unreadable')
})

test('a port that is taken is told by its code', async (t) => {
  const { port } = await start(t)
  t.is(await codeOf(() => startBroker({ host: '127.0.0.1', port }, () => {})), 'port/occupied')
})

test('an announced packet that is too long ends the connection before it is gathered', async (t) => {
  const broker = await start(t)
  const socket = createConnection(broker.port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const closed = once(socket, 'close')
  socket.on('error', () => {}) // a reset is as good as an end
  // CONNECT with client id 'x', then PUBLISH with a length of 200 MB.
  socket.write(Buffer.from([0x10, 13, 0, 4, ...Buffer.from('MQTT'), 4, 2, 0, 60, 0, 1, 0x78]))
  socket.write(Buffer.from([0x30, 0x80, 0x84, 0xaf, 0x5f, 0, 1, 0x61]))
  await closed
  t.true(broker.events.includes('broker.packet.oversized'))
})

test('packet lengths are read rightly however the bytes are cut', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 40_000 }), { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1 }),
      (lengths, cuts) => {
        const stream = Buffer.concat(lengths.map(packet))
        const meter = new PacketMeter()
        let greatest = 0
        for (let at = 0, n = 0; at < stream.length; n++) {
          const step = cuts[n % cuts.length] ?? 1
          greatest = Math.max(greatest, meter.feed(stream.subarray(at, at + step)))
          at += step
        }
        t.is(greatest, Math.max(0, ...lengths))
      },
    ),
    { numRuns: 60 },
  )
})

function packet(length: number): Buffer {
  const head = [0x30]
  let rest = length
  do {
    head.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>= 7
  } while (rest > 0)
  return Buffer.concat([Buffer.from(head), Buffer.alloc(length, 0xff)])
}
