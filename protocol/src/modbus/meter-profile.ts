import * as v from 'valibot'
import { decodeWith, integerBetween } from '../decode.ts'
import { idPattern } from '../ids.ts'
import { energyUnits, measurandNames } from './measurands.ts'
import { profileProblems, quantityProblems, vectorProblems } from './profile-checks.ts'
import { decimalPattern } from './rational.ts'

const typeNames = [
  'uint16',
  'int16',
  'uint32',
  'int32',
  'uint64',
  'int64',
  'float32',
  'float64',
  'acc32',
  'acc64',
] as const

export type RegisterType = (typeof typeNames)[number]
const decimal = v.pipe(v.string(), v.regex(decimalPattern, 'expected a decimal such as 0.1, written as a string'))
const wholeWh = v.pipe(
  v.union([v.string(), v.pipe(v.number(), v.safeInteger())]),
  v.transform(String),
  v.regex(/^[1-9]\d*$/, 'expected whole Wh above 0'),
)
const hexWords = v.pipe(
  v.array(v.pipe(v.string(), v.regex(/^[0-9A-Fa-f]{4}$/, 'expected one word as four hex digits, quoted'))),
  v.minLength(1),
)
const rawValue = v.pipe(
  v.string(),
  v.regex(/^0x[0-9A-Fa-f]{4,16}$/, 'expected the raw register in hex, such as 0x8000'),
)
const address = integerBetween(0, 0xffff)
const phase = v.picklist(['L1', 'L2', 'L3', 'N'])
const functionCode = v.picklist([3, 4])
const wordOrder = v.picklist(['big', 'little'])

const quantity = v.pipe(
  v.strictObject({
    measurand: v.picklist(measurandNames),
    /** Absent for the total over all phases. */
    phase: v.exactOptional(phase),
    functionCode,
    /** Zero-based PDU address; with `sunspec`, the offset from the model's ID register. */
    address,
    type: v.picklist(typeNames),
    wordOrder,
    unit: v.picklist([...energyUnits, 'W', 'kW', 'V', 'A', 'mA', 'Hz', '1', 'Percent']),
    /** What one count is worth, in `unit`: value = raw * scale. 1 when absent. */
    scale: v.exactOptional(decimal),
    /** Address of the sunssf that scales this register by a power of ten. */
    scaleFactor: v.exactOptional(address),
    /** Some models of the profile count this below 0: its distance from 0 is the value. */
    absolute: v.exactOptional(v.literal(true)),
    /** Raw values that mean "no value here". NaN never needs to be listed. */
    notImplemented: v.exactOptional(v.array(rawValue)),
    /** What the meter's own counting resolves, in `unit`, where it is coarser than the register. */
    resolution: v.exactOptional(decimal),
    /** The tariff that this counter belongs to, where the meter counts each on its own. */
    tariff: v.exactOptional(integerBetween(1, 8)),
    /** This must never reach a record. */
    sign: v.exactOptional(v.literal('never')),
    /** Why it must not: counts only a part, can be reset or written, or is reckoned from the power. */
    because: v.exactOptional(v.picklist(['partial', 'resettable', 'writable', 'power-derived'])),
    source: v.exactOptional(v.string()),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    for (const message of quantityProblems(dataset.value)) addIssue({ message })
  }),
)

const serial = v.variant('type', [
  v.strictObject({ type: v.literal('uint32'), functionCode, address, wordOrder }),
  /** ASCII, two characters a word, padded with NUL or blanks. */
  v.strictObject({
    type: v.literal('string'),
    functionCode,
    address,
    words: integerBetween(1, 32),
    /** `address` counts from SunSpec's common model, the one in front of the profile's own. */
    sunspecModel: v.exactOptional(v.literal(1)),
    /** Zero bytes may stand anywhere: the text goes on behind them. */
    skipZeros: v.exactOptional(v.literal(true)),
  }),
])

const vector = v.strictObject({
  measurand: v.picklist(measurandNames),
  phase: v.exactOptional(phase),
  tariff: v.exactOptional(integerBetween(1, 8)),
  words: hexWords,
  /** The power of ten that the scale factor's register held. */
  scaleFactor: v.exactOptional(integerBetween(-10, 10)),
  /** The exact value in the quantity's unit. */
  value: decimal,
  /** Energy: what the value is worth in whole Wh, rounded once. */
  registerWh: v.exactOptional(v.pipe(v.string(), v.regex(/^\d+$/))),
  source: v.exactOptional(v.string()),
})

