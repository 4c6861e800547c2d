import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { stringify } from 'yaml'
import { signDrivers } from '../src/demo/drivers-list.ts'
import type { House } from '../src/demo/house.ts'
import { Program, type ProgramName } from '../src/demo/programs.ts'

// For tests: a gateway with its ledger and four charging stations, all of which can be killed at any moment.

export const stations = [
  { id: 'CP1', ocpp: '1.6', driver: 'ben' },
  { id: 'CP2', ocpp: '1.6', driver: 'cleo' },
  { id: 'CP3', ocpp: '2.0.1', driver: 'dora' },
  { id: 'CP4', ocpp: '2.1', driver: 'emil' },
] as const
export type ChargerId = (typeof stations)[number]['id']

/** What each register begins with. */
export const startWh = 5_000
/** Simulated seconds in a second: single-phase, so that nothing is above what a station may be believed (SPEC-111). */
const speedUp = 60

// With a card that nobody can be asked about they charge all the same, and tell it later.
const settings = {
  '1.6': { AllowOfflineTxForUnknownId: 'true', StopTransactionOnInvalidId: 'false', MeterValueSampleInterval: '1' },
  '2.x': {
    'AuthCtrlr.OfflineTxForUnknownIdEnabled': 'true',
    'TxCtrlr.StopTxOnInvalidId': 'false',
    'SampledDataCtrlr.TxUpdatedInterval': '1',
  },
}

const stateSchema = v.object({
  transactionsMade: v.number(),
  registers: v.record(
    v.string(),
    v.pipe(
      v.string(),
      v.transform((text) => BigInt(text)),
    ),
  ),
  queue: v.array(v.unknown()),
  open: v.array(v.unknown()),
})

export interface LinePorts {
  readonly ocpp: number
  readonly mqtt: number
  readonly web: number
  /** Where the gateway finds the ledger and the operator's CSMS: lines that may be cut. */
  readonly ledgerLink: number
  readonly upstreamLink: number
}

/** The programs, their configurations, and what stations keep on their disks. */
export class ChargerLine {
  readonly house: House
  readonly #ports: LinePorts
  readonly #programs = new Map<string, Program>()

  private constructor(house: House, ports: LinePorts) {
    this.house = house
    this.#ports = ports
  }

  static async write(folder: string, ports: LinePorts): Promise<ChargerLine> {
    const drivers = await signDrivers(
      folder,
      stations.map(({ id, driver }) => ({ token: cardOf(id), driver })),
    )
    const house = {
      folder,
      simConfig: join(folder, 'sim.yaml'),
      gatewayConfig: join(folder, 'gateway.yaml'),
      ledgerConfig: join(folder, 'ledger.yaml'),
      webUrl: `http://127.0.0.1:${ports.web}`,
    }
    writeFileSync(
      house.gatewayConfig,
      stringify({
        version: 1,
        gateway: { id: 'gw-1', dataDir: './gateway' },
        // A gateway has a meter; this one is away, and is hardly asked.
        buses: [{ id: 'lan', tcp: { host: '127.0.0.1', port: 9 } }],
        meters: [
          {
            id: 'house',
            bus: 'lan',
            unitId: 1,
            profile: 'eastron-sdm630',
            role: 'consumer',
            owner: 'ada',
            intervalSeconds: 3600,
          },
        ],
        mqtt: { url: `mqtt://127.0.0.1:${ports.ledgerLink}` },
        ocpp: {
          host: '127.0.0.1',
          port: ports.ocpp,
          stations: stations.map(({ id }) => ({ id, owner: 'ada', connectors: [{ id: 1 }] })),
          upstream: { url: `ws://127.0.0.1:${ports.upstreamLink}`, pingSeconds: 2, callTimeoutSeconds: 5 },
        },
        drivers,
        web: { host: '127.0.0.1', port: ports.web },
      }),
    )
    writeFileSync(
      house.ledgerConfig,
      stringify({
        version: 1,
        ledger: { dataDir: './ledger', backend: 'sqlite', enrolment: 'open' },
        mqtt: { embedded: { host: '127.0.0.1', port: ports.mqtt } },
      }),
    )
    return new ChargerLine(house, ports)
  }

  /** Starts a program with what happens at its stations from now on; without visits they only tell what they have kept. */
  startChargers(ids: readonly ChargerId[], visitsOf: (id: ChargerId) => readonly object[]): Program {
    const configs = stations
      .filter(({ id }) => ids.includes(id))
      .map(({ id, ocpp }) => ({
        id,
        ocpp,
        url: `ws://127.0.0.1:${this.#ports.ocpp}`,
        dataDir: `./${id}`,
        evses: [{ startWh }],
        settings: settings[ocpp === '1.6' ? '1.6' : '2.x'],
        steps: visitsOf(id),
      }))
    const path = join(this.house.folder, `${nameOf(ids)}.yaml`)
    writeFileSync(path, stringify({ version: 1, stations: configs, time: { speedUp } }))
    return this.#start(nameOf(ids), 'sim', path)
  }

  async killChargers(ids: readonly ChargerId[]): Promise<void> {
    await this.kill(nameOf(ids))
  }

  startGateway(): Program {
    return this.#start('gateway', 'gateway', this.house.gatewayConfig)
  }

  startLedger(): Program {
    return this.#start('ledger', 'ledger', this.house.ledgerConfig)
  }

  /** Kills it with SIGKILL; throws where it has ended by itself. */
  async kill(name: string): Promise<void> {
    const program = this.#programs.get(name)
    if (program === undefined) return
    this.#programs.delete(name)
    if (!program.running) throw new Error(`${name} ended by itself: ${program.stderr}`)
    await program.stop('SIGKILL')
  }

  async stop(name: string): Promise<void> {
    await this.#programs.get(name)?.stop()
    this.#programs.delete(name)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#programs.values()].map((program) => program.stop('SIGKILL')))
  }

  /** What a station has on its disk. */
  keptBy(id: ChargerId): v.InferOutput<typeof stateSchema> {
    const path = join(this.house.folder, id, 'state.json')
    if (!existsSync(path)) return { transactionsMade: 0, registers: {}, queue: [], open: [] }
    return v.parse(stateSchema, JSON.parse(readFileSync(path, 'utf8')))
  }

  #start(name: string, program: ProgramName, config: string): Program {
    const started = new Program(program, ['--config', config])
    this.#programs.set(name, started)
    return started
  }
}

function nameOf(ids: readonly ChargerId[]): string {
  return ids.join('-')
}

export function cardOf(id: ChargerId): string {
  return `04${id}F00D`
}

/** Visits to a station for some minutes: each plugs in, shows the card, and goes in one way or the other. */
export function planVisits(id: ChargerId, random: () => number): readonly object[] {
  const idToken = cardOf(id)
  const vehicle = { phases: 1, batteryWh: 1_000_000 }
  const steps: object[] = []
  for (let at = 0.2; at < 300; ) {
    steps.push({ at, do: 'plug-in', vehicle }, { at: at + 0.2, do: 'present-card', idToken })
    const leaves = at + 1 + random() * 3
    if (random() < 0.6) steps.push({ at: leaves, do: 'present-card', idToken })
    if (random() < 0.2) steps.push({ at: leaves - 0.4, do: 'network-cut', for: 0.2 + random() * 2 })
    if (random() < 0.1) steps.push({ at: leaves - 0.4, do: 'power-cut', for: 0.5 })
    steps.push({ at: leaves + 0.2, do: 'unplug' })
    at = leaves + 0.4 + random()
  }
  return steps
}
