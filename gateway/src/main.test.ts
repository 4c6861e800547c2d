import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseCertificate, parseOcmfText, parsePublicKey, verifyRange } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { makeTempFolder } from '../test/signing-rig.ts'
import { ScriptedLedger, TestBroker } from '../test/uplink-rig.ts'
import { gatewayModel, gatewayVersion } from './version.ts'

const launcher = fileURLToPath(new URL('../bin/wattline-gateway', import.meta.url))

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

async function command(...args: string[]): Promise<Ended> {
  const child = spawn(launcher, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const texts = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (texts.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (texts.stderr += chunk.toString()))
  const [code] = await once(child, 'close')
  return { code, ...texts }
}

interface Running {
  readonly child: ChildProcess
  readonly events: Record<string, unknown>[]
  /** The n-th of its name, or the first that fits. */
  event(name: string, wanted?: number | ((line: Record<string, unknown>) => boolean)): Promise<Record<string, unknown>>
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

function run(t: ExecutionContext, config: string): Running {
  const child = spawn(launcher, ['--config', config], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const events: Record<string, unknown>[] = []
  const waiting = new Set<() => void>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    events.push(JSON.parse(line))
    for (const wake of waiting) wake()
  })
  const exited = once(child, 'exit').then(([code]) => {
    for (const wake of waiting) wake()
    return code as number | null
  })
  return {
    child,
    events,
    event: async (name, wanted = 1) => {
      for (;;) {
        const named = events.filter(({ event }) => event === name)
        const found = typeof wanted === 'number' ? named[wanted - 1] : named.find(wanted)
        if (found !== undefined) return found
        if (child.exitCode !== null) throw new Error(`ended before ${name}`)
        await new Promise<void>((resolve) => waiting.add(resolve))
        waiting.clear()
      }
    },
    stop: (signal = 'SIGTERM') => {
      child.kill(signal)
      return exited
    },
  }
}

/** A meter on Modbus TCP that exports 100 Wh with each reading. */
async function startMeter(t: ExecutionContext): Promise<number> {
  let kwh = 1_000
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (request) => {
      const [address, count] = [request.readUInt16BE(8), request.readUInt16BE(10)]
      const registers = Buffer.alloc((count + 2) * 2)
      const put = (at: number, value: number) => {
        if (at >= address && at + 2 <= address + count) registers.writeFloatBE(value, (at - address) * 2)
      }
      put(0x48, 12.5)
      put(0x4a, kwh)
      if (address <= 0x4a && 0x4a < address + count) kwh += 0.1
      if (request[7] === 3) registers.writeUInt32BE(4711, 0)
      const head = Buffer.from([
        ...request.subarray(0, 4),
        0,
        3 + count * 2,
        request[6] ?? 0,
        request[7] ?? 0,
        count * 2,
      ])
      socket.write(Buffer.concat([head, registers.subarray(0, count * 2)]))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

interface Options {
  readonly meterPort?: number
  readonly brokerPort?: number
  readonly webPort?: number
  readonly serial?: boolean
}

function writeConfig(t: ExecutionContext, { meterPort = 9, brokerPort, webPort, serial }: Options = {}): string {
  const folder = makeTempFolder((action) => t.teardown(action))
  const file = join(folder, 'gateway.yaml')
  writeFileSync(
    file,
    `version: 1
gateway: { id: gw-1, dataDir: ./data, logLevel: debug }
buses:
  - { id: lan, tcp: { host: 127.0.0.1, port: ${meterPort} } }
${serial === true ? '  - { id: line, serial: { path: ./ttyGone } }' : ''}
meters:
  - { id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: producer, intervalSeconds: 0.2 }
${serial === true ? '  - { id: cellar, bus: line, unitId: 1, profile: eastron-sdm120, role: consumer, intervalSeconds: 0.2 }' : ''}
${brokerPort === undefined ? '' : `mqtt: { url: "mqtt://127.0.0.1:${brokerPort}" }`}
${webPort === undefined ? '' : `web: { host: 127.0.0.1, port: ${webPort} }`}
`,
  )
  return file
}

test('the version is that of the package', (t) => {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  t.like(manifest, { version: gatewayVersion })
})

test('without a configuration the command line is wrong: 64', async (t) => {
  const { code, stderr } = await command()
  t.is(code, 64)
  t.regex(stderr, /--config/)
  t.is((await command('export')).code, 64)
  t.is((await command('--config', 'x', 'nonsense')).code, 64)
  t.is((await command('--help')).code, 0)
})

test('--check-config prints the configuration complete, or every problem with its path: 78', async (t) => {
  const file = writeConfig(t)
  const good = await command('--config', file, '--check-config')
  t.is(good.code, 0)
  t.regex(good.stdout, /retentionDays: 400/)
  const text = readFileSync(file, 'utf8')
  writeFileSync(
    file,
    text.replace('eastron-sdm630', 'eastron-sdm63').replace('role: producer', 'role: producer, pahse: 1'),
  )
  const bad = await command('--config', file, '--check-config')
  t.is(bad.code, 78)
  t.regex(bad.stderr, /meters\[0\]\.pahse/)
  writeFileSync(file, text.replace('eastron-sdm630', 'eastron-sdm63'))
  t.regex(
    (await command('--config', file, '--check-config')).stderr,
    /meters\[0\]\.profile: .*did you mean 'eastron-sdm630'/,
  )
  t.is((await command('--config', `${file}.gone`)).code, 78)
})

test('from the first reading to the receipt, and every command beside the running gateway and after it', async (t) => {
  const broker = new TestBroker()
  await broker.start()
  t.teardown(() => broker.stop())
  const ledger = new ScriptedLedger(broker)
  const file = writeConfig(t, { meterPort: await startMeter(t), brokerPort: broker.port, webPort: 0 })
  const gateway = run(t, file)
  const { web } = await gateway.event('gateway.started')
  await gateway.event('outbox.record.acknowledged', 3)

  const status = (await (await fetch(`${web}/status`)).json()) as { points: Record<string, unknown>[] }
  t.like(status.points[0], { id: 'roof', role: 'producer', profile: 'eastron-sdm630', state: 'ok' })
  const health = await fetch(`${web}/healthz`)
  t.is(health.status, 200)
  t.like(await health.json(), { status: 'ok' })
  const metrics = await (await fetch(`${web}/metrics`)).text()
  for (const name of [
    'readings_total',
    'records_acknowledged_total',
    'receipt_latency_seconds_count',
    'database_bytes',
  ]) {
    t.regex(metrics, new RegExp(`^wattline_${name}.* [1-9]`, 'm'))
  }
  t.is((await fetch(`${web}/status`, { method: 'POST' })).status, 404)

  const meanwhile = await command('export', '--config', file)
  t.true(meanwhile.stdout.split('\n').length > 3)
  const swap = await command('accept-swap', '--config', file, '--meter', 'roof')
  t.is(swap.code, 0)
  await gateway.event('point.state.changed', ({ to }) => to === 're-based')
  t.is((await command('--config', file)).code, 75, 'a second gateway is refused')

  t.is(await gateway.stop(), 0)

  const keys = await command('keys', '--config', file)
  const [id, spki = ''] = keys.stdout.trim().split(' ')
  t.is(id, 'roof')
  const certificate = parseCertificate((await command('certificates', '--config', file)).stdout.trim())
  t.deepEqual(certificate.meter, { vendor: 'Eastron', model: 'SDM630-Modbus V2', serial: '4711' })
  const exported = await command('export', '--config', file, '--meter', 'roof')
  const texts = exported.stdout.trim().split('\n')
  const key = parsePublicKey(spki)
  const expected = { pointText: 'gw-1 roof', keyOf: () => key, firstSequence: 1, previousHash: certificate.hash }
  t.like(verifyRange(texts, expected), { ok: true, count: texts.length })
  const { record } = parseOcmfText(texts[0]!)
  t.is(record.template.gatewayModel, gatewayModel)
  t.is(record.template.meterSerial, '4711')
  t.true(ledger.texts('gw-1/roof' as never).length >= 3)
  t.is((await command('export', '--config', file, '--meter', 'nobody')).code, 78)
})

test('SPEC-22: a meter and a port that are not there are signed silence, and told in health', async (t) => {
  const file = writeConfig(t, { webPort: 0, serial: true })
  const gateway = run(t, file)
  const { web } = await gateway.event('gateway.started')
  await gateway.event('record.signed', 6)
  const report = (await (await fetch(`${web}/healthz`)).json()) as {
    status: string
    reasons: { code: string; where: string }[]
  }
  t.is(report.status, 'degraded')
  t.true(report.reasons.some(({ code, where }) => code === 'port/missing' && where === 'bus line'))
  t.true(report.reasons.some(({ code, where }) => code === 'disconnected' && where === 'gw-1/cellar'))
  t.is(await gateway.stop('SIGINT'), 0)
  const { stdout } = await command('export', '--config', file)
  const states = new Set(
    stdout
      .trim()
      .split('\n')
      .map((text) => parseOcmfText(text).record.state),
  )
  t.deepEqual(states, new Set(['disconnected']))
})

test('a port that is taken ends the start with its name: 69', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const { code, stderr } = await command('--config', writeConfig(t, { webPort: port }))
  t.is(code, 69)
  t.regex(stderr, new RegExp(`127\\.0\\.0\\.1:${port}`))
})

test('a damaged database ends the start with its name and the way out, which works: 74', async (t) => {
  const file = writeConfig(t)
  const first = run(t, file)
  await first.event('record.signed', 5)
  await first.stop()
  const path = join(file, '..', 'data', 'gateway.db')
  const handle = openSync(path, 'r+')
  writeSync(handle, Buffer.alloc(4096, 0xa5), 0, 4096, statSync(path).size - 4096)
  closeSync(handle)
  const { code, stderr } = await command('--config', file)
  t.is(code, 74)
  t.regex(stderr, /gateway\.db.*wattline-gateway recover/s)
  t.is((await command('recover', '--config', file)).code, 0)
  const again = run(t, file)
  await again.event('record.signed')
  t.is(await again.stop(), 0)
})

test('kill -9 and start again: the same epoch, no gap, and a lost key is never replaced', async (t) => {
  const file = writeConfig(t)
  const first = run(t, file)
  await first.event('record.signed', 3)
  await first.stop('SIGKILL')
  const second = run(t, file)
  await second.event('record.signed', 2)
  t.false(second.events.some(({ event }) => event === 'gateway.epoch.opened'))
  await second.stop()
  const { stdout } = await command('export', '--config', file)
  const records = stdout
    .trim()
    .split('\n')
    .map((text) => parseOcmfText(text).record)
  t.is(new Set(records.map(({ epoch }) => epoch)).size, 1)
  t.deepEqual(
    records.map(({ sequence }) => sequence),
    records.map((_, at) => at + 1),
  )
  const key = join(file, '..', 'data', 'keys', 'roof.key')
  writeFileSync(key, `${'11'.repeat(32)}\n`)
  const { code, stderr } = await command('--config', file)
  t.is(code, 78)
  t.regex(stderr, /gw-1\/roof.*another key/s)
})
