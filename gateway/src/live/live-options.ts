import { decodeWith, integerBetween, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { loadConfig } from '../config.ts'
import type { BusConfig } from '../modbus/bus-config.ts'
import { defaultProfileFolder, findProfile, loadProfiles, type Profiles } from '../modbus/profiles.ts'

/** What to look at, and how to show it. */
export interface LiveOptions {
  readonly bus: BusConfig
  readonly unitId: number
  readonly profileId: string
  readonly sunspecInstance?: number
  /** Where the meter stands in a configuration. */
  readonly meterId?: string
  readonly intervalMs: number
  readonly once: boolean
  readonly json: boolean
  readonly trace: boolean
}

const defaultIntervalSeconds = 1

const numeric = v.pipe(v.string(), v.nonEmpty('expected a number'), v.transform(Number))
const flag = v.optional(v.boolean(), false)
const endpoint = v.pipe(
  v.string(),
  v.regex(/^[^:\s]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, 'expected host:port'),
  v.transform((text) => {
    const at = text.lastIndexOf(':')
    return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
  }),
  v.check(({ port }) => port >= 1 && port <= 65_535, 'expected a port from 1 to 65535'),
)

// As the command line gives them: every value is text.
const shape = v.pipe(
  v.strictObject({
    config: v.exactOptional(v.string()),
    meter: v.exactOptional(v.string()),
    serial: v.exactOptional(v.pipe(v.string(), v.nonEmpty('expected a path'))),
    tcp: v.exactOptional(endpoint),
    rtuOverTcp: v.exactOptional(endpoint),
    baudRate: v.exactOptional(v.pipe(numeric, integerBetween(300, 921_600))),
    parity: v.exactOptional(v.picklist(['none', 'even', 'odd'])),
    stopBits: v.exactOptional(v.pipe(numeric, v.picklist([1, 2]))),
    unitId: v.exactOptional(v.pipe(numeric, integerBetween(1, 247))),
    profile: v.exactOptional(v.string()),
    interval: v.exactOptional(v.pipe(numeric, v.minValue(0.1), v.maxValue(86_400))),
    once: flag,
    json: flag,
    trace: flag,
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    for (const message of contradictions(dataset.value)) addIssue({ message })
  }),
)

type Given = Readonly<Record<string, unknown>>

function contradictions(given: Given): readonly string[] {
  const has = (name: string) => given[name] !== undefined
  const ways = ['config', 'serial', 'tcp', 'rtuOverTcp'].filter(has)
  if (ways.length !== 1) return ['one of --config, --serial, --tcp and --rtu-over-tcp expected']
  const misplaced = (names: readonly string[], where: string) =>
    names.filter(has).map((name) => `--${toFlag(name)} goes with ${where}`)
  if (has('config')) {
    const others = misplaced(['baudRate', 'parity', 'stopBits', 'unitId', 'profile'], 'a bare line, without --config')
    return has('meter') ? others : [...others, '--config needs --meter']
  }
  const line = has('serial') ? [] : misplaced(['baudRate', 'parity', 'stopBits'], '--serial')
  return [...line, ...misplaced(['meter'], '--config'), ...(has('profile') ? [] : ['--profile expected'])]
}

function toFlag(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** Decodes what stands on the command line, and looks up what it names. */
export function decodeLiveOptions(input: unknown): { readonly options: LiveOptions; readonly profiles: Profiles } {
  const given = decodeWith(shape, input, 'watch', 'config/invalid')
  const profiles = loadProfiles(defaultProfileFolder())
  const { once, json, trace, interval = defaultIntervalSeconds } = given
  const shown = { once, json, trace, intervalMs: 1000 * interval }
  if (given.config !== undefined) return { options: { ...shown, ...fromConfig(given.config, given.meter) }, profiles }
  const { defaults, id } = findProfile(profiles, given.profile ?? '')
  const { serial, tcp, rtuOverTcp, unitId = defaults.unitId } = given
  const { baudRate = defaults.baudRate, parity = defaults.parity, stopBits = defaults.stopBits } = given
  const bus = {
    id: 'line',
    ...(serial === undefined ? {} : { serial: { path: serial, baudRate, parity, stopBits } }),
    ...(tcp === undefined ? {} : { tcp }),
    ...(rtuOverTcp === undefined ? {} : { rtuOverTcp }),
  }
  return { options: { ...shown, bus, unitId, profileId: id }, profiles }
}

type ConfiguredMeter = Pick<LiveOptions, 'bus' | 'unitId' | 'profileId' | 'sunspecInstance' | 'meterId'>

function fromConfig(file: string, meterId = ''): ConfiguredMeter {
  const { meters, buses } = loadConfig(file)
  const meter = meters.find(({ id }) => id === meterId)
  const bus = buses.find(({ id }) => id === meter?.bus)
  if (meter !== undefined && bus !== undefined) {
    const { unitId, profile, sunspecInstance } = meter
    return { bus, unitId, profileId: profile, meterId, ...(sunspecInstance === undefined ? {} : { sunspecInstance }) }
  }
  const known = meters.map(({ id }) => id).join(', ')
  throw new WattError('config/invalid', `no meter '${meterId}'; ${file} has ${known}`)
}
