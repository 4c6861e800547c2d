import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, lstatSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { parse } from 'yaml'
import { listen } from './socket-server.ts'

const launcher = fileURLToPath(new URL('../bin/wattline-sim', import.meta.url))
const root = fileURLToPath(new URL('../../', import.meta.url))

function write(t: ExecutionContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'sim-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'sim.yaml')
  writeFileSync(path, text.replaceAll('FOLDER', folder))
  return path
}

function run(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(launcher, args, { cwd: root }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

type Line = Record<string, unknown>

/** Starts the program and lets a test wait for its log lines. */
function startSim(t: ExecutionContext, path: string) {
  const child: ChildProcess = spawn(launcher, ['--config', path], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: Line[] = []
  let wake = () => {}
  createInterface({ input: child.stdout! }).on('line', (line) => {
    lines.push(JSON.parse(line))
    wake()
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  const next = async (event: string): Promise<Line> => {
    for (;;) {
      const at = lines.findIndex((line) => line['event'] === event)
      if (at >= 0) return lines.splice(at, 1)[0]!
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { child, next, exited }
}

const sim = `
version: 1
lines: [ { id: l, path: FOLDER/tty } ]
meters:
  - { id: roof, profile: eastron-sdm630, unitId: 1, line: l, curve: { constant: { powerW: -3600 } }, startWh: 500 }
  - { id: house, profile: eastron-sdm120, unitId: 2, tcp: { host: 127.0.0.1, port: 0 }, curve: grid, sees: [roof], startWh: 0 }
stations:
  - { id: CP1, ocpp: "1.6", url: "ws://127.0.0.1:9220" }
broker: { host: 127.0.0.1, port: 0 }
time: { speedUp: 100 }
`

test('--check-config prints the config with its defaults', async (t) => {
  const { code, stdout } = await run(['--config', write(t, sim), '--check-config'])
  t.is(code, 0)
  t.like(parse(stdout), { version: 1, time: { speedUp: 100 }, faults: [], lines: [{ baudRate: 9600 }] })
})

test('a wrong config ends with 78 and every problem on stderr', async (t) => {
  const path = write(t, 'version: 1\ncolour: red\nmeters: [ { id: a } ]\n')
  const { code, stdout, stderr } = await run(['--config', path, '--check-config'])
  t.is(code, 78)
  t.is(stdout, '')
  t.regex(stderr, /config\/invalid/)
  t.regex(stderr, /sim\.yaml: colour: /)
  t.regex(stderr, /sim\.yaml: meters\[0\]\.profile: /)
})

test('a port that is taken ends with 69, and leaves no link behind', async (t) => {
  const server = createServer()
  const port = await listen(server, '127.0.0.1', 0)
  t.teardown(() => server.close())
  const path = write(t, sim.replace('port: 0 }, curve: grid', `port: ${port} }, curve: grid`))
  const { code, stderr } = await run(['--config', path])
  t.is(code, 69)
  t.regex(stderr, /port\/occupied/)
  t.false(existsSync(path.replace('sim.yaml', 'tty')))
})

test('it tells its ports, its true registers when asked and at the end, and leaves nothing behind', async (t) => {
  const path = write(t, sim)
  const link = path.replace('sim.yaml', 'tty')
  const { child, next, exited } = startSim(t, path)
  t.like(await next('sim.station.power-on'), { station: 'CP1', reason: 'PowerUp' })
  const started = await next('sim.started')
  t.true(JSON.stringify(started['ports']).includes('"transport":"tcp","host":"127.0.0.1","port":'))
  t.true(lstatSync(link).isSymbolicLink())
  child.kill('SIGUSR2')
  const [roof, house] = [await next('sim.meter.registers'), await next('sim.meter.registers')]
  t.is(roof['meter'], 'roof')
  t.is(house['meter'], 'house')
  t.is(roof['exportedWh'], house['exportWh'])
  t.is(roof['importWh'], '500.000')
  child.kill('SIGTERM')
  t.true(Number((await next('sim.meter.registers'))['exportWh']) >= Number(roof['exportWh']))
  await next('sim.stopped')
  t.is(await exited, 0)
  t.false(existsSync(link))
})

test('faults are played and told when they begin and end', async (t) => {
  const path = write(t, `${sim}faults: [ { at: 0.05, for: 0.05, kind: unplugged, line: l } ]\n`)
  const { child, next, exited } = startSim(t, path)
  t.like(await next('sim.fault.started'), { fault: { kind: 'unplugged', line: 'l' } })
  await next('sim.fault.ended')
  child.kill('SIGINT')
  t.is(await exited, 0)
})

test('killed at once, it takes its pseudo-terminal with it', async (t) => {
  const path = write(t, sim)
  const { child, next, exited } = startSim(t, path)
  const started = JSON.stringify((await next('sim.started'))['ports'])
  const device = /"device":"([^"]+)"/.exec(started)?.[1] ?? ''
  t.true(existsSync(device))
  child.kill('SIGKILL')
  await exited
  for (let i = 0; i < 100 && existsSync(device); i += 1) await new Promise((resolve) => setTimeout(resolve, 20))
  t.false(existsSync(device))
})
