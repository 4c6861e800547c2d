import type { MeterProfile } from '@wattline/protocol'
import type { LineConfig, MeterConfig, SimConfig } from './config.ts'
import { lineOnlyKinds, targetOf } from './faults.ts'
import { Wiring } from './wiring.ts'

interface Item<T> {
  readonly path: string
  readonly item: T
}

export interface ConfigParts {
  readonly lines: readonly Item<LineConfig>[]
  readonly meters: readonly Item<MeterConfig>[]
  readonly stations: readonly Item<SimConfig['stations'][number]>[]
  readonly faults: readonly Item<SimConfig['faults'][number]>[]
  readonly ids: Readonly<Record<'lines' | 'meters' | 'stations', ReadonlySet<string>>>
  readonly profiles: ReadonlyMap<string, MeterProfile>
}

/** Where a meter hangs, as a text that is the same for meters on one line or port. */
export function placeOf({ line, tcp, rtuOverTcp }: MeterConfig): string {
  if (line !== undefined) return `line ${line}`
  const endpoint = tcp ?? rtuOverTcp
  return `${tcp === undefined ? 'rtuOverTcp' : 'tcp'} ${endpoint?.host}:${endpoint?.port}`
}

/** What no single field shows: names that nobody has, two meters in one place, energy that would be counted twice. */
export function findProblems(parts: ConfigParts): readonly string[] {
  return [
    ...repeated(parts.lines, ({ id }) => id, 'id'),
    ...repeated(withPath(parts.lines), ({ path }) => path, 'path'),
    ...parts.lines.flatMap(({ path, item }) => lineProblems(path, item, parts)),
    ...repeated<{ id: string }>([...parts.meters, ...parts.stations], ({ id }) => id, 'id'),
    ...repeated(parts.meters, (meter) => `unit ${meter.unitId} on ${placeOf(meter)}`, 'unitId'),
    ...repeated(transportsOf(parts), ({ port }) => port, 'port'),
    ...parts.meters.flatMap(({ path, item }) => meterProblems(path, item, parts)),
    ...parts.faults.flatMap(({ path, item }) => faultProblems(path, item, parts)),
    ...parts.stations.flatMap(({ path, item }) => stationProblems(path, item)),
    ...seenProblems(parts.meters),
  ]
}

function stationProblems(path: string, { evses, steps, drivers }: SimConfig['stations'][number]): readonly string[] {
  const named = [
    ...steps.map((step, i) => ({ at: `steps[${i}]`, evse: 'evse' in step ? step.evse : 1 })),
    ...drivers.map(({ evse }, i) => ({ at: `drivers[${i}]`, evse })),
  ]
  return named.filter(({ evse }) => evse > evses.length).map(({ at, evse }) => `${path}.${at}.evse: no EVSE ${evse}`)
}

function repeated<T>(items: readonly Item<T>[], keyOf: (item: T) => string, field: string): readonly string[] {
  const keys = items.map(({ item }) => keyOf(item))
  return items.flatMap(({ path }, i) =>
    keys.indexOf(keys[i] ?? '') < i ? [`${path}.${field}: ${keys[i]} is taken`] : [],
  )
}

function withPath(lines: ConfigParts['lines']): readonly Item<{ path: string }>[] {
  return lines.flatMap(({ path, item }) => (item.path === undefined ? [] : [{ path, item: { path: item.path } }]))
}

// One port speaks either Modbus TCP or RTU over TCP, or is a whole line.
function transportsOf({ lines, meters }: ConfigParts): readonly Item<{ port: string }>[] {
  const byPlace = new Map(meters.filter(({ item }) => item.line === undefined).map((m) => [placeOf(m.item), m.path]))
  const ports = [...byPlace].map(([place, path]) => ({ path, item: { port: place.split(' ')[1] ?? '' } }))
  const servers = lines.flatMap(({ path, item: { rtuOverTcp } }) =>
    rtuOverTcp === undefined ? [] : [{ path, item: { port: `${rtuOverTcp.host}:${rtuOverTcp.port}` } }],
  )
  return [...servers, ...ports].filter(({ item }) => !item.port.endsWith(':0'))
}

function lineProblems(path: string, line: LineConfig, { meters, faults }: ConfigParts): readonly string[] {
  const problems: string[] = []
  if ((line.path === undefined) === (line.rtuOverTcp === undefined)) {
    problems.push(`${path}: exactly one of path, rtuOverTcp expected`)
  }
  const wiring = new Wiring(
    line,
    meters.map(({ item }) => item),
    faults.map(({ item }) => item),
    () => 0,
  )
  if (line.path !== undefined && wiring.parities.has('odd') && wiring.parities.has('even')) {
    problems.push(`${path}: even and odd parity on one pseudo-terminal, which cannot tell them apart`)
  }
  return problems
}

