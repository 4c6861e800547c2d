import { spawn } from 'node:child_process'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { stringify } from 'yaml'
import { type LedgerBooks, readLedger } from '../src/demo/ledger-books.ts'
import { freePorts, Program } from '../src/demo/programs.ts'
import { MemoryWatch } from './process-memory.ts'

export interface WeeksOptions {
  readonly folder: string
  readonly days: number
  readonly seed: number
  readonly drainTimeoutSeconds: number
}

/** What a gateway's life without its broker came to, and what catching up took. */
export interface WeeksOutcome {
  readonly readings: number
  readonly fillSeconds: number
  readonly drainSeconds: number
  readonly gatewayDatabaseMb: number
  readonly ledgerDatabaseMb: number
  /** Of the process that signs, at the end of each simulated day. */
  readonly fillMb: readonly number[]
  readonly drainPeakMb: number
  readonly ledgerPeakMb: number
  readonly mintedWh: number
  readonly burnedWh: number
  readonly carriedWh: number
  readonly failedPolls: number
  /** Each thing that does not balance, in words. */
  readonly problems: readonly string[]
}

interface Configs {
  readonly gateway: string
  readonly ledger: string
}

async function writeConfigs(folder: string): Promise<Configs> {
  mkdirSync(folder, { recursive: true })
  const [mqtt = 0, nobody = 0] = await freePorts(2)
  const write = (name: string, content: object): string => {
    const path = join(folder, name)
    writeFileSync(path, stringify({ version: 1, ...content }))
    return path
  }
  const meter = (id: string, role: string, profile: string) => ({ id, role, profile, bus: 'lan-1', owner: 'ada' })
  return {
    gateway: write('gateway.yaml', {
      gateway: { id: 'gw-1', dataDir: './gateway' },
      buses: [{ id: 'lan-1', tcp: { host: '127.0.0.1', port: nobody } }],
      meters: [
        { ...meter('roof', 'producer', 'eastron-sdm630'), unitId: 1, behind: 'house' },
        { ...meter('heat-pump', 'consumer', 'eastron-sdm120'), unitId: 2, behind: 'house' },
        { ...meter('house', 'bidirectional', 'eastron-sdm630'), unitId: 3 },
      ],
      mqtt: { url: `mqtt://127.0.0.1:${mqtt}` },
    }),
    ledger: write('ledger.yaml', {
      ledger: { dataDir: './ledger', enrolment: 'open' },
      mqtt: { embedded: { host: '127.0.0.1', port: mqtt } },
    }),
  }
}

const daySchema = v.object({ day: v.number(), residentMb: v.number() })
const countedSchema = v.object({
  meterId: v.string(),
  polls: v.number(),
  failed: v.number(),
  movedWh: v.object({ import: v.number(), export: v.number() }),
})
type Counted = v.InferOutput<typeof countedSchema>

interface Filled {
  readonly seconds: number
  readonly residentMb: readonly number[]
  readonly counted: readonly Counted[]
}

