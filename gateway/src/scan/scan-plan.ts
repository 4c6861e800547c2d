import type { MeterProfile } from '@wattline/protocol'
import { characterMs, type SerialFormat } from '../modbus/rtu-framing.ts'

/** Questions to some unit ids at one line setting. */
export interface ScanStep {
  readonly format: SerialFormat
  readonly unitIds: readonly number[]
  /** How long to wait for an answer to begin. */
  readonly waitMs: number
}

export const lowestUnitId = 1
export const highestUnitId = 247

// The commonest first.
const baudRates = [9600, 19_200, 38_400, 115_200, 57_600, 4800, 2400, 1200] as const
const parities = ['none', 'even', 'odd'] as const
const stopBits = [1, 2] as const

/** Most meters answer within 20 to 60 ms, and all within 100 ms. What comes late is heard, and asked again. */
const patientMs = 60
const briskMs = 30
const hastyMs = 20
/** Meters are numbered from 1 on: these ids are worth more time. */
const likelyIds = 16
const fewIds = 8

const sameFormat = (a: SerialFormat, b: SerialFormat) =>
  a.baudRate === b.baudRate && a.parity === b.parity && a.stopBits === b.stopBits

export function uniqueFormats(formats: readonly SerialFormat[]): readonly SerialFormat[] {
  return formats.filter((one, i) => formats.findIndex((other) => sameFormat(one, other)) === i)
}

export const allUnitIds: readonly number[] = range(lowestUnitId, highestUnitId)

/** Every combination, the likely ones first. */
export function allFormats(): readonly SerialFormat[] {
  return stopBits.flatMap((stop) =>
    parities.flatMap((parity) => baudRates.map((baudRate) => ({ baudRate, parity, stopBits: stop }))),
  )
}

/** What meters leave the factory with, the commonest settings first; before them, what the config says. */
export function likelyFormats(profiles: Iterable<MeterProfile>, expected?: SerialFormat): readonly SerialFormat[] {
  const defaults = [...profiles].map(({ defaults: { baudRate, parity, stopBits: stop } }) => ({
    baudRate,
    parity,
    stopBits: stop,
  }))
  const commonness = (format: SerialFormat) => defaults.filter((one) => sameFormat(one, format)).length
  const known = uniqueFormats(defaults).toSorted((a, b) => commonness(b) - commonness(a))
  const beside = expected === undefined ? [] : parities.map((parity) => ({ ...expected, parity }))
  return uniqueFormats([...(expected === undefined ? [] : [expected]), ...known, ...beside])
}

/** The first look: likely settings, and the ids that meters leave the factory with or that the config names. */
export function ladder(
  profiles: Iterable<MeterProfile>,
  known: { readonly format?: SerialFormat; readonly unitIds?: readonly number[] } = {},
): readonly ScanStep[] {
  const list = [...profiles]
  const factoryIds = [1, 2, ...list.map(({ defaults }) => defaults.unitId)]
  const unitIds = [...new Set([...(known.unitIds ?? []), ...factoryIds])]
  return likelyFormats(list, known.format).map((format) => ({ format, unitIds, waitMs: patientMs }))
}

/** Every id at one setting. */
export function sweep(format: SerialFormat, except: readonly number[] = []): readonly ScanStep[] {
  const rest = allUnitIds.filter((unitId) => !except.includes(unitId))
  return [
    { format, unitIds: rest.filter((unitId) => unitId <= likelyIds), waitMs: patientMs },
    { format, unitIds: rest.filter((unitId) => unitId > likelyIds), waitMs: briskMs },
  ]
}

/** Every other setting: the low ids and those of the config first, then every id. */
export function fullSearch(
  tried: readonly SerialFormat[],
  unitIds: readonly number[] = [],
): readonly [low: readonly ScanStep[], wide: readonly ScanStep[]] {
  const formats = allFormats().filter((format) => !tried.some((one) => sameFormat(one, format)))
  const low = [...new Set([...unitIds, ...range(1, fewIds)])]
  const wide = allUnitIds.filter((unitId) => !low.includes(unitId))
  return [
    formats.map((format) => ({ format, unitIds: low, waitMs: briskMs })),
    formats.map((format) => ({ format, unitIds: wide, waitMs: hastyMs })),
  ]
}

const requestCharacters = 8
// One character more tells that somebody has begun.
const firstCharacters = 2
// Nobody may answer before 3.5 characters have passed, and few do at once.
const silenceCharacters = 3.5
const leastTurnaroundMs = 5

/** How long to wait for the first sign of an answer, from the moment that the request begins. */
export function probeMs(format: SerialFormat, waitMs: number): number {
  const character = characterMs(format)
  const turnaroundMs = Math.max(waitMs, silenceCharacters * character + leastTurnaroundMs)
  return (requestCharacters + firstCharacters) * character + turnaroundMs
}

/** How long a step takes if nobody answers. */
export function stepMs({ format, unitIds, waitMs }: ScanStep): number {
  return unitIds.length * probeMs(format, waitMs)
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}
