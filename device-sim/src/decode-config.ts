import { decodeWith, type MeterProfile, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { stationSchema } from './charging-station/config.ts'
import { configSchema, lineSchema, meterSchema, type SimConfig } from './config.ts'
import { type ConfigParts, findProblems } from './config-checks.ts'
import { faultSchema } from './faults.ts'

export type FindProfile = (id: string, folder: string | undefined) => MeterProfile

export interface CheckedConfig {
  readonly config: SimConfig
  /** The profile of each meter, by profile id. */
  readonly profiles: ReadonlyMap<string, MeterProfile>
}

/** Accepts a config and the profiles that it names, or throws one error that tells every problem with its path. */
export function decodeSimConfig(input: unknown, source: string, findProfile: FindProfile): CheckedConfig {
  const profiles = new Map<string, MeterProfile>()
  const problems: string[] = []
  const decoded = attempt(() => decodeWith(configSchema, input, source, 'config/invalid'), problems)
  // Also for a config whose shape is wrong elsewhere: all problems are told together.
  const parts = {
    lines: soundItems(lineSchema, input, 'lines'),
    meters: soundItems(meterSchema, input, 'meters'),
    stations: soundItems(stationSchema, input, 'stations'),
    faults: soundItems(faultSchema, input, 'faults'),
  }
  const folder = property(input, 'profilesDir')
  for (const { path, item } of parts.meters) {
    if (profiles.has(item.profile)) continue
    const profile = attempt(
      () => findProfile(item.profile, typeof folder === 'string' ? folder : undefined),
      problems,
      `${source}: ${path}.profile: `,
    )
    if (profile !== undefined) profiles.set(item.profile, profile)
  }
  problems.push(...findProblems({ ...parts, ids: idsOf(input), profiles }).map((problem) => `${source}: ${problem}`))
  if (decoded === undefined || problems.length > 0) throw new WattError('config/invalid', problems.join('\n'))
  return { config: decoded, profiles }
}

function attempt<T>(run: () => T, problems: string[], prefix = ''): T | undefined {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof WattError)) throw error
    problems.push(...error.message.split('\n').map((line) => `${prefix}${line}`))
    return undefined
  }
}

function property(input: unknown, key: string): unknown {
  return typeof input === 'object' && input !== null
    ? Object.entries(input).find(([name]) => name === key)?.[1]
    : undefined
}

function itemsOf(input: unknown, key: string): readonly unknown[] {
  const items = property(input, key)
  return Array.isArray(items) ? items : []
}

function soundItems<TSchema extends v.GenericSchema>(schema: TSchema, input: unknown, key: string) {
  return itemsOf(input, key).flatMap((raw, i) => {
    const result = v.safeParse(schema, raw)
    return result.success ? [{ path: `${key}[${i}]`, item: result.output }] : []
  })
}

// Names that exist even where the rest of the item is wrong, so that one mistake is not told twice.
function idsOf(input: unknown): ConfigParts['ids'] {
  const named = (key: string) => new Set(itemsOf(input, key).map((item) => String(property(item, 'id'))))
  return { lines: named('lines'), meters: named('meters'), stations: named('stations') }
}
