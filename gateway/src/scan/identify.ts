import {
  decodeQuantity,
  decodeScaleFactor,
  decodeSerial,
  findSunSpecModel,
  fingerprintWords,
  fitsFingerprint,
  isEnergyTotal,
  type MeterProfile,
  type Quantity,
  registerWords,
  WattError,
} from '@wattline/protocol'
import { isDeadVoltage, isMainsVoltage, judge, type Reading } from './plausibility.ts'
import { insisting, shifted, type TryRead } from './unit-reader.ts'

/** What a device most likely is, and how its registers deviate from the profile. */
export interface Identity {
  readonly profile: MeterProfile
  /** The model by its fingerprint, where the profile covers several. */
  readonly model?: string
  /** Addresses that every register stands off. */
  readonly shift: number
  /** Whether the two words of its values stand the other way round. */
  readonly swapped: boolean
  /** By a fingerprint, or only by values that make sense. */
  readonly by: 'fingerprint' | 'values'
  readonly readings: readonly Reading[]
  readonly serial?: string
  /** Other profiles that fit as well. */
  readonly others: readonly string[]
  readonly score: number
}

interface View {
  readonly shift: number
  readonly swapped: boolean
}

const asWritten: View = { shift: 0, swapped: false }
// The numbering from 1 of many manuals, read as if it were the address, and the reverse.
const deviations: readonly View[] = [
  { shift: 0, swapped: true },
  { shift: 1, swapped: false },
  { shift: -1, swapped: false },
]
const fingerprintScore = 6
const foreignScore = -3
// What comes this near could as well be the other model.
const tie = 0.5

/** Tells what hangs at a unit id. `expected` is what the config says. */
export async function identify(
  read: TryRead,
  profiles: readonly MeterProfile[],
  expected?: MeterProfile,
): Promise<Identity | undefined> {
  if (expected !== undefined) {
    const fitting = (await examineAll(read, [expected], [asWritten]))[0] ?? (await examineDeviating(read, [expected]))
    if (fitting !== undefined) return fitting
  }
  const [best, ...rest] = await examineAll(read, profiles, [asWritten])
  if (best === undefined) return await examineDeviating(read, profiles)
  const others = rest.filter(({ score }) => score > best.score - tie).map(({ profile }) => profile.id)
  return { ...best, others }
}

async function examineDeviating(read: TryRead, profiles: readonly MeterProfile[]): Promise<Identity | undefined> {
  return (await examineAll(read, profiles, deviations))[0]
}

async function examineAll(
  read: TryRead,
  profiles: readonly MeterProfile[],
  views: readonly View[],
): Promise<readonly Identity[]> {
  const fitting: Identity[] = []
  for (const profile of profiles) {
    for (const view of views) {
      const identity = await examine(read, profile, view)
      if (identity === undefined) continue
      const preferred = await preferSwapped(read, identity)
      fitting.push(preferred)
      // A fingerprint leaves no doubt, so the others need not be asked for.
      if (preferred.by === 'fingerprint' && view === asWritten) return [preferred]
    }
  }
  // Of two that fit alike, the one that claims less.
  const claims = ({ profile }: Identity) => profile.quantities.length
  return fitting.toSorted((a, b) => b.score - a.score || claims(a) - claims(b))
}

// A single word tells nothing of the order of two: a voltage may be right where the counters are swapped.
async function preferSwapped(read: TryRead, identity: Identity): Promise<Identity> {
  if (identity.swapped || identity.shift !== 0 || !judge(identity.readings).absurdEnergy) return identity
  const swapped = await examine(read, identity.profile, { shift: 0, swapped: true })
  return swapped !== undefined && swapped.score > identity.score ? swapped : identity
}

async function examine(read: TryRead, profile: MeterProfile, view: View): Promise<Identity | undefined> {
  const seen = shifted(read, view.shift)
  const base = await findBase(seen, profile)
  if (base === undefined) return undefined
  const own = view.swapped ? swapWords(profile) : profile
  const telling = await readTelling(seen, own, base, view.shift)
  if (telling === undefined) return undefined
  const mark = await readMark(read, seen, profile)
  if (telling.length === 0 && mark.kind !== 'fits') return undefined
  const rest = await readAll(seen, own, ({ measurand }) => !tellingMeasurands.includes(measurand), base)
  const readings = [...telling, ...rest]
  const serial = await tryRead(() => readSerial(seen, own, base))
  return {
    profile,
    ...(mark.model === undefined ? {} : { model: mark.model }),
    ...view,
    by: mark.kind === 'fits' ? 'fingerprint' : 'values',
    readings,
    ...(serial === undefined ? {} : { serial }),
    others: [],
    score: judge(readings).score + scoreOf(mark.kind) + (serial === undefined ? 0 : 1),
  }
}

const tellingMeasurands: readonly Quantity['measurand'][] = ['Voltage', 'Frequency']

// One after the other: most profiles are out after the first.
async function readTelling(
  seen: TryRead,
  own: MeterProfile,
  base: number,
  shift: number,
): Promise<readonly Reading[] | undefined> {
  const readings: Reading[] = []
  const first = own.quantities.find(({ measurand, address }) => measurand === 'Voltage' && base + address + shift >= 0)
  if (first !== undefined && !(await showsVoltage(seen, first, base))) return undefined
  for (const measurand of tellingMeasurands) {
    const found = await readAll(seen, own, (quantity) => quantity.measurand === measurand, base)
    readings.push(...found)
    const { volts, hertz } = judge(found)
    if (found.length > 0 && !volts && !hertz) return undefined
  }
  return readings
}

