// `make demo`: starts simulator, ledger and gateway as they ship, shows the line live, and at the end compares what
// was signed with what was booked.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { signDrivers } from './drivers-list.ts'
import { type House, speedUp, writeHouse } from './house.ts'
import { chargers } from './house-chargers.ts'
import { freePorts, Program, type ProgramName } from './programs.ts'
import { drain, makeReport, type Report } from './report.ts'
import type { SessionReport } from './session-report.ts'
import { fetchStatus } from './status.ts'
import { LiveView } from './table.ts'

const drainSeconds = 60
const refreshMs = 500
/** The first reading may have been under way, the second is the last that counts, the third lets its parent settle it. */
const settleReadings = 3
const settleSeconds = 15
const stationSeconds = 30
const { stdout, stderr } = process

class Interrupted extends Error {}

interface DemoOptions {
  readonly durationSeconds: number | undefined
  readonly reportPath: string | undefined
}

function readOptions(): DemoOptions {
  const { values } = parseArgs({ options: { duration: { type: 'string' }, report: { type: 'string' } } })
  const durationSeconds = values.duration === undefined ? undefined : Number(values.duration)
  if (durationSeconds !== undefined && !(durationSeconds > 0)) {
    throw new Error(`DURATION: seconds above 0 expected, got '${values.duration}'`)
  }
  return { durationSeconds, reportPath: values.report === undefined ? undefined : resolve(values.report) }
}

/** A folder of its own for each run, so that its data stays. */
function makeFolder(): string {
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-')
  const folder = join(fileURLToPath(new URL('../../../data/', import.meta.url)), `demo-${stamp}`)
  mkdirSync(folder, { recursive: true })
  return folder
}

async function makeHouse(): Promise<House> {
  const folder = makeFolder()
  const [[modbus = 0, mqtt = 0, web = 0, ocpp = 0], drivers] = await Promise.all([
    freePorts(4),
    signDrivers(folder, chargers),
  ])
  return writeHouse(folder, { modbus, mqtt, web }, { charging: { port: ocpp, drivers } })
}

/** Starts a program, notes it as one to be stopped, and waits until it says that it runs. */
async function start(programs: Program[], name: ProgramName, config: string): Promise<Program> {
  const program = new Program(name, ['--config', config])
  programs.push(program)
  await program.event(`${name}.started`)
  return program
}

/** The drivers come once the gateway has taken their stations: from here on the time counts. */
async function stationsTaken(sim: Program): Promise<void> {
  const limit = AbortSignal.timeout(stationSeconds * 1000)
  const late = new Promise<never>((_, reject) => {
    limit.onabort = () => reject(new Error(`the gateway did not take every station within ${stationSeconds} s`))
  })
  const taken = chargers.map(({ id }) =>
    sim.event((line) => line.event === 'sim.station.connection.accepted' && line['station'] === id),
  )
  await Promise.race([Promise.all(taken), late])
}

async function watch(house: House, untilMs: number, programs: readonly Program[], isInterrupted: () => boolean) {
  const view = new LiveView(stdout)
  const startMs = performance.now()
  while (performance.now() < untilMs && !isInterrupted()) {
    const ended = programs.find((program) => !program.running)
    if (ended !== undefined) throw new Error(`${ended.name} ended by itself: ${ended.stderr}`)
    const status = await fetchStatus(house.webUrl)
    const seconds = (performance.now() - startMs) / 1000
    const simulated = `${((seconds * speedUp) / 60).toFixed(0)} simulated minutes`
    if (status !== undefined) view.show(status, `${seconds.toFixed(1)} s, ${simulated}`, performance.now())
    await sleep(Math.min(refreshMs, Math.max(0, untilMs - performance.now())))
  }
}

/**
 * The meters are read one after the other, so their last registers are of different moments. Nothing flows any more
 * from here on, and each meter is read again until all agree: then the house's books close to the last watt-hour.
 */
async function settle(house: House, sim: Program): Promise<void> {
  sim.signal('SIGHUP')
  const before = await fetchStatus(house.webUrl)
  // A charger where nobody came yet has no chain that anybody would wait for.
  const spoken = before?.points.flatMap(({ id, lastSigned }) => (lastSigned ? [{ id, ...lastSigned }] : [])) ?? []
  const target = new Map(spoken.map(({ id, sequence }) => [id, sequence + settleReadings]))
  const untilMs = performance.now() + settleSeconds * 1000
  while (performance.now() < untilMs) {
    const status = await fetchStatus(house.webUrl)
    if (status?.points.every(({ id, lastSigned }) => (lastSigned?.sequence ?? 0) >= (target.get(id) ?? 0))) return
    await sleep(100)
  }
}

const kwh = (wh: number) => `${(wh / 1000).toFixed(3)} kWh`

function summariseSession({ station, place, driver, wh, state, completeness, entry }: SessionReport): string {
  const booked = entry === undefined ? state : `booked as entry ${entry}`
  return `  session at ${station}/${place} by ${driver ?? 'nobody known'}: ${kwh(wh)}, ${completeness}, ${booked}`
}

function summarise(report: Report): string {
  const points = report.points.map(
    ({ id, records, receiptsUpTo, mintedWh, burnedWh }) =>
      `  ${id.padEnd(10)} ${records} records, receipts up to ${receiptsUpTo}, minted ${kwh(mintedWh)}, burned ${kwh(burnedWh)}`,
  )
  const total = `minted ${kwh(report.mintedWh)} - burned ${kwh(report.burnedWh)} = ${kwh(report.supplyWh)} of WATT`
  const verdict = report.balanced ? 'everything balances' : `NOT balanced:\n  ${report.problems.join('\n  ')}`
  const lines = [...points, ...report.sessions.map(summariseSession)]
  return `${lines.join('\n')}\n${total}, carried ${kwh(report.carriedWh)}; ${verdict}\n`
}

async function runDemo({ durationSeconds, reportPath }: DemoOptions): Promise<boolean> {
  let interrupted = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => (interrupted = true))
  const house = await makeHouse()
  const programs: Program[] = []
  try {
    const [sim] = await Promise.all([
      start(programs, 'sim', house.simConfig),
      start(programs, 'ledger', house.ledgerConfig),
    ])
    const gateway = await start(programs, 'gateway', house.gatewayConfig)
    await stationsTaken(sim)
    stdout.write(`the line runs; its files are in ${house.folder}, the gateway answers at ${house.webUrl}/status\n`)
    const untilMs =
      durationSeconds === undefined ? Number.POSITIVE_INFINITY : performance.now() + durationSeconds * 1000
    await watch(house, untilMs, programs, () => interrupted)
    if (interrupted && durationSeconds !== undefined) throw new Interrupted('interrupted before the end')
    stdout.write('draining ...\n')
    await settle(house, sim)
    await gateway.stop()
    await drain(house, drainSeconds)
    const report = await makeReport(house)
    if (reportPath !== undefined) writeFileSync(reportPath, `${JSON.stringify(report, null, 2)}\n`)
    stdout.write(summarise(report))
    return report.balanced
  } finally {
    // The gateway first, so that nothing is signed as missing while the others go.
    for (const program of programs.toReversed()) await program.stop()
  }
}

try {
  process.exitCode = (await runDemo(readOptions())) ? 0 : 1
} catch (error) {
  stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = error instanceof Interrupted ? 130 : 1
}
