import { decodeSerial, type MeterProfile, WattError } from '@wattline/protocol'
import type { Identity } from './identify.ts'
import type { LineProber } from './line-prober.ts'

/** What repeated reads of one device showed, beside what the line's tally counts. */
export interface LinkCheck {
  readonly latencyMs?: number
  readonly serials: readonly string[]
}

export interface LinkCheckOptions {
  readonly prober: LineProber
  readonly unitId: number
  readonly waitMs: number
  readonly identity?: Identity
}

interface Place {
  readonly functionCode: 3 | 4
  readonly address: number
  readonly count: number
}

const rounds = 4
// A line that spoiled one answer is looked at long enough to tell how many.
const moreRounds = 12
const longest = 32

/** Reads short and long answers in turn, and the serial number: bit errors hit the long ones, two devices all. */
export async function checkLink(options: LinkCheckOptions): Promise<LinkCheck> {
  const places = toPlaces(options.identity)
  const latenciesMs: number[] = []
  const serials = new Set<string>()
  for (let round = 0, last = rounds; round < last; round++) {
    for (const place of places) {
      const { prober, unitId, waitMs } = options
      const outcome = await prober.read({ unitId, ...place }, waitMs)
      if (outcome.kind === 'words') latenciesMs.push(outcome.latencyMs)
      if (outcome.kind === 'words' && place === places[0]) addSerial(serials, outcome.words, options.identity)
      if (outcome.kind === 'garbled') last = rounds + moreRounds
    }
  }
  const latencyMs = median(latenciesMs)
  return { serials: [...serials], ...(latencyMs === undefined ? {} : { latencyMs }) }
}

// The first is the serial number's, where there is one.
function toPlaces(identity: Identity | undefined): readonly Place[] {
  // Whoever it is, it answers or refuses this.
  if (identity === undefined)
    return [
      { functionCode: 3, address: 0, count: 2 },
      { functionCode: 4, address: 0, count: 8 },
    ]
  const { profile, shift } = identity
  const serial = placeOfSerial(profile)
  const [first] = profile.quantities
  if (profile.sunspec !== undefined || first === undefined)
    return [
      { functionCode: 3, address: 0, count: 2 },
      { functionCode: 3, address: 40_000, count: longest },
    ]
  const { functionCode } = first
  const address = Math.max(0, first.address + shift)
  const short = { functionCode, address, count: 2 }
  return [serial === undefined ? short : { ...serial, address: serial.address + shift }, ...longPlaces(identity)]
}

function longPlaces({ profile, shift }: Identity): readonly Place[] {
  const [first] = profile.quantities
  if (first === undefined) return []
  const { functionCode } = first
  const near = profile.quantities
    .filter((quantity) => quantity.functionCode === functionCode)
    .map(({ address }) => address)
    .toSorted((a, b) => a - b)
  const most = Math.min(longest, profile.maxRegisters)
  // The start that has most named registers behind it, so that the device does not refuse.
  const reach = (from: number) => near.filter((address) => address >= from && address + 2 <= from + most)
  const best = near.toSorted((a, b) => reach(b).length - reach(a).length)[0] ?? first.address
  const end = Math.max(...reach(best), best) + 2
  return [{ functionCode, address: Math.max(0, best + shift), count: end - best }]
}

function placeOfSerial({ serial, sunspec }: MeterProfile): Place | undefined {
  if (serial === undefined || sunspec !== undefined) return undefined
  const count = serial.type === 'string' ? serial.words : 2
  return { functionCode: serial.functionCode, address: serial.address, count }
}

function addSerial(serials: Set<string>, words: readonly number[], identity: Identity | undefined): void {
  if (identity?.profile.serial === undefined || identity.profile.sunspec !== undefined) return
  try {
    serials.add(decodeSerial(words, identity.profile.serial))
  } catch (error) {
    // A meter without a serial number is none that two devices could differ in.
    if (!(error instanceof WattError)) throw error
  }
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
}