/** Has a gateway sign the weeks. What the meters counted comes from the meters, not from what was signed. */
async function fill({ gateway }: Configs, { days, seed }: WeeksOptions): Promise<Filled> {
  const script = fileURLToPath(new URL('../../gateway/test/fill-weeks.ts', import.meta.url))
  const startMs = performance.now()
  const child = spawn(process.execPath, [script, gateway, `${days}`, `${seed}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const residentMb: number[] = []
  const counted: Counted[] = []
  const lines = createInterface({ input: child.stdout })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  for await (const line of lines) {
    const told = v.parse(v.union([daySchema, countedSchema]), JSON.parse(line))
    if ('day' in told) residentMb.push(told.residentMb)
    else counted.push(told)
  }
  const code = await exited
  if (code !== 0) throw new Error(`filling ended with ${code}`)
  return { seconds: (performance.now() - startMs) / 1000, residentMb, counted }
}

interface Drained {
  readonly seconds: number
  readonly gatewayPeakMb: number
  readonly ledgerPeakMb: number
}

/** The broker is back: everything goes out, as fast as the programs can. */
async function catchUp(configs: Configs, { drainTimeoutSeconds }: WeeksOptions): Promise<Drained> {
  const ledger = new Program('ledger', ['--config', configs.ledger])
  try {
    await ledger.event('mqtt.connected')
    const ledgerMemory = new MemoryWatch(ledger.pid)
    const startMs = performance.now()
    const gateway = new Program('gateway', [
      'drain',
      '--config',
      configs.gateway,
      '--timeout',
      `${drainTimeoutSeconds}`,
    ])
    const gatewayMemory = new MemoryWatch(gateway.pid)
    const code = await gateway.exited
    const seconds = (performance.now() - startMs) / 1000
    const peaks = { gatewayPeakMb: gatewayMemory.stop(), ledgerPeakMb: ledgerMemory.stop() }
    if (code !== 0) throw new Error(`draining ended with ${code}: ${gateway.stderr}`)
    return { seconds, ...peaks }
  } finally {
    await ledger.stop()
  }
}

/** Compares what the meters counted with what the ledger booked. */
function listProblems(counted: readonly Counted[], { balances, quarantine, audit }: LedgerBooks): readonly string[] {
  const netOf = ({ movedWh }: Counted) => BigInt(movedWh.export - movedWh.import)
  const points = counted.map((meter) => ({
    meter,
    booked: balances.points.find(({ point }) => point === `gw-1/${meter.meterId}`),
  }))
  const treeWh = points.reduce((sum, { booked }) => sum + (booked?.mintedWh ?? 0n) - (booked?.burnedWh ?? 0n), 0n)
  const expect = (fits: boolean, problem: string) => (fits ? [] : [problem])
  return points
    .flatMap(({ meter, booked }) => {
      const { meterId, polls, movedWh } = meter
      if (booked === undefined) return [`${meterId}: unknown to the ledger`]
      const wanted = meterId === 'house' ? netOf(meter) - booked.carriedWh : netOf(meter)
      const came = meterId === 'house' ? treeWh : booked.mintedWh - booked.burnedWh
      return [
        ...expect(booked.records === polls, `${meterId}: ${polls} polls, ${booked.records} records accepted`),
        ...expect(booked.sequence === polls, `${meterId}: ${polls} polls, the last sequence is ${booked.sequence}`),
        ...expect(came === wanted, `${meterId}: the registers moved by ${wanted} Wh, ${came} Wh were booked`),
        ...expect(meterId === 'house' || movedWh.import + movedWh.export > 0, `${meterId}: nothing was measured`),
      ]
    })
    .concat(
      audit.faults.map(({ place, code, message }) => `${place}: ${code}: ${message}`),
      quarantine.messages.map(({ code, reason }) => `quarantine: ${code}: ${reason}`),
      expect(audit.ok && balances.balanced, 'the ledger does not verify'),
      expect(balances.mintedWh - balances.burnedWh === balances.supplyWh, 'minted − burned is not the supply'),
    )
}

function megabytesOf(...path: string[]): number {
  return statSync(join(...path)).size / 1e6
}

/**
 * A gateway signs for weeks of virtual time without a broker, one reading a minute from each of three meters. Then the
 * ledger comes to be, everything is drained, and the ledger's books are compared with what the meters counted.
 */
export async function runWithoutBroker(options: WeeksOptions): Promise<WeeksOutcome> {
  const { folder } = options
  const configs = await writeConfigs(folder)
  const filled = await fill(configs, options)
  const drained = await catchUp(configs, options)
  const books = await readLedger(configs.ledger)
  const { balances } = books
  return {
    readings: filled.counted.reduce((sum, { polls }) => sum + polls, 0),
    fillSeconds: filled.seconds,
    drainSeconds: drained.seconds,
    gatewayDatabaseMb: megabytesOf(folder, 'gateway', 'gateway.db'),
    ledgerDatabaseMb: megabytesOf(folder, 'ledger', 'ledger.db'),
    fillMb: filled.residentMb,
    drainPeakMb: drained.gatewayPeakMb,
    ledgerPeakMb: drained.ledgerPeakMb,
    mintedWh: Number(balances.mintedWh),
    burnedWh: Number(balances.burnedWh),
    carriedWh: Number(balances.points.reduce((sum, { carriedWh }) => sum + carriedWh, 0n)),
    failedPolls: filled.counted.reduce((sum, { failed }) => sum + failed, 0),
    problems: listProblems(filled.counted, books),
  }
}

/** However long the broker was away, memory must not depend on it: so many times a Node that does nothing. */
const peakShare = 10
/** And signing for weeks takes no more than signing for days, but for what a garbage collector leaves to itself. */
const growthShare = 2

/** Says where memory was not bounded. */
export function listMemoryProblems(outcome: WeeksOutcome, idleMb: number): readonly string[] {
  const { fillMb, drainPeakMb, ledgerPeakMb } = outcome
  const [firstMb = 0] = fillMb
  const peaks = {
    'the gateway that drained': drainPeakMb,
    'the ledger': ledgerPeakMb,
    'the gateway that signed': Math.max(...fillMb),
  }
  const high = Object.entries(peaks).filter(([, peakMb]) => peakMb > peakShare * idleMb)
  return [
    ...high.map(([who, peakMb]) => `${who} took ${peakMb} MB, an idle Node ${idleMb}`),
    ...(Math.max(...fillMb) > growthShare * firstMb
      ? [`signing grew from ${firstMb} to ${Math.max(...fillMb)} MB`]
      : []),
  ]
}