function meterProblems(path: string, meter: MeterConfig, { ids, profiles }: ConfigParts): readonly string[] {
  const places = [meter.line, meter.tcp, meter.rtuOverTcp].filter((place) => place !== undefined)
  const profile = profiles.get(meter.profile)
  const settings = [meter.baudRate, meter.parity, meter.stopBits].filter((setting) => setting !== undefined)
  const problems = meter.sees
    .filter((id) => !ids.meters.has(id) && !ids.stations.has(id))
    .map((id) => `${path}.sees: no meter '${id}'`)
  if (places.length !== 1) problems.push(`${path}: exactly one of line, tcp, rtuOverTcp expected`)
  if (meter.line === undefined && settings.length > 0) {
    problems.push(`${path}: baudRate, parity and stopBits belong to a meter on a line`)
  }
  if (meter.line !== undefined && !ids.lines.has(meter.line)) problems.push(`${path}.line: no line '${meter.line}'`)
  if (profile !== undefined && meter.serial !== undefined && !fitsSerial(meter.serial, profile)) {
    problems.push(`${path}.serial: ${serialRule(profile)}, got '${meter.serial}'`)
  }
  return problems
}

function fitsSerial(serial: string, { serial: register }: MeterProfile): boolean {
  if (register === undefined) return true
  if (register.type === 'string') return serial.length <= 2 * register.words
  return /^[1-9]\d{0,9}$/.test(serial) && Number(serial) < 0xffff_ffff
}

function serialRule({ id, serial }: MeterProfile): string {
  const room = serial?.type === 'string' ? `up to ${2 * serial.words} characters` : '32 bits'
  return `profile ${id} has a serial number of ${room}`
}

function faultProblems(
  path: string,
  fault: SimConfig['faults'][number],
  { ids, meters, profiles }: ConfigParts,
): readonly string[] {
  const target = targetOf(fault)
  const problems: string[] = []
  if ((target.meter === undefined) === (target.line === undefined))
    problems.push(`${path}: exactly one of meter, line expected`)
  if (target.meter !== undefined && !ids.meters.has(target.meter))
    problems.push(`${path}.meter: no meter '${target.meter}'`)
  if (target.line !== undefined && !ids.lines.has(target.line)) problems.push(`${path}.line: no line '${target.line}'`)
  const meter = meters.find(({ item }) => item.id === target.meter)?.item
  if (meter?.tcp !== undefined && (fault.kind === 'bad-crc' || fault.kind === 'noise')) {
    problems.push(`${path}.kind: Modbus TCP has no ${fault.kind}, '${meter.id}' is not on a line`)
  }
  if (meter !== undefined && meter.line === undefined && lineOnlyKinds.has(fault.kind)) {
    problems.push(`${path}.kind: ${fault.kind} needs a line, '${meter.id}' is not on one`)
  }
  if (fault.kind === 'duplicate-address' && meter !== undefined) {
    const other = meters.find(({ item }) => item.id === fault.of)?.item
    if (other === undefined || other.line !== meter.line || other === meter)
      problems.push(`${path}.of: no other meter '${fault.of}' on the same line`)
  }
  const profile = meter && profiles.get(meter.profile)
  if (fault.kind === 'ct-wrong-phase' && profile !== undefined && profile.phases !== 3) {
    problems.push(`${path}.kind: ${fault.kind} needs three phases, profile ${profile.id} has ${profile.phases}`)
  }
  if (fault.kind === 'meter-swapped' && profile !== undefined && !fitsSerial(fault.toSerial, profile)) {
    problems.push(`${path}.toSerial: ${serialRule(profile)}, got '${fault.toSerial}'`)
  }
  return problems
}

function seenProblems(meters: ConfigParts['meters']): readonly string[] {
  const seenBy = new Map<string, string>()
  const problems: string[] = []
  for (const { path, item } of meters) {
    for (const id of item.sees) {
      const other = seenBy.get(id)
      if (other === undefined) seenBy.set(id, item.id)
      else problems.push(`${path}.sees: '${id}' is already seen by '${other}'`)
    }
  }
  return [
    ...problems,
    ...meters.filter(({ item }) => isInCycle(item.id, seenBy)).map(({ path }) => `${path}.sees: sees itself`),
  ]
}

function isInCycle(id: string, seenBy: ReadonlyMap<string, string>): boolean {
  const passed = new Set<string>()
  let parent = seenBy.get(id)
  while (parent !== undefined && parent !== id && !passed.has(parent)) {
    passed.add(parent)
    parent = seenBy.get(parent)
  }
  return parent === id
}
