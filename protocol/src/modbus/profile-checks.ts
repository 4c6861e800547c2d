import { WattError } from '../errors.ts'
import { isEnergyTotal, type Measurand, measurandUnits, nameQuantity } from './measurands.ts'
import type { MeterProfile, ProfileVector, Quantity } from './meter-profile.ts'
import { decimalPattern, equals, multiply, one, parseDecimal } from './rational.ts'
import { registerWords, unitFactors } from './register-types.ts'
import { decodeEnergy, decodeExact } from './registers.ts'

/** What is wrong with one quantity. */
export function quantityProblems(
  q: Pick<Quantity, 'measurand' | 'unit' | 'scale' | 'sign' | 'because'>,
): readonly string[] {
  const units: readonly string[] = measurandUnits[q.measurand]
  const fits = units.includes(q.unit)
  return [
    ...(fits ? [] : [`${q.measurand} comes in ${units.join(', ')}, got ${q.unit}`]),
    ...signProblems(q),
    ...(q.scale === undefined || !fits ? [] : scaleProblems(q.measurand, q.unit, q.scale)),
  ]
}

function signProblems({ measurand, sign, because }: Pick<Quantity, 'measurand' | 'sign' | 'because'>): string[] {
  const problems: string[] = []
  if (sign === 'never' && measurand.startsWith('Energy.') && measurand.endsWith('.Register')) {
    const interval = measurand.replace('.Register', '.Interval')
    problems.push(`a counter marked 'sign: never' cannot be ${measurand}: name it ${interval}`)
  }
  if (sign !== 'never' && measurand.endsWith('.Interval')) problems.push(`${measurand} needs 'sign: never'`)
  if (sign === 'never' && because === undefined) problems.push("'sign: never' needs 'because'")
  if (sign === undefined && because !== undefined) problems.push("'because' goes with 'sign: never'")
  return problems
}

// A multiplier says how fine a meter counts, never in what unit: that is what `unit` is for.
function scaleProblems(measurand: Measurand, unit: Quantity['unit'], scale: string): string[] {
  if (!decimalPattern.test(scale)) return []
  const value = parseDecimal(scale)
  if (value.numerator === 0n) return ['scale 0 would make every value 0']
  if (equals(value, one)) return ['scale 1 says nothing: leave it out']
  const sign = { numerator: value.numerator < 0n ? -1n : 1n, denominator: 1n }
  const magnitude = multiply(value, sign, unitFactors[unit])
  const hidden = measurandUnits[measurand].find((other) => other !== unit && equals(magnitude, unitFactors[other]))
  return hidden === undefined
    ? []
    : [`scale ${scale} in ${unit} is a bare multiplier that stands for a unit: say unit: ${hidden}`]
}

/** What is wrong with a profile as a whole. */
export function profileProblems(profile: MeterProfile): readonly string[] {
  const names = profile.quantities.map(nameQuantity)
  return [
    ...totalProblems(profile),
    ...[...new Set(names.filter((name, i) => names.indexOf(name) !== i))].map((name) => `quantities: ${name} twice`),
    ...overlapProblems(profile.quantities),
    ...coverProblems(profile),
    ...(profile.rolloverWh !== undefined && profile.quantities.some((q) => isEnergyTotal(q) && q.type.startsWith('acc'))
      ? ['rolloverWh: acc32 and acc64 roll over by their width and scale factor, a second number would contradict']
      : []),
    ...(profile.sunspec === undefined ? [] : sunspecProblems(profile, profile.sunspec.length)),
  ]
}

function totalProblems({ quantities, cannotSign }: MeterProfile): readonly string[] {
  const hasTotal = quantities.some(isEnergyTotal)
  if (cannotSign === undefined) return hasTotal ? [] : ['quantities: no energy register over all phases']
  return hasTotal ? ['cannotSign: there is an energy register over all phases'] : []
}

function overlapProblems(quantities: readonly Quantity[]): readonly string[] {
  return quantities.flatMap((q, i) =>
    quantities
      .slice(0, i)
      .filter((other) => standOnOneAnother(q, other))
      .map((other) => `quantities: ${placeQuantity(q)} stands on ${placeQuantity(other)}`),
  )
}

/** Whether two quantities of one meter share a register. */
export function standOnOneAnother(a: Quantity, b: Quantity): boolean {
  // Many meters answer both function codes alike: what must never be signed is not signed by the other one either.
  const sameTable = a.functionCode === b.functionCode || a.sign === 'never' || b.sign === 'never'
  return sameTable && a.address < b.address + registerWords(b.type) && b.address < a.address + registerWords(a.type)
}

/** A quantity with its place, for messages. */
export function placeQuantity(q: Quantity): string {
  const mark = q.sign === 'never' ? ` (${q.because ?? 'marked'}: never to be signed)` : ''
  return `${nameQuantity(q)} at 0x${q.address.toString(16).toUpperCase().padStart(4, '0')}${mark}`
}

// A vector that reads the same both ways would not notice that the words are swapped.
function coverProblems({ quantities, vectors }: MeterProfile): readonly string[] {
  const names = quantities.map(nameQuantity)
  return [
    ...quantities
      .filter((q) => q.measurand.startsWith('Energy.'))
      .flatMap((q) => {
        const own = vectors.filter((w) => nameQuantity(w) === nameQuantity(q) && w.registerWh !== undefined)
        if (own.length === 0) return [`vectors: no vector with registerWh for ${nameQuantity(q)}`]
        const tellsOrder =
          registerWords(q.type) === 1 || own.some(({ words }) => `${words}` !== `${words.toReversed()}`)
        return tellsOrder ? [] : [`vectors: none for ${nameQuantity(q)} tells the order of its words`]
      }),
    ...vectors
      .map(nameQuantity)
      .filter((name) => !names.includes(name))
      .map((name) => `vectors: ${name} is not among the quantities`),
  ]
}

/** The vectors that this profile does not decode to the value they give. */
export function vectorProblems({ quantities, vectors }: MeterProfile): readonly string[] {
  return vectors.flatMap((vector, i) =>
    decodeProblems(vector, quantities).map((problem) => `vectors[${i}]: ${problem}`),
  )
}

function decodeProblems(vector: ProfileVector, quantities: readonly Quantity[]): readonly string[] {
  const quantity = quantities.find((q) => nameQuantity(q) === nameQuantity(vector))
  if (quantity === undefined) return []
  const words = vector.words.map((word) => Number.parseInt(word, 16))
  const what = `${nameQuantity(quantity)} as ${quantity.type}, word order ${quantity.wordOrder}`
  try {
    const isExact = equals(decodeExact(words, quantity, vector.scaleFactor), parseDecimal(vector.value))
    if (!isExact) return [`${what}: ${vector.words.join(' ')} is not ${vector.value} ${quantity.unit}`]
    if (vector.registerWh === undefined) return []
    const { registerWh } = decodeEnergy(words, quantity, vector.scaleFactor)
    return `${registerWh}` === vector.registerWh ? [] : [`${what}: ${vector.registerWh} Wh expected, got ${registerWh}`]
  } catch (error) {
    if (error instanceof WattError) return [error.message]
    throw error
  }
}

function sunspecProblems({ quantities, fingerprints }: MeterProfile, length: number): readonly string[] {
  return [
    ...quantities
      .filter((q) => Math.max(q.address + registerWords(q.type) - 1, q.scaleFactor ?? 0) >= length + 2)
      .map((q) => `quantities: ${nameQuantity(q)} stands outside the model, which ends at offset ${length + 1}`),
    ...(fingerprints === undefined ? [] : ['fingerprints: a SunSpec device is told by its chain of models']),
  ]
}
