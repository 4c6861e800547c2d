import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatHello, type PointId } from '@wattline/protocol'
import test from 'ava'
import { connectGateway } from '../../test/gateway-client.ts'
import { freePort } from '../../test/programs.ts'
import { Device, openRig, quarantined, tempDir, testSigner } from '../../test/rig.ts'
import { startBroker } from '../broker.ts'
import { Health } from '../health.ts'
import { startStatusServer } from '../http.ts'
import { makeLogger } from '../log.ts'
import { Metrics } from '../metrics.ts'
import { Receipts } from '../receipts.ts'
import { Connection, type Delivery, type Way, wayTo } from './connection.ts'
import { MqttIntake } from './intake.ts'

interface Teardown {
  teardown(fn: () => unknown): void
}

const ledgerSigner = testSigner(1_000_000)
const ledgerKey = ledgerSigner.publicKey

async function embedded(t: Teardown) {
  const broker = await startBroker({ host: '127.0.0.1', port: 0 }, () => {})
  t.teardown(() => broker.close())
  return broker
}

function startIntake(t: Teardown, way: Way, options: Parameters<typeof openRig>[1] = {}) {
  const rig = openRig(t, options)
  const { engine, clock } = rig
  const health = new Health()
  const levels = { waiting: () => engine.intake.waiting(), points: () => engine.registry.all().length }
  const metrics = new Metrics(levels)
  const failures: unknown[] = []
  const intake = new MqttIntake(way, {
    engine,
    health,
    metrics,
    receipts: new Receipts(engine, ledgerSigner, clock),
    log: makeLogger('silent'),
    fatal: (error) => failures.push(error),
  })
  t.teardown(() => intake.stop())
  return { ...rig, health, metrics, intake, failures }
}

test('SPEC-74: names that somebody invents fill no memory while the broker is slow; who is enrolled is answered', async (t) => {
  let deliver: (delivery: Delivery) => boolean = () => false
  const published: string[] = []
  const slow = Promise.withResolvers<void>()
  const way: Way = {
    url: 'mqtt://slow',
    open: (events) => {
      deliver = (delivery) => events.received(delivery)
      const publish = (topic: string) => slow.promise.then(() => void published.push(topic))
      return { connected: true, publish, resume: () => {}, close: () => Promise.resolve() }
    },
  }
  startIntake(t, way)
  const hear = ({ topic, payload }: { readonly topic: string; readonly payload: Uint8Array }) =>
    new Promise<void>((acknowledge) => deliver({ topic, payload, acknowledge }))
  for (let stranger = 0; stranger < 4; stranger++) {
    const points = Array.from({ length: 900 }, (_, at) => `g${stranger}/${at}` as PointId)
    const payload = Buffer.from(formatHello({ gatewayVersion: '1', points }))
    await hear({ topic: `wattline/v1/g${stranger}/hello`, payload })
  }
  const roof = new Device({ meter: 'roof', role: 'producer' })
  await hear(roof.certificateMessage())
  // Each is processed in the turn after the one that stored it.
  await hear(roof.read({ export: 0n }))
  await hear(roof.read({ export: 1n }))
  slow.resolve()
  while (!published.includes('wattline/v1/gw-1/roof/receipt')) await new Promise((resolve) => setImmediate(resolve))
  t.true(published.length <= 2200, `${published.length} answers`)
})

test('SPEC-70: records go in, signed receipts come out, cumulative', async (t) => {
  const broker = await embedded(t)
  const { engine } = startIntake(t, broker)
  const gateway = await connectGateway(t, broker.url, { ledgerKey })
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  const messages = [
    roof.certificateMessage(),
    ...Array.from({ length: 300 }, (_, n) => roof.read({ export: BigInt(10 * n) })),
  ]
  await gateway.send(...messages)
  const last = await gateway.receipt(({ sequence }) => sequence === 300)
  t.like(last, {
    point: 'gw-1/roof',
    epoch: roof.epoch,
    hash: roof.previousHash,
    mintedWh: 2990n,
    burnedWh: 0n,
    resend: false,
  })
  t.true(gateway.receipts.length < 100, 'receipts are put together')
  const serials = gateway.receipts.map(({ serial }) => serial)
  t.deepEqual(
    serials,
    serials.toSorted((a, b) => a - b),
  )
  t.is(new Set(gateway.receipts.map(({ session }) => session)).size, 1)
  t.is(engine.intake.waiting(), 0)
})

