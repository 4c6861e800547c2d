import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { stringify } from 'yaml'
import { freePorts, Program, runCommand } from '../src/demo/programs.ts'

// For tests: a gateway and a simulator of charging stations as they ship, and what a person can ask of them.

/** A card that every station has in its own list. */
export const knownCard = 'CARD'

// What a station has kept from another day: it knows one card, so that it needs nobody to begin.
const stateText = JSON.stringify({
  version: 1,
  transactionsMade: 0,
  registers: {},
  queue: [],
  open: [],
  givenIds: {},
  settings: {},
  localList: { version: 1, entries: [{ idToken: knownCard, status: 'Accepted' }] },
  cache: [],
  reservations: [],
  profiles: [],
  inoperative: [],
})

/** One message as `ocpp messages --json` prints it. */
export interface KeptMessage {
  readonly station: string
  readonly action: string
  readonly outcome: 'accepted' | 'mended' | 'quarantined'
  readonly notes: readonly string[]
  readonly frame: string
}

const mostTries = 3

interface Reply {
  readonly ok: boolean
  readonly result?: unknown
  readonly code?: string
  readonly message?: string
}

export interface StationLine {
  readonly folder: string
  readonly config: string
  readonly gateway: Program
  readonly url: string
  /** What `ocpp call` and its like send to the running gateway. */
  ask(request: object): Promise<Reply>
  /** Asks a station, again where it does not answer. */
  call(station: string, action: string, payload: object): Promise<Reply>
  messages(): Promise<readonly KeptMessage[]>
  ocpp(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>
  /** Stations with what they have kept in a folder of this name. */
  startSim(stations: readonly object[], folder?: string): Promise<Program>
}

/** Starts a gateway that serves stations; `ocpp` stands in its configuration. */
export async function startStationLine(
  t: Pick<ExecutionContext, 'teardown'>,
  ocpp: object,
  prepare: (config: string) => Promise<void> = async () => {},
): Promise<StationLine> {
  const folder = mkdtempSync(join(tmpdir(), 'wattline-ocpp-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const [modbus = 0] = await freePorts(1)
  const config = join(folder, 'gateway.yaml')
  writeFileSync(
    config,
    stringify({
      version: 1,
      gateway: { id: 'gw-1', dataDir: './data' },
      buses: [{ id: 'lan', tcp: { host: '127.0.0.1', port: modbus } }],
      meters: [{ id: 'house', bus: 'lan', unitId: 1, profile: 'eastron-sdm630', role: 'consumer' }],
      ocpp: { host: '127.0.0.1', port: 0, ...ocpp },
    }),
  )
  await prepare(config)
  const gateway = new Program('gateway', ['--config', config])
  t.teardown(() => gateway.stop('SIGKILL'))
  const { url } = await gateway.event('ocpp.started')
  const ask = (request: object) => askSocket(join(folder, 'data/control.sock'), request)
  return {
    folder,
    config,
    gateway,
    url: String(url),
    ask,
    call: async (station, action, payload) => {
      for (let left = mostTries; ; left--) {
        const reply = await ask({ command: 'call', station, action, payload })
        // A busy machine is no fault of the station.
        if (left === 0 || reply.ok || reply.code === 'station/refused' || reply.code === 'message/invalid') return reply
      }
    },
    ocpp: (...args) => runCommand('gateway', ['ocpp', ...args, '--config', config]),
    messages: async () => {
      const { stdout } = await runCommand('gateway', ['ocpp', 'messages', '--json', '--config', config])
      const lines = stdout.split('\n').filter((line) => line !== '')
      return lines.map((line) => JSON.parse(line))
    },
    startSim: async (stations, name = 'stations') => {
      const sim = new Program('sim', [
        '--config',
        writeSim(join(folder, name), name === 'stations' ? modbus : 0, stations),
      ])
      t.teardown(() => sim.stop('SIGKILL'))
      await sim.event('sim.started')
      return sim
    },
  }
}

function writeSim(folder: string, modbus: number, stations: readonly object[]): string {
  const path = join(folder, 'sim.yaml')
  const all = stations.map((station) => {
    const id = String(Reflect.get(station, 'id'))
    const dataDir = join(folder, id)
    mkdirSync(dataDir, { recursive: true })
    writeFileSync(join(dataDir, 'state.json'), stateText)
    return { dataDir, ...station }
  })
  const tcp = { host: '127.0.0.1', port: modbus }
  const meters = [{ id: 'house', profile: 'eastron-sdm630', unitId: 1, tcp, curve: 'household' }]
  writeFileSync(path, stringify({ version: 1, meters, stations: all, time: { speedUp: 60 } }))
  return path
}

function askSocket(path: string, request: object): Promise<Reply> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(path, () => socket.write(`${JSON.stringify(request)}\n`))
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += String(chunk)
    })
    socket.on('error', reject)
    socket.on('close', () => (text === '' ? reject(new Error('the gateway went away')) : resolve(JSON.parse(text))))
  })
}
