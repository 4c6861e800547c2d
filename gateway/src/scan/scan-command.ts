import { existsSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { WattError } from '@wattline/protocol'
import { configDefaults, type GatewayConfig, loadConfig } from '../config.ts'
import { exitCodes } from '../exit-codes.ts'
import type { BusConfig } from '../modbus/bus-config.ts'
import { findProfile, type Profiles } from '../modbus/profiles.ts'
import { systemScheduler } from '../modbus/scheduler.ts'
import { ProgressLine } from './progress-line.ts'
import { scanBus } from './scan.ts'
import { formatReport, toConfigYaml, toJson } from './scan-report.ts'
import type { ExpectedMeter, ScanResult } from './scan-result.ts'

/** What `scan` is told on the command line. */
export interface ScanCommand {
  readonly config?: string
  readonly bus?: string
  readonly serial?: string
  readonly tcp?: string
  readonly rtuOverTcp?: string
  readonly baudRate?: number
  readonly parity?: 'none' | 'even' | 'odd'
  readonly stopBits?: 1 | 2
  readonly unitIds?: readonly number[]
  readonly quick?: boolean
  readonly json?: boolean
  readonly write?: string
}

interface Target {
  readonly bus: BusConfig
  readonly settingsKnown: boolean
  readonly meters: readonly ExpectedMeter[]
}

/** Scans, and prints what was found: the report on stderr, the configuration or JSON on stdout. */
export async function scan(command: ScanCommand, profiles: Profiles): Promise<number> {
  const { stdout, stderr } = process
  if (command.write !== undefined) refuseOverwriting(command.write)
  const config = command.config === undefined ? undefined : loadConfig(command.config)
  const targets = config === undefined ? [toTarget(command)] : toTargets(config, command.bus, profiles)
  const results = await scanAll(targets, command, profiles)
  stderr.write(`${formatReport(results)}\n`)
  const yaml = toConfigYaml(results, config)
  if (command.json === true) stdout.write(`${JSON.stringify(toJson(results), toReadable, 2)}\n`)
  if (command.write !== undefined && yaml !== undefined) writeFileSync(command.write, yaml, { flag: 'wx' })
  else if (command.json !== true && yaml !== undefined) stdout.write(yaml)
  return results.some(({ diagnoses }) => diagnoses.length > 0) ? exitCodes.findings : exitCodes.ok
}

const toReadable = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)

function refuseOverwriting(file: string): void {
  if (existsSync(file)) throw new WattError('config/invalid', `${file} is there already: --write makes a new file`)
}

async function scanAll(
  targets: readonly Target[],
  { quick = false, unitIds }: ScanCommand,
  profiles: Profiles,
): Promise<readonly ScanResult[]> {
  const abort = new AbortController()
  const progress = new ProgressLine(process.stderr)
  const cancel = () => abort.abort()
  process.once('SIGINT', cancel)
  process.once('SIGTERM', cancel)
  const results: ScanResult[] = []
  try {
    for (const target of targets) {
      if (abort.signal.aborted) break
      const onProgress = (state: Parameters<ProgressLine['show']>[0]) => progress.show(state)
      const how = { quick, ...(unitIds === undefined ? {} : { unitIds }) }
      results.push(
        await scanBus({ ...target, ...how, profiles, onProgress, abort: abort.signal, scheduler: systemScheduler }),
      )
    }
  } finally {
    progress.end()
    process.off('SIGINT', cancel)
    process.off('SIGTERM', cancel)
  }
  return results
}

function toTargets(config: GatewayConfig, only: string | undefined, profiles: Profiles): readonly Target[] {
  const buses = config.buses.filter(({ id }) => only === undefined || id === only)
  if (buses.length === 0) {
    const known = config.buses.map(({ id }) => id).join(', ')
    throw new WattError('config/invalid', `no bus '${only}'; the configuration has ${known}`)
  }
  return buses.map((bus) => ({
    bus,
    settingsKnown: true,
    meters: config.meters
      .filter((meter) => meter.bus === bus.id)
      .map(({ id, unitId, role, profile }) => ({ id, unitId, role, profile: findProfile(profiles, profile) })),
  }))
}

function toTarget(command: ScanCommand): Target {
  const { serial, tcp, rtuOverTcp } = command
  if ([serial, tcp, rtuOverTcp].filter((one) => one !== undefined).length !== 1) {
    throw new WattError('config/invalid', 'expected one of --config, --serial, --tcp, --rtu-over-tcp')
  }
  if (tcp !== undefined) return { bus: { id: 'lan-1', tcp: toSocket(tcp) }, settingsKnown: false, meters: [] }
  if (rtuOverTcp !== undefined) {
    return { bus: { id: 'lan-1', rtuOverTcp: toSocket(rtuOverTcp) }, settingsKnown: false, meters: [] }
  }
  const { baudRate, parity, stopBits } = command
  const settings = {
    baudRate: baudRate ?? configDefaults.baudRate,
    parity: parity ?? configDefaults.parity,
    stopBits: stopBits ?? configDefaults.stopBits,
  }
  const settingsKnown = [baudRate, parity, stopBits].some((one) => one !== undefined)
  return { bus: { id: 'rs485-1', serial: { path: resolve(serial ?? ''), ...settings } }, settingsKnown, meters: [] }
}

function toSocket(text: string): { host: string; port: number } {
  const [, host, port] = /^(.+?)(?::(\d{1,5}))?$/.exec(text) ?? []
  const number = port === undefined ? configDefaults.modbusTcpPort : Number(port)
  if (host === undefined || number < 1 || number > 65_535) {
    throw new WattError('config/invalid', `expected HOST:PORT, got '${text}'`)
  }
  return { host, port: number }
}