test('SPEC-72: what comes too early is asked for, and what cannot be taken is refused with its code', async (t) => {
  const broker = await embedded(t)
  startIntake(t, broker)
  const gateway = await connectGateway(t, broker.url, { ledgerKey })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const [first, second] = [roof.read({ export: 1n }), roof.read({ export: 2n })]
  await gateway.send(roof.certificateMessage(), second)
  t.is((await gateway.receipt(({ resend }) => resend)).sequence, 0)
  await gateway.send(first)
  await gateway.receipt(({ sequence }) => sequence === 2)
  await gateway.send(roof.read({ export: 3n }, { change: { previousHash: 'a'.repeat(64) } }))
  const { refusal } = await gateway.receipt((receipt) => receipt.refusal !== undefined)
  t.like(refusal, { code: 'chain/broken', sequence: 3 })
})

test('SPEC-74: a hello is answered, for points that are not known as well', async (t) => {
  const broker = await embedded(t)
  startIntake(t, broker)
  const gateway = await connectGateway(t, broker.url, { ledgerKey })
  const points = ['gw-1/a', 'gw-1/b'] as PointId[]
  await gateway.send({
    topic: 'wattline/v1/gw-1/hello',
    payload: Buffer.from(formatHello({ gatewayVersion: '1', points })),
  })
  for (const id of points) t.like(await gateway.receipt(({ point }) => point === id), { sequence: 0, hash: '' })
})

test('an oversized message reaches the quarantine through the embedded broker', async (t) => {
  const broker = await embedded(t)
  const { engine } = startIntake(t, broker)
  const gateway = await connectGateway(t, broker.url, { ledgerKey })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  await gateway.send(
    { topic: roof.topic('record'), payload: Buffer.alloc(20_000, 0x4f) },
    roof.certificateMessage(),
    roof.read({ export: 1n }),
  )
  await gateway.receipt(({ sequence }) => sequence === 1)
  t.deepEqual(
    quarantined(engine).map(({ code }) => code),
    ['message/oversized'],
  )
})

test('what was acknowledged does not come again, what was not does', async (t) => {
  const broker = await embedded(t)
  const gateway = await connectGateway(t, broker.url, { ledgerKey })
  const subscribed = Promise.withResolvers<void>()
  const two = Promise.withResolvers<Delivery[]>()
  const seen: Delivery[] = []
  const options = { url: broker.url, clientId: 'ledger-1' }
  const first = new Connection(options, {
    connected: () => subscribed.resolve(),
    disconnected: () => {},
    received: (delivery) => {
      seen.push(delivery)
      if (seen.length === 2) two.resolve(seen)
      return true
    },
  })
  await subscribed.promise
  await gateway.send({ topic: 'wattline/v1/gw-1/a/record', payload: Buffer.from('one') })
  await gateway.send({ topic: 'wattline/v1/gw-1/a/record', payload: Buffer.from('two') })
  const [one] = await two.promise
  one?.acknowledge()
  // The acknowledgement is on its way; a round trip through the same connection comes after it.
  await first.publish('wattline/v1/gw-9/a/record', 'x')
  await first.close()
  const again = Promise.withResolvers<string>()
  const second = new Connection(options, {
    connected: () => {},
    disconnected: () => {},
    received: ({ payload, acknowledge }) => {
      again.resolve(Buffer.from(payload).toString())
      acknowledge()
      return true
    },
  })
  t.is(await again.promise, 'two')
  await second.close()
})

