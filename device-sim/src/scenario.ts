import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { WattError } from '@wattline/protocol'
import { parse } from 'yaml'
import type { SimConfig } from './config.ts'
import { type CheckedConfig, decodeSimConfig } from './decode-config.ts'
import { loadProfile } from './profiles.ts'

/**
 * Reads a config and the scenarios on top of it. A scenario has the same keys: lists of named things are merged
 * by their id, faults are added, anything else replaces what stood there.
 */
export function loadSimConfig(path: string, scenarioPaths: readonly string[] = []): CheckedConfig {
  const documents = [path, ...scenarioPaths].map((file) => readDocument(file))
  const [first, ...scenarios] = documents
  const source = [path, ...scenarioPaths].join(' + ')
  const { config, profiles } = decodeSimConfig(scenarios.reduce(mergeDocuments, first), source, loadProfile)
  const lines = config.lines.map((line) =>
    line.path === undefined ? line : { ...line, path: resolve(dirname(path), line.path) },
  )
  const stations = config.stations.map((station) => placeStation(station, dirname(path)))
  return { config: { ...config, lines, stations }, profiles }
}

// Files of a station lie where the config says, seen from its folder.
function placeStation(station: SimConfig['stations'][number], folder: string): SimConfig['stations'][number] {
  const { passwordFile, tls, dataDir = `./data/stations/${station.id}` } = station
  const place = (file: string) => resolve(folder, file)
  return {
    ...station,
    dataDir: place(dataDir),
    ...(passwordFile === undefined ? {} : { passwordFile: place(passwordFile) }),
    ...(tls === undefined
      ? {}
      : { tls: Object.fromEntries(Object.entries(tls).map(([key, file]) => [key, place(file)])) }),
  }
}

// JSON is YAML too, so one parser reads both.
function readDocument(path: string): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new WattError('config/unreadable', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
  try {
    return parse(text)
  } catch (cause) {
    throw new WattError('config/invalid', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
}

/** Lays one document over another; neither has been checked yet. */
export function mergeDocuments(base: unknown, over: unknown): unknown {
  if (Array.isArray(base) && Array.isArray(over)) return mergeLists(base, over)
  if (!isRecord(base) || !isRecord(over)) return over
  const merged = { ...base }
  for (const [key, value] of Object.entries(over)) {
    merged[key] = key in base ? mergeDocuments(base[key], value) : value
  }
  return merged
}

function mergeLists(base: readonly unknown[], over: readonly unknown[]): readonly unknown[] {
  const idOf = (item: unknown) => (isRecord(item) ? item['id'] : undefined)
  const merged = [...base]
  for (const item of over) {
    const id = idOf(item)
    const at = id === undefined ? -1 : merged.findIndex((known) => idOf(known) === id)
    if (at < 0) merged.push(item)
    else merged[at] = mergeDocuments(merged[at], item)
  }
  return merged
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
