import type { ChargingProfile } from './charging-profiles.ts'
import type { Quirk, Quirks } from './quirks.ts'
import type { Offer } from './vehicle.ts'

const rules: readonly (readonly [Quirk, (profile: ChargingProfile) => boolean])[] = [
  ['stack-level-0-only', ({ stackLevel }) => stackLevel !== 0],
  ['watt-only', ({ unit }) => unit !== 'W'],
  ['relative-only', ({ kind }) => kind !== 'Relative'],
  ['refuses-zero-amps', ({ periods }) => periods.some(({ limit }) => limit === 0)],
]

/** Why this station refuses a charging profile that the standard allows. */
export function profileRefusal(profile: ChargingProfile, quirks: Quirks): Quirk | undefined {
  return rules.find(([quirk, breaks]) => quirks.has(quirk) && breaks(profile))?.[0]
}

const currentSteps = [6, 8, 10, 13, 16]

/** What the power electronics can offer of what is allowed. */
export function offerable(offer: Offer, quirks: Quirks): Offer {
  if (!quirks.has('current-steps')) return offer
  return { ...offer, currentA: currentSteps.findLast((step) => step <= offer.currentA) ?? 0 }
}
