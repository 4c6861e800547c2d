import type { SerialFormat } from '../modbus/rtu-framing.ts'
import { checks, faultSentence } from './fault-words.ts'
import type { Diagnosis, Fault, Finding, LineEvidence, UnitEvidence } from './line-evidence.ts'
import type { PhaseValues } from './plausibility.ts'

type Rule = (line: LineEvidence) => readonly Finding[]

const leastWeight = 0.3
const slowMs = 200
/** The share of spoiled answers that no sound line has. */
const spoiledShare = 0.03
const crossedBelow = -0.1
const reversedBelow = -0.85
const noticeableWatts = 100

const rules: Readonly<Record<Fault, Rule>> = {
  'a-b-swapped': (line) => {
    if (line.kind === 'tcp' || heard(line)) return []
    const held = line.noiseBytes > 0 && line.levelBytes > line.noiseBytes / 2
    return [{ weight: held ? 0.8 : line.searchedAll ? 0.6 : 0.5 }]
  },
  'wrong-baud-rate': (line) => [
    ...elsewhere(line, (one, expected) => one.baudRate !== expected.baudRate),
    ...(heard(line) || line.searchedAll || line.kind === 'tcp' ? [] : [{ weight: isBabble(line) ? 0.6 : 0.4 }]),
  ],
  'wrong-parity': (line) => [
    ...elsewhere(line, (one, expected) => one.baudRate === expected.baudRate && one.parity !== expected.parity),
    ...(heard(line) || line.searchedAll || line.kind === 'tcp' ? [] : [{ weight: 0.35 }]),
  ],
  'duplicate-address': (line) => line.units.flatMap((unit) => weighDuplicate(unit, line)),
  'missing-termination': weighTermination,
  'second-client': ({ foreignRequests, foreignAnswers }) => {
    if (foreignRequests > 0) return [{ weight: 0.95, detail: `${foreignRequests}` }]
    return foreignAnswers > 1 ? [{ weight: 0.6 }] : []
  },
  'shifted-map': eachUnit(({ identity }) => (identity !== undefined && identity.shift !== 0 ? 0.9 : 0)),
  'swapped-words': eachUnit(({ identity }) => (identity?.swapped === true ? 0.9 : 0)),
  'reversed-feed': (line) => line.units.flatMap((unit) => weighReversed(unit)),
  'transformer-on-wrong-phase': (line) =>
    line.units.flatMap((unit) => {
      const crossed = loaded(unit).filter(({ powerFactor }) => isCrossed(powerFactor))
      return crossed.length === 0 ? [] : [{ weight: 0.85, unit, detail: listPhases(crossed) }]
    }),
  'slow-device': (line) =>
    line.units.flatMap((unit) => {
      const slowest = unit.latencyMs ?? Math.max(0, ...unit.tally.lateMs)
      return slowest > slowMs ? [{ weight: 0.9, unit, detail: String(Math.round(slowest)) }] : []
    }),
  'nothing-there': (line) => (heard(line) ? [] : [{ weight: line.kind === 'tcp' ? 0.6 : 0.35 }]),
  'missing-device': ({ missing, ...line }) =>
    heard(line) && missing.length > 0 ? [{ weight: 0.8, detail: missing.join(', ') }] : [],
  'other-meter': eachUnit(({ expected, identity }) =>
    expected !== undefined && identity !== undefined && identity.profile !== expected.profile ? 0.7 : 0,
  ),
  'unknown-meter': eachUnit(({ identity, tally }) => (identity === undefined && !isSpoiled(tally) ? 0.5 : 0)),
}

/** Tells what is wrong, the most likely first. Nothing at all means that nothing was noticed. */
export function diagnose(line: LineEvidence): readonly Diagnosis[] {
  const findings = Object.entries(rules).flatMap(([name, rule]) => {
    const fault = name as Fault
    return rule(line)
      .filter(({ weight }) => weight >= leastWeight)
      .map((finding) => ({ fault, finding }))
  })
  return findings
    .toSorted((a, b) => b.finding.weight - a.finding.weight)
    .map(({ fault, finding }) => ({
      fault,
      ...(finding.unit === undefined ? {} : { unitId: finding.unit.unitId }),
      certainty: toCertainty(finding.weight),
      weight: finding.weight,
      sentence: faultSentence(fault, finding, line),
      check: checks[fault],
    }))
}

function toCertainty(weight: number): Diagnosis['certainty'] {
  return weight >= 0.85 ? 'almost certain' : weight >= 0.55 ? 'likely' : 'possible'
}

function eachUnit(weigh: (unit: UnitEvidence) => number): Rule {
  return ({ units }) => units.map((unit) => ({ weight: weigh(unit), unit }))
}