test('a full disk stops the acknowledgements, shows in the health, and is over when there is room', async (t) => {
  const broker = await embedded(t)
  const { engine, health, metrics } = startIntake(t, broker)
  const http = await startStatusServer({ host: '127.0.0.1', port: 0 }, { health, metrics })
  t.teardown(() => http.close())
  const gateway = await connectGateway(t, broker.url, { ledgerKey })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  await gateway.send(roof.certificateMessage(), roof.read({ export: 1n }))
  await gateway.receipt(({ sequence }) => sequence === 1)
  const ask = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${http.port}${path}`)
    return { status: response.status, text: await response.text() }
  }
  t.like(await ask('/healthz'), { status: 200 })
  const { page_count: pages } = engine.db.prepare<[], { page_count: number }>('PRAGMA page_count').get()!
  engine.db.prepare(`PRAGMA max_page_count = ${pages}`).get()
  await gateway.send(...Array.from({ length: 200 }, (_, n) => roof.read({ export: BigInt(n + 2) })))
  while (health.troubles().length === 0) await new Promise((resolve) => setImmediate(resolve))
  const sick = await ask('/healthz')
  t.is(sick.status, 503)
  t.regex(sick.text, /storage\/full/)
  engine.db.prepare('PRAGMA max_page_count = 1000000').get()
  await gateway.receipt(({ sequence }) => sequence === 201)
  t.like(await ask('/healthz'), { status: 200 })
  t.regex((await ask('/metrics')).text, /wattline_ledger_records_total\{result="accepted"\} 201/)
  t.is((await ask('/other')).status, 404)
})

test('a flood of one gateway leaves the others their share', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ gateway: 'gw-2', meter: 'roof', role: 'producer' })
  const flood = Array.from({ length: 51_000 }, (_, n) => ({
    gateway: 'gw-1',
    topic: 'wattline/v1/gw-1/x/record',
    payload: Buffer.from(`noise ${n}`),
  }))
  const { shed } = engine.store(flood)
  t.is(shed.length, 1000, 'beyond its share its messages are left to be sent again')
  engine.store([roof.certificateMessage(), roof.read({ export: 1n })].map((each) => ({ gateway: 'gw-2', ...each })))
  let accepted = 0
  // A batch is cut short where the machine is busy.
  while (accepted === 0 && engine.intake.waiting() > 0) accepted = engine.processNext().accepted
  t.is(accepted, 1)
  t.true(engine.intake.waiting() > 49_000, 'the other one is served long before the flood is over')
})

test('a gateway whose messages were left out is asked for them', async (t) => {
  const broker = await embedded(t)
  startIntake(t, broker, { backlogLimit: 20 })
  const gateway = await connectGateway(t, broker.url, { ledgerKey })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const readings = Array.from({ length: 400 }, (_, n) => roof.read({ export: BigInt(n) }))
  await gateway.send(roof.certificateMessage(), ...readings)
  await gateway.receipt(({ resend }) => resend)
  // As a gateway does: from where the last receipt says.
  const reached = () => gateway.receipts.at(-1)?.sequence ?? 0
  while (reached() < 400) {
    const [before, told] = [reached(), gateway.receipts.length]
    await gateway.send(...readings.slice(before, before + 10))
    // They may be left out as well, while the flood is not over: then they are asked for once more.
    await gateway.receipt((receipt) => gateway.receipts.indexOf(receipt) >= told)
  }
  t.is((await gateway.receipt(({ sequence }) => sequence === 400)).mintedWh, 399n)
})

test('enrolment by the command line is noticed while the ledger runs', async (t) => {
  const broker = await embedded(t)
  const { dataDir } = startIntake(t, broker, { enrolment: 'closed' })
  const gateway = await connectGateway(t, broker.url, { ledgerKey })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  await gateway.send(roof.certificateMessage(), roof.read({ export: 1n }))
  t.is((await gateway.receipt(({ refusal }) => refusal !== undefined)).refusal?.code, 'point/closed-enrolment')
  const other = openRig(t, { dataDir, enrolment: 'closed' }).engine
  other.db.write(() => {
    other.enrolment.enrol({ point: roof.id, key: roof.signer.publicKey, terms: { owner: 'alice', role: 'producer' } })
    other.quarantine.release({ certificate: roof.topic('certificate'), record: roof.topic('record') })
  })
  t.is((await gateway.receipt(({ sequence }) => sequence === 1)).refusal, undefined)
})

const mosquitto = '/usr/sbin/mosquitto'

test('a broker elsewhere: Mosquitto, and Mosquitto after a restart', async (t) => {
  if (!existsSync(mosquitto)) {
    t.log(`${mosquitto} is not there`)
    t.pass()
    return
  }
  const port = await freePort()
  const folder = tempDir(t)
  writeFileSync(
    join(folder, 'mosquitto.conf'),
    `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 500\n`,
  )
  const first = await startMosquitto(t, folder)
  const url = `mqtt://127.0.0.1:${port}`
  const { engine } = startIntake(t, wayTo({ url, clientId: 'ledger-1' }))
  const gateway = await connectGateway(t, url, { ledgerKey })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const house = new Device({ meter: 'house', role: 'consumer' })
  await gateway.send(roof.certificateMessage(), house.certificateMessage())
  await Promise.all(
    Array.from({ length: 100 }, (_, n) =>
      gateway.send(roof.read({ export: BigInt(n) }), house.read({ import: BigInt(2 * n) })),
    ),
  )
  await gateway.receipt(({ point, sequence }) => point === house.id && sequence === 100)
  await gateway.receipt(({ point, sequence }) => point === roof.id && sequence === 100)
  t.is(engine.registry.get(house.id)?.burnedWh, 198n)
  // It comes back without any memory: sessions and subscriptions are gone, and both sides make them anew.
  const ended = new Promise((resolve) => first.once('exit', resolve))
  first.kill('SIGKILL')
  await ended
  await startMosquitto(t, folder)
  const next = roof.read({ export: 500n })
  const sending = setInterval(() => void gateway.send(next), 200)
  t.teardown(() => clearInterval(sending))
  await gateway.receipt(({ sequence }) => sequence === 101)
  clearInterval(sending)
  t.is(engine.registry.get(roof.id)?.mintedWh, 500n)
})

