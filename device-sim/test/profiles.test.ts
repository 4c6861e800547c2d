import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type EnergyDirection,
  energyMeasurands,
  isEnergyTotal,
  type MeterProfile,
  planEnergySnapshot,
  WattError,
} from '@wattline/protocol'
import test from 'ava'
import { stringify } from 'yaml'
import { freePorts, Program, runCommand } from '../src/demo/programs.ts'
import { fetchStatus } from '../src/demo/status.ts'
import { loadProfile } from '../src/profiles.ts'
import { makeTestFolder } from './line.ts'

const profiles = readdirSync(new URL('../../hardware/meters/', import.meta.url))
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => loadProfile(name.replace('.yaml', '')))
const signing = profiles.filter(({ cannotSign }) => cannotSign === undefined)
const watching = profiles.filter(({ cannotSign }) => cannotSign !== undefined)
const host = '127.0.0.1'

interface Point {
  readonly id: string
  readonly unitId: number
  readonly profile: MeterProfile
  readonly role: 'producer' | 'consumer' | 'bidirectional'
  readonly serial: string
  readonly startWh: Readonly<Record<EnergyDirection, number>>
}

function canRead(profile: MeterProfile, directions: readonly EnergyDirection[]): boolean {
  try {
    planEnergySnapshot(profile, directions)
    return true
  } catch (error) {
    if (error instanceof WattError && error.code === 'profile/invalid') return false
    throw error
  }
}

// Where one request cannot hold both registers, the one is read here and the other one there.
function roleOf(profile: MeterProfile, preferred: 'producer' | 'consumer'): Point['role'] {
  if (canRead(profile, ['import', 'export'])) return 'bidirectional'
  if (!canRead(profile, ['import'])) return 'producer'
  return canRead(profile, ['export']) ? preferred : 'consumer'
}

// Below 8192 kWh a float32 shows every Wh. Coarser counters stand at one of their steps.
function startOf(profile: MeterProfile, i: number, direction: EnergyDirection): number {
  const total = profile.quantities.find((q) => isEnergyTotal(q) && q.measurand === energyMeasurands[direction])
  const stepWh = total?.unit === 'kWh' && total.scale !== undefined ? 1000 * Number(total.scale) : 1
  const wh = (direction === 'import' ? 1_234_567 : 7_654_321) + 137 * i
  return wh - (wh % stepWh)
}

function pointsOf(prefix: string, preferred: 'producer' | 'consumer'): readonly Point[] {
  return signing.map((profile, i) => ({
    id: `${prefix}-${profile.id}`,
    unitId: i + 1,
    profile,
    role: roleOf(profile, preferred),
    serial: profile.serial?.type === 'string' ? `WL-${i}` : `${20_000_000 + i}`,
    startWh: { import: startOf(profile, i, 'import'), export: startOf(profile, i, 'export') },
  }))
}

interface OcmfPayload {
  readonly CI: string
  readonly MS: string
  readonly RD: readonly { readonly RI: string; readonly RV: number; readonly ST: string }[]
}

/** What a record says: of which meter, its serial number, and its registers in Wh by OBIS code. */
function readRecord(text: string): [point: string, said: { serial: string; registers: Record<string, number> }] {
  const { CI, MS, RD } = JSON.parse(text.split('|')[1] ?? '') as OcmfPayload
  const sound = RD.filter(({ ST }) => ST === 'G').map(({ RI, RV }) => [RI, Math.round(RV * 1000)])
  return [CI, { serial: MS, registers: Object.fromEntries(sound) }]
}

const obis = { import: '01-00:01.08.00*FF', export: '01-00:C2.08.00*FF' } as const
const directionsOf = { producer: ['export'], consumer: ['import'], bidirectional: ['import', 'export'] } as const

test('every profile: the simulator serves it, and the gateway signs it exactly over RTU and over TCP', async (t) => {
  const folder = makeTestFolder(t)
  const [modbus = 0, web = 0] = await freePorts(2)
  const onLine = pointsOf('rtu', 'consumer')
  const onTcp = pointsOf('tcp', 'producer')
  const meter = ({ id, unitId, profile, serial, startWh }: Point, place: object) => {
    return { id, unitId, profile: profile.id, serial, startWh, curve: { constant: { powerW: 0 } }, ...place }
  }
  const line = { path: join(folder, 'tty'), baudRate: 115_200, parity: 'even' }
  const simConfig = join(folder, 'sim.yaml')
  const sim = {
    version: 1,
    lines: [{ id: 'line', ...line }],
    meters: [
      ...onLine.map((point) => meter(point, { line: 'line' })),
      ...onTcp.map((point) => meter(point, { tcp: { host, port: modbus } })),
    ],
  }
  writeFileSync(simConfig, stringify(sim, { aliasDuplicateObjects: false }))
  const gatewayConfig = join(folder, 'gateway.yaml')
  const configured = ({ id, unitId, profile, role }: Point, bus: string) => {
    return { id, unitId, profile: profile.id, role, bus, intervalSeconds: 5 }
  }
  const gateway = {
    version: 1,
    gateway: { id: 'gw', dataDir: './gw' },
    buses: [
      { id: 'line', serial: line },
      { id: 'lan', tcp: { host, port: modbus } },
    ],
    meters: [...onLine.map((point) => configured(point, 'line')), ...onTcp.map((point) => configured(point, 'lan'))],
    web: { host, port: web },
  }
  writeFileSync(gatewayConfig, stringify(gateway))

  const simulator = new Program('sim', ['--config', simConfig])
  t.teardown(() => simulator.stop())
  await simulator.event('sim.started')
  const program = new Program('gateway', ['--config', gatewayConfig])
  t.teardown(() => program.stop())
  await program.event('gateway.started')
  for (;;) {
    const status = await fetchStatus(`http://${host}:${web}`)
    if (status?.points.every(({ lastSigned }) => (lastSigned?.sequence ?? 0) >= 2)) break
    if (!program.running) throw new Error(`the gateway ended: ${program.stderr}`)
    await sleep(100)
  }
  await program.stop()

  const { stdout } = await runCommand('gateway', ['export', '--config', gatewayConfig])
  const last = new Map(stdout.trim().split('\n').map(readRecord))
  for (const { id, role, startWh, profile, serial } of [...onLine, ...onTcp]) {
    const registers = Object.fromEntries(directionsOf[role].map((direction) => [obis[direction], startWh[direction]]))
    t.deepEqual(last.get(`gw ${id}`)?.registers, registers, id)
    if (profile.serial !== undefined) t.is(last.get(`gw ${id}`)?.serial, serial, id)
  }
})

test('a meter without a total that may be signed is refused for every role, with the reason', async (t) => {
  const folder = makeTestFolder(t)
  const config = join(folder, 'gateway.yaml')
  const meters = watching.map(({ id }, i) => ({ id, unitId: i + 1, profile: id, role: 'bidirectional', bus: 'lan' }))
  const gateway = { id: 'gw', dataDir: './gw' }
  const buses = [{ id: 'lan', tcp: { host, port: 502 } }]
  writeFileSync(config, stringify({ version: 1, gateway, buses, meters }))
  const { code, stderr } = await runCommand('gateway', ['--config', config, '--check-config'])
  t.not(code, 0)
  for (const [i, { id }] of watching.entries()) {
    t.regex(stderr, new RegExp(`meters\\[${i}\\]\\.profile: profile ${id}: no record can be made of it: .*counter`))
  }
  t.true(watching.some(({ id }) => id === 'siemens-pac2200'))
})
