import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  decodeEnergySnapshot,
  type EnergyDirection,
  energyMeasurands,
  findSunSpecModel,
  isEnergyTotal,
  type MeterProfile,
  planEnergySnapshot,
  type WattError,
} from '@wattline/protocol'
import type { ExecutionContext } from 'ava'
import ModbusRtu from 'modbus-serial'
import { decodeSimConfig } from '../src/decode-config.ts'
import { Ports } from '../src/ports.ts'
import { loadProfile } from '../src/profiles.ts'
import { Simulation } from '../src/simulation.ts'
import { realTimers } from '../src/timers.ts'

export const ids = readdirSync(new URL('../../hardware/meters/', import.meta.url))
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => name.replace('.yaml', ''))
export const host = '127.0.0.1'
export const readEnergies = Uint8Array.of(4, 0, 0x48, 0, 4)

// Below 8192 kWh a float32 in kWh shows every Wh; the coarsest counters have steps of 100 Wh.
export const still = { curve: { constant: { powerW: 0 } }, startWh: { import: 1_234_500, export: 7_654_300 } }
export const stillWh = { import: 1_234_500n, export: 7_654_300n }

export interface Rig {
  readonly simulation: Simulation
  readonly ports: Ports
  readonly folder: string
  portOf(meterId: string): number
}

export async function start(t: ExecutionContext, config: object): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'sim-'))
  const text = JSON.stringify({ version: 1, ...config }).replaceAll('FOLDER', folder)
  const checked = decodeSimConfig(JSON.parse(text), 'test', loadProfile)
  const simulation = new Simulation(checked, realTimers)
  const onLost = (error: WattError) => t.fail(error.message)
  const ports = new Ports({ config: checked.config, simulation, timers: realTimers, onLost })
  await ports.open()
  simulation.start()
  t.teardown(async () => {
    await ports.close()
    rmSync(folder, { recursive: true })
  })
  const portOf = (meterId: string) => {
    const found = ports.describe().find(({ meters }) => Array.isArray(meters) && meters.includes(meterId))
    return Number(found?.['port'])
  }
  return { simulation, ports, folder, portOf }
}

export type Read = (functionCode: 3 | 4, address: number, count: number) => Promise<readonly number[]>

export const directionsOf = (profile: MeterProfile): readonly EnergyDirection[] =>
  (['import', 'export'] as const).filter((direction) =>
    profile.quantities.some((q) => isEnergyTotal(q) && q.measurand === energyMeasurands[direction]),
  )

export async function readRegisters(read: Read, profile: MeterProfile): Promise<Record<string, bigint | undefined>> {
  const base = profile.sunspec === undefined ? 0 : (await findSunSpecModel(read, profile.sunspec.model)).address
  const registers: Record<string, bigint | undefined> = {}
  for (const direction of directionsOf(profile)) {
    const plan = planEnergySnapshot(profile, [direction], base)
    const words = await read(plan.functionCode, plan.address, plan.count)
    registers[direction] = decodeEnergySnapshot(plan, words)[direction]?.registerWh
  }
  return registers
}

export const expected = (profile: MeterProfile) =>
  Object.fromEntries(directionsOf(profile).map((direction) => [direction, stillWh[direction]]))

/** Another party's Modbus TCP client. */
export async function openTcpClient(t: ExecutionContext, port: number, unitId = 5): Promise<Read> {
  const client = new ModbusRtu.default()
  await client.connectTCP(host, { port })
  t.teardown(() => client.close(() => {}))
  client.setID(unitId)
  client.setTimeout(10_000)
  return async (functionCode, address, count) => {
    const answer =
      functionCode === 3 ? client.readHoldingRegisters(address, count) : client.readInputRegisters(address, count)
    return (await answer).data
  }
}

export const signing = ids.map((id) => loadProfile(id)).filter(({ cannotSign }) => cannotSign === undefined)
export const everyProfile = (place: object) =>
  signing.map((profile, i) => ({ id: profile.id, profile: profile.id, unitId: i + 1, ...place, ...still }))

/** A TCP peer that sees every byte. */
export async function dial(t: ExecutionContext, port: number) {
  const socket: Socket = connect({ host, port })
  await once(socket, 'connect')
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  return { socket, ...collect((onBytes) => socket.on('data', onBytes)) }
}

export function collect(subscribe: (onBytes: (bytes: Buffer) => void) => void) {
  let received: Buffer = Buffer.alloc(0)
  let wake = () => {}
  subscribe((bytes) => {
    received = Buffer.concat([received, bytes])
    wake()
  })
  return {
    received: () => received,
    /** Waits for that many bytes and takes them. */
    async receive(count: number): Promise<Buffer> {
      while (received.length < count)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      const taken = received.subarray(0, count)
      received = received.subarray(count)
      return taken
    },
  }
}
