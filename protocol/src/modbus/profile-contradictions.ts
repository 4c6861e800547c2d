import { isEnergyTotal, nameQuantity } from './measurands.ts'
import type { Fingerprint, MeterProfile } from './meter-profile.ts'
import { placeQuantity, standOnOneAnother } from './profile-checks.ts'

/**
 * What a profile says of its totals against what is known of the same meter: it calls a total what another profile knows
 * as a partial counter or as a single phase.
 */
export function findContradictions(profile: MeterProfile, known: Iterable<MeterProfile>): readonly string[] {
  return [...known]
    .filter((other) => other.id !== profile.id && describeOneMeter(profile, other))
    .flatMap((other) => contradictionsOf(profile, other))
}

function contradictionsOf(profile: MeterProfile, other: MeterProfile): readonly string[] {
  return profile.quantities
    .filter(isEnergyTotal)
    .flatMap((total) =>
      other.quantities
        .filter((q) => standOnOneAnother(total, q) && nameQuantity(q) !== nameQuantity(total))
        .map((q) => `quantities: ${placeQuantity(total)} is ${placeQuantity(q)} in ${other.id}, the same meter`),
    )
}

/** Whether two profiles are of one meter: the same identification, or the same brand and model. */
function describeOneMeter(a: MeterProfile, b: MeterProfile): boolean {
  if (a.sunspec !== undefined || b.sunspec !== undefined) return a.sunspec?.model === b.sunspec?.model
  const ofA = a.fingerprints?.flatMap(identities) ?? []
  const ofB = b.fingerprints?.flatMap(identities) ?? []
  if (ofA.some((identity) => ofB.includes(identity))) return true
  return brandOf(a) === brandOf(b) && a.models.map(modelOf).some((model) => b.models.map(modelOf).includes(model))
}

function identities({ address, words, wordIn }: Fingerprint): readonly string[] {
  const contents = words === undefined ? (wordIn ?? []) : [words.join()]
  return contents.map((content) => `${address} ${content.toUpperCase()}`)
}

const brandOf = ({ brand }: MeterProfile) => brand.toLowerCase().split(/\W/)[0]

// "EM24-DIN (RS-485)", "EM24" and "em24 rtu" are one model: its name is the first word that has a digit.
function modelOf(model: string): string {
  const words = model.toUpperCase().split(/[^A-Z0-9.]+/)
  return words.find((word) => /\d/.test(word)) ?? model.toUpperCase()
}