test('a broker elsewhere over TLS, with a client certificate', async (t) => {
  if (!existsSync(mosquitto)) {
    t.log(`${mosquitto} is not there`)
    t.pass()
    return
  }
  const port = await freePort()
  const folder = tempDir(t)
  const file = (name: string) => join(folder, name)
  // One self-signed certificate serves as authority, server and client: each side checks that the other has it.
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file('key.pem')]
  execFileSync('openssl', ['req', '-x509', ...key, '-out', file('cert.pem'), '-days', '2', ...subject], {
    stdio: 'ignore',
  })
  chmodSync(file('key.pem'), 0o644) // mosquitto gives up root before it reads it
  chmodSync(folder, 0o755)
  const tls = ['cafile', 'certfile'].map((name) => `${name} ${file('cert.pem')}`)
  const lines = [
    `listener ${port} 127.0.0.1`,
    ...tls,
    `keyfile ${file('key.pem')}`,
    'require_certificate true',
    'allow_anonymous true',
  ]
  writeFileSync(file('mosquitto.conf'), `${lines.join('\n')}\n`)
  await startMosquitto(t, folder)
  const files = { caFile: file('cert.pem'), certFile: file('cert.pem'), keyFile: file('key.pem') }
  const { health } = startIntake(t, wayTo({ url: `mqtts://127.0.0.1:${port}`, clientId: 'ledger-1', tls: files }))
  while (health.troubles().length > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  t.pass()
})

async function startMosquitto(t: Teardown, folder: string): Promise<ChildProcess> {
  const child = spawn(mosquitto, ['-c', join(folder, 'mosquitto.conf')], { stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  await new Promise<void>((resolve) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      if (String(chunk).includes('running')) resolve()
    })
  })
  return child
}
