import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type House, writeHouse } from '../src/demo/house.ts'
import { freePorts, Program } from '../src/demo/programs.ts'
import { drain, makeReport, type Report } from '../src/demo/report.ts'
import { fetchStatus } from '../src/demo/status.ts'
import { makeRandom } from '../src/random.ts'
import { Mosquitto } from './mosquitto.ts'

export interface CrashLoopOptions {
  readonly folder: string
  readonly kills: number
  readonly seed: number
  readonly say: (line: string) => void
}

const victims = ['gateway', 'ledger', 'broker'] as const
type Victim = (typeof victims)[number]

/** Two programs and a broker that can be killed and started again at any moment. */
class FragileLine {
  readonly house: House
  readonly #broker: Mosquitto
  readonly #programs = new Map<'gateway' | 'ledger', Program>()

  constructor(house: House, broker: Mosquitto) {
    this.house = house
    this.#broker = broker
  }

  async start(victim: Victim): Promise<void> {
    if (victim === 'broker') return this.#broker.start()
    const config = victim === 'gateway' ? this.house.gatewayConfig : this.house.ledgerConfig
    this.#programs.set(victim, new Program(victim, ['--config', config]))
  }

  async kill(victim: Victim): Promise<void> {
    if (victim === 'broker') return this.#broker.kill()
    const program = this.#programs.get(victim)
    if (program !== undefined && !program.running) {
      throw new Error(`${victim} ended by itself: ${program.stderr}`)
    }
    await program?.stop('SIGKILL')
  }

  async stop(victim: Victim): Promise<number | null> {
    if (victim === 'broker') {
      await this.#broker.kill('SIGTERM')
      return 0
    }
    return (await this.#programs.get(victim)?.stop()) ?? null
  }
}

/** Each metering point has at least so many records at the end, however slow the machine and whatever was killed. */
const leastRecords = 30

async function untilSigned({ webUrl }: House, records: number): Promise<void> {
  for (const since = Date.now(); Date.now() - since < 60_000; await sleep(250)) {
    const points = (await fetchStatus(webUrl))?.points ?? []
    if (points.length > 0 && points.every(({ lastSigned }) => (lastSigned?.sequence ?? 0) >= records)) return
  }
  throw new Error(`not every metering point has ${records} records a minute after the last kill`)
}

/**
 * Kills gateway, ledger and broker with SIGKILL at random moments while readings flow, starts each again after a
 * random pause, lets the line drain, and reports what the ledger booked of what the gateway signed.
 */
export async function runCrashLoop({ folder, kills, seed, say }: CrashLoopOptions): Promise<Report> {
  const random = makeRandom(seed)
  const [modbus = 0, mqtt = 0, web = 0] = await freePorts(3)
  const broker = new Mosquitto(folder, mqtt)
  const house = writeHouse(folder, { modbus, mqtt, web }, { brokerUrl: broker.url, intervalSeconds: 0.25 })
  const line = new FragileLine(house, broker)
  const sim = new Program('sim', ['--config', house.simConfig])
  const counts = { gateway: 0, ledger: 0, broker: 0 }
  try {
    await sim.event('sim.started')
    for (const victim of ['broker', 'ledger', 'gateway'] as const) await line.start(victim)
    await sleep(2500)
    for (let kill = 0; kill < kills; kill++) {
      const victim = victims[Math.floor(random() * victims.length)] ?? 'gateway'
      await sleep(200 + random() * 1500)
      await line.kill(victim)
      counts[victim]++
      await sleep(random() * 600)
      await line.start(victim)
    }
    say(`seed ${seed}: killed ${JSON.stringify(counts)}`)
    await untilSigned(house, leastRecords)
    // Nothing flows any more, and each meter is read some more times: then the tree's books close exactly.
    sim.signal('SIGHUP')
    await sleep(2500)
    await line.stop('gateway')
    await drain(house, 60)
    return await makeReport(house)
  } finally {
    for (const victim of victims) await line.kill(victim).catch(() => {})
    await sim.stop()
    rmSync(`${folder}/ttySIM`, { force: true })
  }
}
