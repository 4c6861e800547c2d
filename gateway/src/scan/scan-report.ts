import { isEnergyTotal, type MeterProfile } from '@wattline/protocol'
import { stringify } from 'yaml'
import type { GatewayConfig } from '../config.ts'
import type { BusConfig } from '../modbus/bus-config.ts'
import { formatSettings } from './fault-words.ts'
import type { Identity } from './identify.ts'
import type { Reading } from './plausibility.ts'
import type { FoundDevice, ScanResult } from './scan-result.ts'

/** What a person reads: the devices, then what is wrong, the most likely first. */
export function formatReport(results: readonly ScanResult[]): string {
  return results.map((result) => [...headOf(result), ...diagnosesOf(result)].join('\n')).join('\n\n')
}

function headOf({ bus, devices, cancelled, elapsedMs }: ScanResult): readonly string[] {
  const count = `${devices.length} ${devices.length === 1 ? 'device' : 'devices'} in ${Math.round(elapsedMs / 1000)} s`
  const title = `${bus.id} (${placeOf(bus)}): ${count}${cancelled ? ', cancelled' : ''}`
  return [title, ...devices.map((device) => `  ${formatDevice(device)}`)]
}

function placeOf({ serial, tcp, rtuOverTcp }: BusConfig): string {
  if (serial !== undefined) return serial.path
  const socket = tcp ?? rtuOverTcp
  return `${socket?.host}:${socket?.port}`
}

function formatDevice({ unitId, format, identity, latencyMs, configured }: FoundDevice): string {
  const parts = [
    `unit ${String(unitId).padStart(3)}`,
    ...(format === undefined ? [] : [formatSettings(format)]),
    ...(identity === undefined ? ['unknown'] : [describe(identity)]),
    ...(configured === undefined ? [] : [`'${configured}' in the config`]),
    ...(latencyMs === undefined ? [] : [`${Math.round(latencyMs)} ms`]),
  ]
  return parts.join('  ')
}

function describe({ profile, model, serial, readings, by, others }: Identity): string {
  const value = (measurand: Reading['measurand']) =>
    readings.find((reading) => reading.measurand === measurand && reading.value !== undefined)?.value
  const [volts, hertz] = [value('Voltage'), value('Frequency')]
  const parts = [
    `${profile.id} (${model ?? profile.models.join(' or ')})`,
    ...(serial === undefined ? [] : [`serial ${serial}`]),
    ...(volts === undefined ? [] : [`${volts.toFixed(1)} V`]),
    ...(hertz === undefined ? [] : [`${hertz.toFixed(2)} Hz`]),
    ...(by === 'fingerprint' ? [] : ['told by its values only']),
    ...(others.length === 0 ? [] : [`could also be ${others.join(', ')}`]),
  ]
  return parts.join('  ')
}

function diagnosesOf({ diagnoses, devices, cancelled }: ScanResult): readonly string[] {
  if (diagnoses.length === 0) return devices.length === 0 || cancelled ? [] : ['  nothing wrong was noticed']
  return diagnoses.flatMap(({ certainty, sentence, check }, i) => [
    `  ${i + 1}. ${certainty}: ${sentence}`,
    ...check.map((what, j) => `     ${j === 0 ? 'check' : 'then '} ${what}`),
  ])
}

/** What a program reads. */
export function toJson(results: readonly ScanResult[]): unknown {
  return {
    buses: results.map(({ bus, devices, diagnoses, evidence, cancelled, elapsedMs }) => ({
      ...bus,
      cancelled,
      elapsedMs: Math.round(elapsedMs),
      devices: devices.map(({ identity, ...device }) => ({
        ...device,
        ...(identity && { identity: toPlain(identity) }),
      })),
      diagnoses,
      evidence,
    })),
  }
}

function toPlain({ profile, score: _, ...identity }: Identity): unknown {
  return { profile: profile.id, ...identity }
}

/** A complete configuration with every meter that was identified, or undefined where there is none. */
export function toConfigYaml(results: readonly ScanResult[], config: GatewayConfig | undefined): string | undefined {
  const known = config?.meters ?? []
  const fresh = results.flatMap((result) => result.devices.flatMap((device) => toMeter(device, result.bus) ?? []))
  const isKnown = (meter: { bus: string; unitId: number }) =>
    known.some(({ bus, unitId }) => bus === meter.bus && unitId === meter.unitId)
  const meters = [...known, ...fresh.filter((meter) => !isKnown(meter))]
  if (meters.length === 0) return undefined
  const scanned = results.map(toFoundBus)
  const buses = (config?.buses ?? scanned).map((bus) => scanned.find(({ id }) => id === bus.id) ?? bus)
  const gateway = config?.gateway ?? { id: 'gw-1', dataDir: './data/gateway' }
  return `${preamble}${stringify({ version: 1, ...config, gateway, buses, meters })}`
}

const preamble = [
  '# Written by a scan. Before the first start, look at each meter: its role (a roof is a producer, a house that',
  '# feeds in is bidirectional), its owner, its fuse, and the meter that it stands behind.',
  '',
].join('\n')

// What a profile reads wrong must not be booked: such a meter waits until its profile fits.
function toMeter({ unitId, identity }: FoundDevice, bus: BusConfig) {
  if (identity === undefined || identity.shift !== 0 || identity.swapped) return undefined
  const { profile } = identity
  return { id: `${bus.id}-${unitId}`, bus: bus.id, unitId, profile: profile.id, role: roleFor(profile) }
}

// Consumption mints nothing: the careful choice until a person says what the meter stands for.
function roleFor({ quantities }: MeterProfile): 'consumer' | 'producer' {
  const imports = quantities.some((one) => isEnergyTotal(one) && one.measurand === 'Energy.Active.Import.Register')
  return imports ? 'consumer' : 'producer'
}

// The settings that most of the line's devices answered at.
function toFoundBus({ bus, devices }: ScanResult): BusConfig {
  if (bus.serial === undefined) return bus
  const formats = devices.flatMap(({ format }) => format ?? [])
  const byText = Map.groupBy(formats, (format) => JSON.stringify(format))
  const [commonest] = [...byText.values()].toSorted((a, b) => b.length - a.length)
  return { ...bus, serial: { ...bus.serial, ...commonest?.[0] } }
}