const heard = ({ units }: Pick<LineEvidence, 'units'>) => units.length > 0
const isBabble = ({ noiseBytes, levelBytes }: LineEvidence) => noiseBytes > 20 && levelBytes < noiseBytes / 2

function elsewhere(
  { units, expected }: LineEvidence,
  differs: (found: SerialFormat, expected: SerialFormat) => boolean,
): readonly Finding[] {
  const found = units.filter(
    ({ format }) => expected !== undefined && format !== undefined && differs(format, expected),
  )
  const [unit] = found
  return unit === undefined ? [] : [{ weight: 0.95, unit, detail: found.map(({ unitId }) => unitId).join(', ') }]
}

const askedOf = ({ lengths }: UnitEvidence['tally']) => lengths.reduce((sum, { asked }) => sum + asked, 0)
const spoiledOf = ({ garbled }: UnitEvidence['tally']) => garbled

function shareSpoiled(tally: UnitEvidence['tally']): number {
  return spoiledOf(tally) / Math.max(1, askedOf(tally))
}

const isSpoiled = (tally: UnitEvidence['tally']) => spoiledOf(tally) >= 2 && shareSpoiled(tally) > spoiledShare

// Another client's requests collide with ours and spoil answers as well.
const disturbed = ({ foreignRequests }: LineEvidence) => (foreignRequests > 0 ? 0.4 : 1)

// Two that answer at once spoil answers of every length and of their id alone; what comes is too long, or comes twice.
function weighDuplicate(unit: UnitEvidence, line: LineEvidence): readonly Finding[] {
  const { tally, serials } = unit
  if (serials.length > 1) return [{ weight: 0.95, unit, detail: serials.join(' and ') }]
  const twice = tally.secondAnswers > 1 ? 0.8 : 0
  const others = line.units.filter((one) => one !== unit)
  const alone = isSpoiled(tally) && shareSpoiled(tally) > 0.2 && !others.some((one) => isSpoiled(one.tally))
  const keepsLength = tally.keptLength > tally.garbled / 2
  const collides = alone ? (others.length > 0 ? 0.75 : keepsLength && !failsShort(tally) ? 0.4 : 0.7) : 0
  const longer = isSpoiled(tally) && !keepsLength ? 0.6 : 0
  return [{ weight: Math.max(twice, collides, longer) * disturbed(line), unit }]
}

// A long answer has more bits to lose than a short one; two devices that talk at once lose both alike.
function failsShort({ lengths }: UnitEvidence['tally']): boolean {
  const [shortest] = lengths.filter(({ asked }) => asked > 2).toSorted((a, b) => a.bytes - b.bytes)
  return shortest !== undefined && shortest.garbled > shortest.asked / 2
}

function weighTermination(line: LineEvidence): readonly Finding[] {
  const spoiled = line.units.filter(({ tally }) => isSpoiled(tally))
  const [first] = spoiled
  if (line.kind === 'tcp' || first === undefined) return []
  const total = spoiled.reduce((sum, { tally }) => sum + spoiledOf(tally), 0)
  const kept = spoiled.reduce((sum, { tally }) => sum + tally.keptLength, 0) > total / 2
  const everywhere = spoiled.length > 1 || line.units.length === 1
  const weight = everywhere ? (kept ? 0.68 : 0.5) : 0.4
  const asked = spoiled.reduce((sum, { tally }) => sum + askedOf(tally), 0)
  return [{ weight: weight * disturbed(line), detail: `${total} of ${asked}` }]
}

const loaded = ({ phases }: UnitEvidence) => phases.filter(({ powerFactor }) => powerFactor !== undefined)
const isReversed = (powerFactor = 1) => powerFactor <= reversedBelow
const isCrossed = (powerFactor = 1) => powerFactor > reversedBelow && powerFactor < crossedBelow

function weighReversed(unit: UnitEvidence): readonly Finding[] {
  const phases = loaded(unit)
  const reversed = phases.filter(({ powerFactor }) => isReversed(powerFactor))
  const role = unit.expected?.role
  if (role === 'producer')
    return phases.some((phase) => (phase.watts ?? 0) > noticeableWatts) ? [{ weight: 0.6, unit }] : []
  if (reversed.length === 0) return []
  // One transformer the other way round: no load and no roof does that to a single phase.
  if (reversed.length < phases.length) return [{ weight: 0.8, unit, detail: listPhases(reversed) }]
  const mayFeedIn = role === 'bidirectional' || role === 'storage'
  return [{ weight: mayFeedIn ? 0.3 : role === undefined ? 0.55 : 0.9, unit, detail: listPhases(reversed) }]
}

const listPhases = (phases: readonly PhaseValues[]) =>
  phases
    .map(({ phase, powerFactor = 0 }) => `${phase === undefined ? '' : `${phase} `}${powerFactor.toFixed(2)}`)
    .join(', ')
