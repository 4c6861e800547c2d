import { fieldsOf } from '../ocpp/json-place.ts'

/** What a station measured: per phase of its own, and when by its clock. */
export interface StationSample {
  readonly currents: readonly number[]
  readonly claimedMs: number | undefined
}

const nominalV = 230
const phaseNumbers: Readonly<Record<string, number>> = { L1: 0, L2: 1, L3: 2, 'L1-N': 0, 'L2-N': 1, 'L3-N': 2 }
/** Values of the begin and the end of a transaction are sent again later. */
const staleContexts = new Set(['Transaction.Begin', 'Transaction.End'])

interface Sampled {
  readonly measurand: string
  readonly phase: string | undefined
  readonly value: number
}

/** The currents of the latest meter values, for so many phases; undefined where they tell none. */
export function readStationSample(meterValue: unknown, phases: number): StationSample | undefined {
  if (!Array.isArray(meterValue)) return undefined
  for (const entry of meterValue.toReversed()) {
    const fields = fieldsOf(entry)
    const values = Array.isArray(fields?.['sampledValue']) ? fields['sampledValue'].flatMap(readSampled) : []
    const currents = currentsOf(values, phases)
    if (currents !== undefined) return { currents, claimedMs: readTime(fields?.['timestamp']) }
  }
  return undefined
}

/** A time as a station writes it; undefined where it wrote none. */
export function readTime(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isFinite(ms) ? ms : undefined
}

function readSampled(sample: unknown): readonly Sampled[] {
  const fields = fieldsOf(sample)
  if (fields === undefined || staleContexts.has(String(fields['context']))) return []
  const { measurand, phase, value } = fields
  const unit = fieldsOf(fields['unitOfMeasure'])
  const multiplier = typeof unit?.['multiplier'] === 'number' ? 10 ** unit['multiplier'] : 1
  const kilo = (unit?.['unit'] ?? fields['unit']) === 'kW' ? 1000 : 1
  const number = Number(value) * multiplier * kilo
  if (value === '' || !Number.isFinite(number) || typeof measurand !== 'string') return []
  return [{ measurand, phase: typeof phase === 'string' ? phase : undefined, value: number }]
}

function currentsOf(values: readonly Sampled[], phases: number): readonly number[] | undefined {
  const of = (measurand: string) => values.filter((one) => one.measurand === measurand && one.phase !== 'N')
  const currents = of('Current.Import')
  if (currents.length > 0) return spread(currents, phases)
  const powers = of('Power.Active.Import')
  if (powers.length === 0) return undefined
  const whole = powers.find(({ phase }) => phase === undefined)
  if (whole === undefined) return spread(powers, phases)?.map((power) => power / nominalV)
  return Array.from({ length: phases }, () => whole.value / nominalV / phases)
}

// Where only one phase is told, nothing says that the others carry less.
function spread(values: readonly Sampled[], phases: number): readonly number[] | undefined {
  const [first] = values
  if (first === undefined) return undefined
  const isWhole = values.length === 1
  return Array.from({ length: phases }, (_, at) => {
    const own = values.findLast(({ phase }) => phase !== undefined && phaseNumbers[phase] === at)
    return Math.abs(own?.value ?? (isWhole ? first.value : 0))
  })
}