const fingerprint = v.pipe(
  v.strictObject({
    functionCode,
    /** Zero-based PDU address. */
    address,
    /** What the registers from there on hold, in every unit of the model. */
    words: v.exactOptional(hexWords),
    /** Or what the one register there holds, where the profile covers several models. */
    wordIn: v.exactOptional(hexWords),
    /** The models that this one stands for, where it is not all of the profile's. */
    model: v.exactOptional(v.string()),
    source: v.exactOptional(v.string()),
  }),
  v.check((f) => (f.words === undefined) !== (f.wordIn === undefined), 'expected exactly one of words, wordIn'),
)

const meterProfile = v.pipe(
  v.strictObject({
    version: v.literal(1),
    id: v.pipe(v.string(), v.regex(idPattern)),
    brand: v.string(),
    models: v.pipe(v.array(v.string()), v.minLength(1)),
    phases: v.picklist([1, 2, 3]),
    transports: v.pipe(v.array(v.picklist(['rtu', 'tcp'])), v.minLength(1)),
    /** As it leaves the factory. Line settings that nobody confirmed are left out: then the commonest stand in. */
    defaults: v.strictObject({
      baudRate: v.optional(integerBetween(300, 921_600), 9600),
      parity: v.optional(v.picklist(['none', 'even', 'odd']), 'none'),
      stopBits: v.optional(v.picklist([1, 2]), 1),
      unitId: integerBetween(1, 247),
    }),
    /** The most registers one request may ask for. */
    maxRegisters: integerBetween(1, 125),
    /** How long the meter wants to be left alone between two requests. */
    minGapMs: v.exactOptional(integerBetween(0, 10_000)),
    /** Where the registers stand in a SunSpec model, whose place is found at run time. */
    sunspec: v.exactOptional(v.strictObject({ model: integerBetween(1, 0xfffe), length: integerBetween(1, 0xfffe) })),
    quantities: v.pipe(v.array(quantity), v.minLength(1)),
    serial: v.exactOptional(serial),
    /**
     * Registers with a fixed content that tell this model from others: one that fits is enough. A profile with
     * `sunspec` needs none, its chain of models names it; without any, only a plausible voltage speaks for a model.
     */
    fingerprints: v.exactOptional(v.pipe(v.array(fingerprint), v.minLength(1))),
    /** Where the energy registers start again at 0, in Wh. acc32 and acc64 tell it by their type and scale factor. */
    rolloverWh: v.exactOptional(wholeWh),
    /** Why no record can be made of this meter: then it has no total, and is good for watching only. */
    cannotSign: v.exactOptional(v.pipe(v.string(), v.nonEmpty())),
    notes: v.array(v.string()),
    /** Where the facts come from: key to reference. */
    sources: v.record(v.string(), v.string()),
    vectors: v.array(vector),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return
    for (const message of profileProblems(dataset.value)) addIssue({ message })
    // Only what has the right shape can be decoded.
    if (dataset.issues !== undefined) return
    for (const message of vectorProblems(dataset.value)) addIssue({ message })
  }),
)

/** One meter model's register map, as it stands in `hardware/meters`. */
export type MeterProfile = v.InferOutput<typeof meterProfile>
/** One measured quantity of a meter: where it stands and how it is written. */
export type Quantity = MeterProfile['quantities'][number]
/** The register or text that tells one meter from another of its model. */
export type SerialRegister = NonNullable<MeterProfile['serial']>
/** A register whose content tells this model from others. */
export type Fingerprint = NonNullable<MeterProfile['fingerprints']>[number]
/** One exchange: words in, value out. */
export type ProfileVector = MeterProfile['vectors'][number]

/** How many registers to read at a fingerprint's address. */
export function fingerprintWords({ words }: Fingerprint): number {
  return words?.length ?? 1
}

/** Whether what was read at a fingerprint's address is what this model has there. */
export function fitsFingerprint(read: readonly number[], { words, wordIn }: Fingerprint): boolean {
  const toWord = (hex: string) => Number.parseInt(hex, 16)
  if (words === undefined) return wordIn?.some((hex) => toWord(hex) === read[0]) ?? false
  return words.every((hex, i) => toWord(hex) === read[i])
}

/** Accepts a meter profile, or tells every problem with its path. */
export function decodeMeterProfile(input: unknown, source: string): MeterProfile {
  return decodeWith(meterProfile, input, source, 'profile/invalid')
}
