import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { connectStation } from '../test/csms-rig.ts'
import { makeTempFolder } from '../test/signing-rig.ts'

const launcher = fileURLToPath(new URL('../bin/wattline-gateway', import.meta.url))

function writeConfig(t: ExecutionContext, ocpp = 'ocpp: { host: 127.0.0.1, port: 0 }'): string {
  const file = join(makeTempFolder(t.teardown), 'gateway.yaml')
  const meter = '{ id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: producer }'
  writeFileSync(
    file,
    `version: 1
gateway: { id: gw-1, dataDir: ./data }
buses: [{ id: lan, tcp: { host: 127.0.0.1, port: 9 } }]
meters: [${meter}]
${ocpp}
`,
  )
  return file
}

/** A gateway as a process of its own; resolves once stations are served. */
async function startGateway(t: ExecutionContext, config: string) {
  const child = spawn(launcher, ['--config', config], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  let url: string | undefined
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, ...fields } = JSON.parse(line) as { event: string; url?: string }
    if (event === 'ocpp.started') url = fields.url
    // The socket for commands is there a moment after the stations' port.
    if (event !== 'gateway.started' || url === undefined) continue
    const served = url
    child.stdout.resume()
    const end = async (signal: NodeJS.Signals) => {
      child.kill(signal)
      await exited
      return child.exitCode
    }
    return { url: served, end }
  }
  throw new Error('ended before it served stations')
}

async function ocpp(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(launcher, ['ocpp', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const texts = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (texts.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (texts.stderr += chunk.toString()))
  const [code] = await once(child, 'close')
  return { code: Number(code), ...texts }
}

test('a person lists the stations and sends one a request, through the running gateway', async (t) => {
  const config = writeConfig(t)
  const at = ['--config', config]
  const gateway = await startGateway(t, config)
  t.is(statSync(join(config, '../data/control.sock')).mode & 0o777, 0o600)
  t.regex((await ocpp('stations', ...at)).stdout, /no station has connected/)
  const station = await connectStation(`${gateway.url}/CP1`)
  await station.call('BootNotification', { chargePointVendor: 'Acme\u001b[2J', chargePointModel: 'Wall' })
  await station.call('StatusNotification', { connectorId: 1, errorCode: 'NoError', status: 'Available' })
  const list = await ocpp('stations', ...at)
  t.regex(
    list.stdout,
    /^CP1: connected with ocpp1\.6 from 127\.0\.0\.1; Acme\?\[2J Wall; connector 1 Available; not adopted\n$/,
  )
  t.like(JSON.parse((await ocpp('stations', '--json', ...at)).stdout), [{ id: 'CP1', connected: true }])

  station.socket.on('message', (data: Buffer) => {
    const [type, id] = JSON.parse(data.toString())
    if (type === 2) station.socket.send(JSON.stringify([3, id, { configurationKey: [{ key: 'A', readonly: 1 }] }]))
  })
  const answer = await ocpp('call', 'CP1', 'GetConfiguration', '{"key":["A"]}', ...at)
  t.is(answer.code, 0)
  t.deepEqual(JSON.parse(answer.stdout), { configurationKey: [{ key: 'A', readonly: 1 }] })
  t.regex(answer.stderr, /differs from the schema: configurationKey\.0\.readonly/)
  await station.call('Heartbeat', { colour: 'red\u001b' })
  await station.call('Authorize', { idTag: 'SECRETCARD'.repeat(3) })
  t.is(await gateway.end('SIGTERM'), 0)
  t.is((await station.closed()).code, 1001)

  // Also on the data of a gateway that has ended.
  const messages = await ocpp('messages', 'CP1', ...at)
  t.regex(messages.stdout, /^\S+Z CP1 Heartbeat mended: .*colour.*\n\S+Z CP1 Authorize put aside: idTag: .*\n$/)
  t.false(messages.stdout.includes('SECRETCARD'), 'no card in words')
  t.is((await ocpp('messages', 'CP2', ...at)).stdout, '')
  const [mended, ...rest] = (await ocpp('messages', '--outcome', 'mended', '--json', ...at)).stdout.trim().split('\n')
  t.deepEqual(rest, [])
  t.like(JSON.parse(mended ?? ''), { station: 'CP1', action: 'Heartbeat', outcome: 'mended' })
})

test('a command that cannot be done says why, and ends with the exit code of its kind', async (t) => {
  const config = writeConfig(t)
  const at = ['--config', config]
  const nobody = await ocpp('stations', ...at)
  t.is(nobody.code, 69)
  t.regex(nobody.stderr, /control\.sock: no gateway runs with this data folder/)
  const gateway = await startGateway(t, config)
  await connectStation(`${gateway.url}/CP1`)
  const faults = [
    [['call', 'CP2', 'ClearCache'], 69, /no station 'CP2'/],
    [['call', 'CP1', 'Reset', '{"type":"Medium"}'], 64, /Reset .*not sent: type/],
    [['call', 'CP1', 'Reset', '{type:Hard}'], 64, /JSON expected/],
    [['call', 'CP1', 'MakeCoffee'], 64, /no request 'MakeCoffee'/],
    [['call', 'CP1'], 64, /action/],
  ] as const
  for (const [args, code, words] of faults) {
    const ended = await ocpp(...args, ...at)
    t.is(ended.code, code, args.join(' '))
    t.regex(ended.stderr, words)
    t.is(ended.stdout, '')
  }
  const without = await ocpp('stations', '--config', writeConfig(t, ''))
  t.is(without.code, 78)
  t.regex(without.stderr, /has no ocpp/)
})

test('Q17: a start that was answered before kill -9 gets the same transaction after it', async (t) => {
  const config = writeConfig(t)
  const start = { connectorId: 1, idTag: 'CARD', meterStart: 100, timestamp: '2027-01-15T08:00:00Z' }
  const answers: unknown[] = []
  for (let round = 0; round < 3; round++) {
    const gateway = await startGateway(t, config)
    const station = await connectStation(`${gateway.url}/CP1`)
    answers.push((await station.call('StartTransaction', start, `id-${round}`))[2])
    const other = await station.call('StartTransaction', { ...start, meterStart: 200 + round }, 'x')
    t.notDeepEqual(other[2], answers[0])
    await gateway.end('SIGKILL')
  }
  t.deepEqual(answers[1], answers[0])
  t.deepEqual(answers[2], answers[0])
  const sessions = JSON.parse((await ocpp('sessions', '--json', '--config', config)).stdout)
  t.is(sessions.length, 4, 'each start once')
  t.like(sessions[0], {
    station: 'CP1',
    connector: 1,
    begin: { registerWh: '100' },
    end: { how: 'next-start', registerWh: '100' },
  })
})
