import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { chargers, gatewayCharging, type HouseCharging, owner, simStations } from './house-chargers.ts'

/** Simulated seconds per real second: twenty seconds of demo are forty minutes of a summer's day. */
export const speedUp = 120

/** Where the files of one house lie, and which ports it talks on. */
export interface House {
  readonly folder: string
  readonly simConfig: string
  readonly gatewayConfig: string
  readonly ledgerConfig: string
  readonly webUrl: string
}

export interface HousePorts {
  readonly modbus: number
  readonly mqtt: number
  readonly web: number
}

/** What a test may want otherwise than the demo has it. */
export interface HouseOptions {
  /** A broker that already runs; the ledger's own where it is left out. */
  readonly brokerUrl?: string
  readonly intervalSeconds?: number
  /** Without it there are no chargers. */
  readonly charging?: HouseCharging
  /** How the ledger meets metering points; `open` where it is left out. */
  readonly enrolment?: 'open' | 'signed'
}

/**
 * A house with a grid meter on Modbus TCP, and behind it a roof and a battery inverter on one RS-485 line, and charging
 * stations where they are wanted. Each meter sees only its own flow; the grid meter sees the sum, as in a real cabinet.
 */
export function writeHouse(folder: string, ports: HousePorts, options: HouseOptions = {}): House {
  mkdirSync(folder, { recursive: true })
  const line = join(folder, 'ttySIM')
  // A Modbus register gains 120 Wh here while a real one gains 1 Wh: the fuse must look as much larger.
  const maxPowerW = 43_000 * speedUp
  const intervalSeconds = options.intervalSeconds ?? 1
  const meter = { intervalSeconds, maxPowerW, owner }
  const { charging } = options
  const stations = charging === undefined ? [] : chargers
  const write = (name: string, content: object): string => {
    const path = join(folder, name)
    writeFileSync(path, stringify(content))
    return path
  }
  return {
    folder,
    simConfig: write('sim.yaml', {
      version: 1,
      lines: [{ id: 'rs485-1', path: line, baudRate: 9600, parity: 'none' }],
      meters: [
        {
          id: 'house',
          profile: 'sunspec-meter-203',
          unitId: 2,
          tcp: { host: '127.0.0.1', port: ports.modbus },
          curve: 'household',
          sees: ['roof', 'battery', ...stations.map(({ id }) => id)],
          seed: 8,
        },
        { id: 'roof', profile: 'eastron-sdm630', unitId: 1, line: 'rs485-1', curve: 'solar', seed: 7 },
        { id: 'battery', profile: 'eastron-sdm120', unitId: 3, line: 'rs485-1', curve: 'battery', seed: 9 },
      ],
      ...(charging === undefined ? {} : { stations: simStations(charging.port) }),
      time: { speedUp, startsAt: '2026-06-21T11:00:00Z' },
    }),
    gatewayConfig: write('gateway.yaml', {
      version: 1,
      gateway: { id: 'gw-1', dataDir: './gateway' },
      buses: [
        { id: 'lan-1', tcp: { host: '127.0.0.1', port: ports.modbus } },
        { id: 'rs485-1', serial: { path: line, baudRate: 9600, parity: 'none', stopBits: 1 } },
      ],
      meters: [
        { id: 'house', bus: 'lan-1', unitId: 2, profile: 'sunspec-meter-203', role: 'bidirectional', ...meter },
        {
          id: 'roof',
          bus: 'rs485-1',
          unitId: 1,
          profile: 'eastron-sdm630',
          role: 'producer',
          behind: 'house',
          ...meter,
        },
        {
          id: 'battery',
          bus: 'rs485-1',
          unitId: 3,
          profile: 'eastron-sdm120',
          role: 'storage',
          behind: 'house',
          ...meter,
        },
      ],
      mqtt: { url: options.brokerUrl ?? `mqtt://127.0.0.1:${ports.mqtt}` },
      ...(charging === undefined ? {} : gatewayCharging(charging, maxPowerW)),
      web: { host: '127.0.0.1', port: ports.web },
    }),
    ledgerConfig: write('ledger.yaml', {
      version: 1,
      ledger: { dataDir: './ledger', backend: 'sqlite', enrolment: options.enrolment ?? 'open' },
      mqtt:
        options.brokerUrl === undefined
          ? { embedded: { host: '127.0.0.1', port: ports.mqtt } }
          : { url: options.brokerUrl },
    }),
    webUrl: `http://127.0.0.1:${ports.web}`,
  }
}
