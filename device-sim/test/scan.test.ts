import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { stringify } from 'yaml'
import { Program, runCommand } from '../src/demo/programs.ts'

// The scan against simulated meters on a paced line: what an installer sees, sound and with each fault in the wiring.

interface Scan {
  readonly code: number
  readonly stderr: string
  readonly devices: readonly { readonly unitId: number; readonly identity?: { readonly profile: string } }[]
  readonly faults: readonly string[]
}

interface Written {
  readonly buses: readonly [
    { readonly devices: Scan['devices']; readonly diagnoses: readonly { readonly fault: string }[] },
  ]
}

/** A folder with a running simulator; its line is linked at `tty`. */
async function startLine(t: ExecutionContext, { meters, faults = [] }: { meters: object[]; faults?: object[] }) {
  const folder = mkdtempSync(join(tmpdir(), 'wattline-scan-'))
  const lines = [{ id: 'rs485-1', path: './tty' }]
  const config = join(folder, 'sim.yaml')
  writeFileSync(config, stringify({ version: 1, lines, meters, faults }))
  const sim = new Program('sim', ['--config', config])
  t.teardown(async () => {
    await sim.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  await sim.event('sim.started')
  return folder
}

async function scan(args: readonly string[]): Promise<Scan> {
  const { code, stdout, stderr } = await runCommand('gateway', ['scan', '--json', ...args])
  if (stdout === '') throw new Error(`the scan ended with ${code}: ${stderr}`)
  const [{ devices, diagnoses }] = (JSON.parse(stdout) as Written).buses
  return { code, stderr, devices, faults: diagnoses.map(({ fault }) => fault) }
}

const meter = (unitId: number, profile = 'eastron-sdm630', more: object = {}) => ({
  id: `m${unitId}`,
  unitId,
  profile,
  line: 'rs485-1',
  curve: { constant: { powerW: 2500 } },
  seed: unitId,
  ...more,
})

// Alone, before the others: it is timed.
test.serial('five unknown meters are found, and what the scan writes is a configuration', async (t) => {
  const profiles = ['eastron-sdm630', 'eastron-sdm120', 'sunspec-meter-203', 'eastron-sdm630', 'eastron-sdm120']
  const ids = [7, 34, 77, 120, 203]
  const folder = await startLine(t, { meters: ids.map((unitId, i) => meter(unitId, profiles[i])) })
  const [started, written] = [performance.now(), join(folder, 'gateway.yaml')]
  const found = await scan(['--serial', join(folder, 'tty'), '--write', written])
  t.log(`${((performance.now() - started) / 1000).toFixed(1)} s, the simulated line at the pace of 9600 baud`)
  t.deepEqual(
    found.devices.map(({ unitId, identity }) => [unitId, identity?.profile]),
    ids.map((unitId, i) => [unitId, profiles[i]]),
  )
  t.deepEqual([found.faults, found.code], [[], 0], found.stderr)
  const checked = await runCommand('gateway', ['--config', written, '--check-config'])
  t.is(checked.code, 0, checked.stderr)
  for (const profile of profiles) t.regex(readFileSync(written, 'utf8'), new RegExp(`profile: ${profile}`))
})

const config = {
  version: 1,
  gateway: { id: 'gw-1', dataDir: './data' },
  buses: [{ id: 'rs485-1', serial: { path: './tty', baudRate: 9600, parity: 'none', stopBits: 1 } }],
  meters: [1, 2].map((unitId) => ({
    id: `m${unitId}`,
    bus: 'rs485-1',
    unitId,
    profile: 'eastron-sdm630',
    role: 'consumer',
  })),
}

const line = { line: 'rs485-1', at: 0 }
const one = { meter: 'm1', at: 0 }
const scenarios: Readonly<Record<string, object>> = {
  'a-b-swapped': { ...line, kind: 'ab-swapped' },
  'wrong-baud-rate': { ...line, kind: 'wrong-baud', baudRate: 19_200 },
  'wrong-parity': { ...line, kind: 'wrong-parity', parity: 'even' },
  'duplicate-address': { meter: 'm3', at: 0, kind: 'duplicate-address', of: 'm1' },
  'missing-termination': { ...line, kind: 'missing-termination' },
  'second-client': { ...line, kind: 'second-master', unitId: 2, everyMs: 700 },
  'shifted-map': { ...one, kind: 'shifted-map' },
  'swapped-words': { ...one, kind: 'swapped-words' },
  'reversed-feed': { ...one, kind: 'reversed-feed' },
  'transformer-on-wrong-phase': { ...one, kind: 'ct-wrong-phase' },
  'slow-device': { ...one, kind: 'slow-device', delayMs: 900 },
}

const guesses = Object.entries(scenarios).map(([fault, scenario]) => ({ fault, scenario }))
const rightGuesses: string[] = []

for (const { fault, scenario } of guesses) {
  test.serial(`${fault} is noticed`, async (t) => {
    const more = fault === 'duplicate-address' ? [meter(3)] : []
    const folder = await startLine(t, { meters: [meter(1), meter(2), ...more], faults: [scenario] })
    const file = join(folder, 'gateway.yaml')
    writeFileSync(file, stringify(config))
    const { faults, code, stderr } = await scan(['--config', file, '--quick', '--unit-ids', '1-12'])
    t.log(stderr.split('\n').find((row) => row.includes('1. ')) ?? stderr)
    t.not(faults.length, 0, `reported as healthy: ${stderr}`)
    t.is(code, 1)
    if (faults[0] === fault) rightGuesses.push(fault)
  })
}

test.serial('at least nine of the eleven first guesses are right', (t) => {
  t.is(guesses.length, 11)
  t.true(rightGuesses.length >= 9, `right: ${rightGuesses.join(', ')}`)
})

test('a port that a gateway uses is told in words', async (t) => {
  const folder = await startLine(t, { meters: [meter(1), meter(2)] })
  const file = join(folder, 'gateway.yaml')
  writeFileSync(file, stringify(config))
  const gateway = new Program('gateway', ['--config', file])
  t.teardown(() => gateway.stop())
  await gateway.event('gateway.started')
  await gateway.event(({ event }) => event === 'bus.up' || event === 'reading.taken')
  const { code, stderr } = await runCommand('gateway', ['scan', '--config', file])
  t.is(code, 69)
  t.regex(stderr, /serial port .*another program|another program .*serial port/)
})

test('Ctrl-C leaves what was found so far', async (t) => {
  const folder = await startLine(t, { meters: [meter(1), meter(247)] })
  const launcher = fileURLToPath(new URL('../../gateway/bin/wattline-gateway', import.meta.url))
  const child = spawn(launcher, ['scan', '--serial', join(folder, 'tty'), '--json'], { stdio: 'pipe' })
  let [stdout, stderr] = ['', '']
  let isCancelled = false
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString()
  })
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString()
    // The ladder has found the first one.
    if (isCancelled || !stderr.includes('every unit id')) return
    isCancelled = true
    child.kill('SIGINT')
  })
  await once(child, 'close')
  const { buses } = JSON.parse(stdout) as { buses: { cancelled: boolean; devices: { unitId: number }[] }[] }
  t.deepEqual(
    buses.map(({ cancelled, devices }) => [cancelled, devices.map(({ unitId }) => unitId)]),
    [[true, [1]]],
    stderr,
  )
})

test('a file that is there already is not overwritten', async (t) => {
  const folder = await startLine(t, { meters: [meter(1)] })
  const file = join(folder, 'mine.yaml')
  writeFileSync(file, 'mine')
  const { code, stderr } = await runCommand('gateway', ['scan', '--serial', join(folder, 'tty'), '--write', file])
  t.is(code, 78)
  t.regex(stderr, /is there already/)
  t.true(existsSync(file) && readFileSync(file, 'utf8') === 'mine')
})
