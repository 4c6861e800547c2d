import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePorts } from '../src/demo/programs.ts'

/** The configs of one line from the meters to the ledger. */
export interface BenchLine {
  readonly simConfig: string
  readonly gatewayConfig: string
  readonly ledgerConfig: string
}

export interface BenchLineOptions {
  readonly folder: string
  readonly meters: number
  /** Each gateway on Modbus TCP has so many meters behind it, by unit id. */
  readonly metersPerBus: number
  readonly logLevel: 'debug' | 'info'
}

/** Meters that are read once a second over Modbus TCP, and a ledger with its own broker. */
export async function writeBenchLine(options: BenchLineOptions): Promise<BenchLine> {
  const { folder, metersPerBus, logLevel } = options
  const [mqtt = 0, web = 0, ...buses] = await freePorts(2 + Math.ceil(options.meters / metersPerBus))
  const meters = Array.from({ length: options.meters }, (_, at) => {
    const bus = Math.floor(at / metersPerBus)
    return { id: `m${at}`, unitId: 1 + (at % metersPerBus), bus: `lan-${bus}`, port: buses[bus] ?? 0 }
  })
  const host = '127.0.0.1'
  const profile = 'eastron-sdm630'
  const write = (name: string, content: object): string => {
    const path = join(folder, name)
    writeFileSync(path, stringify({ version: 1, ...content }))
    return path
  }
  return {
    simConfig: write('sim.yaml', {
      meters: meters.map(({ id, unitId, port }, seed) => ({
        id,
        unitId,
        profile,
        seed,
        tcp: { host, port },
        curve: 'solar',
      })),
    }),
    gatewayConfig: write('gateway.yaml', {
      gateway: { id: 'gw-1', dataDir: './gateway', logLevel },
      buses: buses.map((port, at) => ({ id: `lan-${at}`, tcp: { host, port } })),
      meters: meters.map(({ id, unitId, bus }) => ({
        id,
        unitId,
        bus,
        profile,
        role: 'producer',
        intervalSeconds: 1,
      })),
      mqtt: { url: `mqtt://${host}:${mqtt}` },
      web: { host, port: web },
    }),
    ledgerConfig: write('ledger.yaml', {
      ledger: { dataDir: './ledger', enrolment: 'open' },
      mqtt: { embedded: { host, port: mqtt } },
    }),
  }
}