// Profiles of one family share this register, which is read once.
async function showsVoltage(seen: TryRead, quantity: Quantity, base: number): Promise<boolean> {
  const volts = (await tryRead(() => readQuantity(seen, quantity, base)))?.value
  return volts !== undefined && (isMainsVoltage(volts) || isDeadVoltage(volts))
}

interface Mark {
  readonly kind: 'fits' | 'differs' | 'none'
  readonly model?: string
}

const scoreOf = (kind: Mark['kind']) => (kind === 'fits' ? fingerprintScore : kind === 'differs' ? foreignScore : 0)

// Without its model a SunSpec profile has no addresses at all.
async function findBase(seen: TryRead, { sunspec }: MeterProfile): Promise<number | undefined> {
  if (sunspec === undefined) return 0
  return (await tryRead(() => findSunSpecModel(insisting(seen), sunspec.model)))?.address
}

async function readMark(read: TryRead, seen: TryRead, { sunspec, fingerprints }: MeterProfile): Promise<Mark> {
  if (sunspec !== undefined) return { kind: 'fits' }
  if (fingerprints === undefined) return { kind: 'none' }
  for (const fingerprint of fingerprints) {
    const { functionCode, address, model } = fingerprint
    // A map may be shifted with or without what marks it.
    for (const place of read === seen ? [read] : [seen, read]) {
      const words = await place(functionCode, address, fingerprintWords(fingerprint))
      const fits = words !== undefined && [words, words.toReversed()].some((one) => fitsFingerprint(one, fingerprint))
      if (fits) return { kind: 'fits', ...(model === undefined ? {} : { model }) }
    }
  }
  return { kind: 'differs' }
}

async function readAll(
  read: TryRead,
  profile: MeterProfile,
  isWanted: (quantity: Quantity) => boolean,
  base: number,
): Promise<readonly Reading[]> {
  const quantities = profile.quantities.filter(isWanted)
  // The reader remembers the words: one request instead of many. Where a block is refused, single reads follow.
  for (const { functionCode, address, count } of toBlocks(quantities, profile.maxRegisters)) {
    await read(functionCode, base + address, count)
  }
  const readings: Reading[] = []
  for (const quantity of quantities) {
    const { measurand, phase } = quantity
    const found = await tryRead(() => readQuantity(read, quantity, base))
    readings.push({
      measurand,
      ...(phase === undefined ? {} : { phase }),
      ...found,
      isTotal: isEnergyTotal(quantity),
    })
  }
  return readings
}

interface Block {
  readonly functionCode: 3 | 4
  readonly address: number
  readonly count: number
}

// A gap of some registers costs less than another request, and a shorter block loses less to a bit error.
const widestGap = 10
const longestBlock = 40

function toBlocks(quantities: readonly Quantity[], maxRegisters: number): readonly Block[] {
  const longest = Math.min(longestBlock, maxRegisters)
  const blocks: Block[] = []
  for (const { functionCode, address, type } of quantities.toSorted((a, b) => a.address - b.address)) {
    const at = blocks.findLastIndex((block) => block.functionCode === functionCode)
    const last = blocks[at]
    const end = address + registerWords(type)
    const joins =
      last !== undefined && address - last.address - last.count <= widestGap && end - last.address <= longest
    if (joins) blocks[at] = { ...last, count: Math.max(last.count, end - last.address) }
    else blocks.push({ functionCode, address, count: end - address })
  }
  return blocks.filter(({ count }) => count > 2)
}

async function readQuantity(
  read: TryRead,
  quantity: Quantity,
  base: number,
): Promise<{ readonly value: number; readonly isFull: boolean }> {
  const words = await insisting(read)(quantity.functionCode, base + quantity.address, registerWords(quantity.type))
  const isFull = words.length > 1 && words.at(quantity.wordOrder === 'big' ? -1 : 0) !== 0
  if (quantity.scaleFactor === undefined) return { value: decodeQuantity(words, quantity), isFull }
  const [factor] = await insisting(read)(quantity.functionCode, base + quantity.scaleFactor, 1)
  return { value: decodeQuantity(words, quantity, decodeScaleFactor(factor, quantity)), isFull }
}

async function readSerial(read: TryRead, { serial, sunspec }: MeterProfile, base: number): Promise<string | undefined> {
  if (serial === undefined) return undefined
  const own = serial.type === 'string' ? serial.sunspecModel : undefined
  const model = own === undefined || own === sunspec?.model ? undefined : await findSunSpecModel(insisting(read), own)
  const count = serial.type === 'string' ? serial.words : 2
  const address = (model?.address ?? base) + serial.address
  return decodeSerial(await insisting(read)(serial.functionCode, address, count), serial)
}

// What cannot be read or decoded is absent.
async function tryRead<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof WattError && error.code !== 'bus/closed') return undefined
    throw error
  }
}

const swapOrder = { big: 'little', little: 'big' } as const

function swapWords(profile: MeterProfile): MeterProfile {
  const quantities = profile.quantities.map((one) => ({ ...one, wordOrder: swapOrder[one.wordOrder] }))
  const { serial } = profile
  if (serial?.type !== 'uint32') return { ...profile, quantities }
  return { ...profile, quantities, serial: { ...serial, wordOrder: swapOrder[serial.wordOrder] } }
}
