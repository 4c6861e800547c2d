// `make soak`: a ledger of a million records, each signed, sent, stored, verified and booked as any other (without the
// network in between), is checked again by `wattline-ledger verify`. Then each planted fault has to be found in it by the
// program, with its exit code, its code and its place. Prints time and memory. `node soak-verify.ts 100000` makes a
// smaller one; a folder as the second argument is kept, and used again; a third names some of the faults.
import { spawn } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { cp } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Sqlite from 'better-sqlite3'
import type { AuditReport } from '../src/audit/report.ts'
import { exitCodes } from '../src/exit-codes.ts'
import { databaseFile } from '../src/store/database.ts'
import type { PlantedFault } from './forge-entries.ts'
import { makeFullLedger, specialPoints } from './full-ledger.ts'
import { plantedBookings } from './planted-bookings.ts'
import { plantedFaults } from './planted-faults.ts'

const [, , wanted = '1000000', folder, only = ''] = process.argv
const fields = 20
const rounds = Math.ceil(Number(wanted) / (fields + specialPoints))
const lanes = Math.min(2, availableParallelism())
const dir = folder ?? mkdtempSync(join(tmpdir(), 'wattline-soak-'))
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const print = (text: string) => process.stdout.write(`${text}\n`)

function seconds(startMs: number): string {
  return `${((performance.now() - startMs) / 1000).toFixed(1)} s`
}

interface Verified {
  readonly code: number
  readonly report: AuditReport
  /** How long it took, and the most memory that it held. */
  readonly cost: string
}

/** Runs the program on the data in a folder. */
async function runVerify(home: string, ...options: string[]): Promise<Verified> {
  const config = join(home, 'ledger.yaml')
  writeFileSync(config, `version: 1\nledger: { dataDir: ./data }\nmqtt: { embedded: { host: 127.0.0.1, port: 0 } }\n`)
  const startMs = performance.now()
  const child = spawn(process.execPath, [main, 'verify', '--config', config, '--json', ...options])
  let [report, peakMb] = ['', 0]
  child.stdout.on('data', (chunk: Buffer) => {
    report += chunk.toString()
  })
  child.stderr.pipe(process.stderr)
  const watch = setInterval(() => {
    const peak = /VmHWM:\s+(\d+) kB/.exec(readStatus(child.pid))?.[1]
    peakMb = Math.max(peakMb, Math.round(Number(peak ?? 0) / 1024))
  }, 100)
  const [code] = await once(child, 'close')
  clearInterval(watch)
  const cost = `${seconds(startMs)}, at most ${peakMb} MB`
  return { code: Number(code), report: JSON.parse(report) as AuditReport, cost }
}

function readStatus(pid: number | undefined): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return '' // it has just ended
  }
}

/**
 * Commits a fault in such a way that it stands in the write-ahead log only: the connection that stays open cannot write,
 * so nothing is ever copied into the database, and the fault is undone by removing the log.
 */
function plantIn(home: string, { name, plant }: PlantedFault): () => void {
  const path = join(home, 'data', databaseFile)
  const guard = new Sqlite(path, { readonly: true })
  const db = new Sqlite(path)
  guard.prepare('SELECT count(*) FROM seal').get()
  db.pragma('foreign_keys = OFF')
  db.pragma('wal_autocheckpoint = 0')
  db.transaction(plant)(db)
  db.close()
  if (statSync(`${path}-wal`).size === 0) throw new Error(`${name}: changes nothing`)
  return () => {
    guard.close()
    for (const end of ['-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
  }
}

/** One core's work: takes the next fault that nobody has taken, plants it in a copy of its own, and has it found. */
async function runLane(home: string, faults: Iterator<PlantedFault>): Promise<void> {
  await cp(join(dir, 'data'), join(home, 'data'), { recursive: true })
  for (let next = faults.next(); next.done !== true; next = faults.next()) {
    const fault = next.value
    const undo = plantIn(home, fault)
    const { code, report, cost } = await runVerify(home, '--first')
    undo()
    const [found] = report.faults
    print(`${fault.name}: exit ${code}, ${found?.code} at ${found?.place}, ${cost}`)
    const isNamed = String(found?.code) === fault.code && fault.place.test(found?.place ?? '')
    if (code !== exitCodes.faulty || !isNamed)
      throw new Error(`${fault.name}: ${fault.code} at ${fault.place} expected`)
  }
  const [before, after] = [await digestOf(dir), await digestOf(home)]
  if (before !== after) throw new Error(`${home}: a fault was not undone`)
}

async function digestOf(home: string): Promise<string> {
  const blocks: string[] = []
  for await (const block of createReadStream(join(home, 'data', databaseFile), { highWaterMark: 1 << 20 })) {
    blocks.push(hash('sha256', block as Buffer))
  }
  return hash('sha256', blocks.join())
}

const homes = Array.from({ length: lanes }, (_, lane) => join(dir, `lane-${lane}`))
try {
  const dataDir = join(dir, 'data')
  if (!existsSync(join(dataDir, databaseFile))) {
    mkdirSync(dataDir, { recursive: true })
    const startMs = performance.now()
    print(`${makeFullLedger({ dataDir, rounds, fields })} records booked in ${seconds(startMs)}`)
  }
  for (const options of [[], ['--every-signature']]) {
    const { code, report, cost } = await runVerify(dir, ...options)
    print(`verify ${options.join(' ')}: exit ${code}, ${cost}: ${JSON.stringify(report)}`)
    if (code !== exitCodes.ok || !report.ok) throw new Error('a sound ledger is not found sound')
  }
  const startMs = performance.now()
  const chosen = [...plantedFaults, ...plantedBookings].filter(({ name }) => name.includes(only))
  const queue = chosen.values()
  await Promise.all(homes.map((home) => runLane(home, queue)))
  print(`${chosen.length} faults found in ${seconds(startMs)}, in ${lanes} lanes`)
} finally {
  for (const home of folder === undefined ? [dir] : homes) rmSync(home, { recursive: true, force: true })
}
