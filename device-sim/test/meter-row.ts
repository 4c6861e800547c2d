import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'

/** One meter of the row: what stands in for it, and how the gateway is told of it. */
export interface RowMeter {
  readonly id: string
  readonly profile?: string
  readonly startWh: bigint
  readonly serial?: string
  readonly faults?: readonly object[]
  readonly maxPowerW?: number
  readonly grid?: object
}

export interface RowPorts {
  readonly modbus: readonly number[]
  readonly mqtt: number
  readonly web: number
}

/** What every meter of the row imports: 100 Wh a second, so that a test need not wait for energy. */
export const powerW = 360_000

/** Writes the configs of meters that hang each on a port of its own, so that none can hold up another. */
export class MeterRow {
  readonly simConfig: string
  readonly gatewayConfig: string
  readonly ledgerConfig: string
  readonly webUrl: string
  readonly #ports: RowPorts

  constructor(folder: string, ports: RowPorts) {
    mkdirSync(folder, { recursive: true })
    this.#ports = ports
    this.simConfig = join(folder, 'sim.yaml')
    this.gatewayConfig = join(folder, 'gateway.yaml')
    this.ledgerConfig = join(folder, 'ledger.yaml')
    this.webUrl = `http://127.0.0.1:${ports.web}`
    writeFileSync(
      this.ledgerConfig,
      stringify({
        version: 1,
        ledger: { dataDir: './ledger', backend: 'sqlite', enrolment: 'open' },
        mqtt: { embedded: { host: '127.0.0.1', port: ports.mqtt } },
      }),
    )
  }

  write(meters: readonly RowMeter[]): void {
    const tcp = (at: number) => ({ host: '127.0.0.1', port: this.#ports.modbus[at] ?? 0 })
    const sim = meters.map(({ id, profile = 'eastron-sdm630', startWh, serial }, at) => ({
      id,
      profile,
      unitId: 1,
      tcp: tcp(at),
      curve: { constant: { powerW } },
      startWh: Number(startWh),
      ...(serial === undefined ? {} : { serial }),
    }))
    const faults = meters.flatMap(({ id, faults: own = [] }) => own.map((fault) => ({ meter: id, ...fault })))
    writeFileSync(this.simConfig, stringify({ version: 1, meters: sim, faults }))
    const read = meters.map(({ id, profile = 'eastron-sdm630', maxPowerW = 1_000_000, grid }) => ({
      id,
      bus: id,
      unitId: 1,
      profile,
      role: 'consumer',
      maxPowerW,
      intervalSeconds: 0.25,
      valuesIntervalSeconds: 1,
      ...(grid === undefined ? {} : { grid }),
    }))
    const gateway = {
      version: 1,
      gateway: { id: 'gw-1', dataDir: './gateway' },
      buses: meters.map(({ id }, at) => ({ id, tcp: tcp(at) })),
      meters: read,
      mqtt: { url: `mqtt://127.0.0.1:${this.#ports.mqtt}` },
      web: { host: '127.0.0.1', port: this.#ports.web },
    }
    writeFileSync(this.gatewayConfig, stringify(gateway))
  }
}
