// `make soak`: a ledger of a million records, each signed, sent, stored, verified and booked as any other (without the
// network in between), is checked again by `wattline-ledger verify`; then each planted fault has to be found in it, and
// its place named. Prints time and memory. `node soak-verify.ts 100000` makes a smaller one; a folder as the second
// argument is kept, and used again.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Sqlite from 'better-sqlite3'
import { auditLedger } from '../src/audit/audit.ts'
import { readWitnesses } from '../src/audit/witness.ts'
import { Database, databaseFile } from '../src/store/database.ts'
import { makeFullLedger } from './full-ledger.ts'
import { plantedFaults } from './planted-faults.ts'
import { fastVerifier } from './rig.ts'

const [, , wanted = '1000000', folder, only = ''] = process.argv
const fields = 20
const rounds = Math.ceil(Number(wanted) / (fields + 5))
const dir = folder ?? mkdtempSync(join(tmpdir(), 'wattline-soak-'))
const dataDir = join(dir, 'data')
const print = (text: string) => process.stdout.write(`${text}\n`)

function seconds(startMs: number): string {
  return `${((performance.now() - startMs) / 1000).toFixed(1)} s`
}

/** Runs the program, and gives what it printed, its exit code and the most memory that it held. */
async function runVerify(...more: string[]): Promise<{ code: number | null; report: string; peakMb: number }> {
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
  const config = join(dir, 'ledger.yaml')
  writeFileSync(config, `version: 1\nledger: { dataDir: ./data }\nmqtt: { embedded: { host: 127.0.0.1, port: 0 } }\n`)
  const child = spawn(process.execPath, [main, 'verify', '--config', config, '--json', ...more])
  let [report, peakMb] = ['', 0]
  child.stdout.on('data', (chunk: Buffer) => {
    report += chunk.toString()
  })
  child.stderr.pipe(process.stderr)
  const watch = setInterval(() => {
    const peak = /VmHWM:\s+(\d+) kB/.exec(readStatus(child.pid))?.[1]
    peakMb = Math.max(peakMb, Math.round(Number(peak ?? 0) / 1024))
  }, 100)
  const code = await new Promise<number | null>((resolve) => child.once('close', (status) => resolve(status)))
  clearInterval(watch)
  return { code, report, peakMb }
}

function readStatus(pid: number | undefined): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return '' // it has just ended
  }
}

function auditWith(plant: (db: Sqlite.Database) => void) {
  const path = join(dataDir, databaseFile)
  const db = new Sqlite(path)
  try {
    db.pragma('foreign_keys = OFF')
    db.exec('BEGIN')
    plant(db)
    const witnesses = readWitnesses(dataDir, [], fastVerifier)
    return auditLedger(new Database(path, db), fastVerifier, { witnesses })
  } finally {
    db.close() // rolls back
  }
}

try {
  let startMs = performance.now()
  if (!existsSync(join(dataDir, databaseFile))) {
    mkdirSync(dataDir, { recursive: true })
    print(`${makeFullLedger({ dataDir, rounds, fields })} records booked in ${seconds(startMs)}`)
  }
  for (const options of [[], ['--every-signature']]) {
    startMs = performance.now()
    const { code, report, peakMb } = await runVerify(...options)
    print(`verify ${options.join(' ')}: exit ${code} after ${seconds(startMs)}, at most ${peakMb} MB: ${report.trim()}`)
    if (code !== 0) throw new Error('a sound ledger is not found sound')
  }
  for (const { name, code, place, plant } of plantedFaults.filter((each) => each.name.includes(only))) {
    startMs = performance.now()
    const [fault] = auditWith(plant).faults
    print(`${name}: ${fault?.code} at ${fault?.place}, ${seconds(startMs)}`)
    if (String(fault?.code) !== code || !place.test(fault?.place ?? '')) throw new Error(`${name}: not found`)
  }
  print(`${plantedFaults.length} faults found; at most ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`)
} finally {
  if (folder === undefined) rmSync(dir, { recursive: true })
}
