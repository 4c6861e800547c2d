import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { stringify } from 'yaml'
import { freePorts, Program, runCommand } from '../src/demo/programs.ts'
import { makeTestFolder } from './line.ts'

interface Look {
  readonly meter?: string
  readonly registers: readonly { name: string; value?: number | string; words?: string[]; ageMs?: number }[]
}

interface Frame {
  readonly direction: 'sent' | 'received'
  readonly bytes: string
  readonly crc: string
}

/** Two simulated meters, one on a line and one behind TCP, and the configuration of a gateway that reads the first. */
async function startMeters(t: ExecutionContext) {
  const folder = makeTestFolder(t)
  const [modbus = 0, web = 0] = await freePorts(2)
  const line = join(folder, 'tty')
  const profile = 'eastron-sdm630'
  const write = (name: string, content: object): string => {
    writeFileSync(join(folder, name), stringify({ version: 1, ...content }))
    return join(folder, name)
  }
  const simConfig = write('sim.yaml', {
    lines: [{ id: 'line', path: line, baudRate: 38_400 }],
    meters: [
      { id: 'roof', profile, unitId: 1, line: 'line', curve: 'solar' },
      { id: 'house', profile, unitId: 2, tcp: { host: '127.0.0.1', port: modbus }, curve: 'household' },
    ],
  })
  const gatewayConfig = write('gateway.yaml', {
    gateway: { id: 'gw-1', dataDir: './gateway' },
    buses: [{ id: 'rs485-1', serial: { path: line, baudRate: 38_400 } }],
    meters: [
      {
        id: 'roof',
        bus: 'rs485-1',
        unitId: 1,
        profile,
        role: 'producer',
        intervalSeconds: 1,
        valuesIntervalSeconds: 1,
      },
    ],
    web: { host: '127.0.0.1', port: web },
  })
  const sim = new Program('sim', ['--config', simConfig])
  t.teardown(() => sim.stop())
  await sim.event('sim.started')
  const bare = ['--serial', line, '--baud', '38400', '--unit', '1', '--profile', profile]
  return { line, bare, tcp: ['--tcp', `127.0.0.1:${modbus}`, '--unit', '2', '--profile', profile], gatewayConfig, web }
}

const watch = (...args: readonly string[]) => runCommand('gateway', ['watch', ...args])
const parseLines = <T>(text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T)

test('watch shows every register of a meter, over a line and over TCP, by its configuration or without one', async (t) => {
  const { bare, tcp, gatewayConfig } = await startMeters(t)
  for (const place of [bare, tcp, ['--config', gatewayConfig, '--meter', 'roof']]) {
    const { code, stdout, stderr } = await watch(...place, '--once', '--json')
    t.is(code, 0, stderr)
    const [look] = parseLines<Look>(stdout)
    t.is(look?.registers.length, 21)
    t.true(look?.registers.every(({ words, value, ageMs }) => words && value !== undefined && ageMs === 0))
    const volts = look?.registers.filter(({ name }) => name.startsWith('Voltage')).map(({ value }) => Number(value))
    t.true(volts?.every((value) => value > 200 && value < 260))
    t.is(look?.meter, place.includes('--meter') ? 'roof' : undefined)
  }
})

test('watch --trace tells every frame, and none that leaves is anything but a read', async (t) => {
  const { bare } = await startMeters(t)
  const { stdout } = await watch(...bare, '--once', '--json', '--trace')
  const lines = parseLines<{ frame?: Frame }>(stdout)
  const frames = lines.flatMap(({ frame }) => frame ?? [])
  t.true(frames.length >= 8)
  t.true(frames.every(({ crc }) => crc === 'ok'))
  for (const [i, { direction, bytes }] of frames.entries()) {
    t.is(direction, i % 2 === 0 ? 'sent' : 'received')
    t.regex(bytes, /^010[34]/)
  }
})

test('on a line that a gateway reads, watch says who has it; the gateway shows the same values itself', async (t) => {
  const { bare, gatewayConfig, web, line } = await startMeters(t)
  const gateway = new Program('gateway', ['--config', gatewayConfig])
  t.teardown(() => gateway.stop())
  await gateway.event('bus.up')
  const { code, stderr } = await watch(...bare)
  t.is(code, 69)
  t.is(stderr, `serial port ${line} is in use by another program, such as a running gateway\n`)
  const { points } = await untilValues(`http://127.0.0.1:${web}/status`)
  const voltages = points[0]?.values?.list.filter(({ measurand }) => measurand === 'Voltage')
  t.deepEqual(
    voltages?.map(({ phase }) => phase),
    ['L1', 'L2', 'L3'],
  )
  const metrics = await (await fetch(`http://127.0.0.1:${web}/metrics`)).text()
  t.regex(metrics, /wattline_meter_value\{point="gw-1\/roof",measurand="Frequency",phase=""\} (49|50)/)
})

interface Status {
  readonly points: readonly { readonly values?: { readonly list: readonly { measurand: string; phase?: string }[] } }[]
}

async function untilValues(url: string): Promise<Status> {
  for (;;) {
    const status = (await (await fetch(url)).json()) as Status
    if (status.points.every(({ values }) => values !== undefined)) return status
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

test('watch goes on until Ctrl-C, and tells a meter that is not there once it is asked only once', async (t) => {
  const { tcp } = await startMeters(t)
  const running = new Program('gateway', ['watch', ...tcp, '--json', '--interval', '0.1'])
  for (let looks = 1; looks <= 3; looks++) {
    await running.event(() => running.log.filter((line) => 'registers' in line).length >= looks)
  }
  t.is(await running.stop('SIGINT'), 0)
  const absent = await watch(...tcp.with(3, '9'), '--once')
  t.is(absent.code, 69)
  t.regex(absent.stderr, /unit 9: .*gateway target device failed to respond/)
})

test('what is wrong with the command line is told at once', async (t) => {
  const { code, stderr } = await watch('--serial', 'tty', '--unit', '300', '--meter', 'roof')
  t.is(code, 78)
  t.regex(stderr, /watch: unitId: .*247/)
  t.regex(stderr, /watch: --meter goes with --config/)
  t.regex(stderr, /watch: --profile expected/)
  t.regex((await watch()).stderr, /one of --config, --serial, --tcp and --rtu-over-tcp expected/)
})
