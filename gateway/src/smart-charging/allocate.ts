/** One charger that could take current, in the order of its turn. */
export interface Claim {
  readonly id: string
  /** Below this it takes nothing at all (IEC 61851-1 table A.7: 6 A). */
  readonly minA: number
  /** What it can take at most. */
  readonly maxA: number
  /** The currents that it can be set to, ascending; any tenth of an ampere where left out. */
  readonly stepsA?: readonly number[] | undefined
  /** Higher ones are filled before lower ones get anything. */
  readonly priority: number
}

/** What must never be exceeded: one phase of the house or of a feeder, or a budget over phases. */
export interface Limit {
  readonly name: string
  readonly limitA: number
  /** How much of each charger's current counts here: 1 on a phase, the number of its phases in a budget. */
  readonly weights: ReadonlyMap<string, number>
}

/** OCPP carries one decimal of a limit, so everything is counted in tenths of an ampere, which are exact. */
const tenths = 10
const toTenths = (ampere: number) => Math.floor(ampere * tenths + 1e-6)

/**
 * Shares the limits among the chargers: max-min fair within each priority. Whoever comes first in the list gets its
 * minimum first; who cannot have it gets nothing. Then the lowest is raised, a step at a time, until nobody can be.
 */
export function allocate(claims: readonly Claim[], limits: readonly Limit[]): ReadonlyMap<string, number> {
  const room = new Room(limits)
  const shares = new Map<string, number>(claims.map(({ id }) => [id, 0]))
  const priorities = [...new Set(claims.map(({ priority }) => priority))].sort((a, b) => b - a)
  for (const priority of priorities) {
    fill(
      claims.filter((claim) => claim.priority === priority),
      room,
      shares,
    )
  }
  return new Map([...shares].map(([id, share]) => [id, share / tenths]))
}

/** What is left of each limit. */
class Room {
  readonly #left: number[]
  readonly #uses = new Map<string, { readonly limit: number; readonly weight: number }[]>()

  constructor(limits: readonly Limit[]) {
    this.#left = limits.map(({ limitA }) => toTenths(limitA))
    for (const [limit, { weights }] of limits.entries()) {
      for (const [id, weight] of weights) {
        if (weight > 0) this.#uses.set(id, [...(this.#uses.get(id) ?? []), { limit, weight }])
      }
    }
  }

  /** Takes so much more for a charger, or nothing where it does not fit. */
  take(id: string, more: number): boolean {
    const uses = this.#uses.get(id) ?? []
    if (uses.some(({ limit, weight }) => (this.#left[limit] ?? 0) < weight * more)) return false
    for (const { limit, weight } of uses) this.#left[limit] = (this.#left[limit] ?? 0) - weight * more
    return true
  }

  /** How much each of them could take at once. */
  evenly(ids: readonly string[]): number {
    const weights = new Map<number, number>()
    for (const id of ids) {
      for (const { limit, weight } of this.#uses.get(id) ?? []) {
        weights.set(limit, (weights.get(limit) ?? 0) + weight)
      }
    }
    return Math.min(...[...weights].map(([limit, weight]) => Math.floor((this.#left[limit] ?? 0) / weight)))
  }
}

function fill(claims: readonly Claim[], room: Room, shares: Map<string, number>): void {
  const shareOf = (claim: Claim) => shares.get(claim.id) ?? 0
  const raise = (claim: Claim): boolean => {
    const share = shareOf(claim)
    const next = nextStep(claim, share)
    if (next === undefined || !room.take(claim.id, next - share)) return false
    shares.set(claim.id, next)
    return true
  }
  // What does not fit now never will: room only shrinks.
  let rising = claims.filter(raise)
  while (rising.length > 0) {
    const lowest = Math.min(...rising.map(shareOf))
    const group = rising.filter((claim) => shareOf(claim) === lowest)
    if (!leap(group, rising, room, shares)) rising = rising.filter((claim) => shareOf(claim) > lowest || raise(claim))
  }
}

// The same as many single steps of a group that stands at one height, as far as nobody drops out on the way.
function leap(group: readonly Claim[], rising: readonly Claim[], room: Room, shares: Map<string, number>): boolean {
  const [first] = group
  if (first === undefined || group.some(({ stepsA }) => stepsA !== undefined)) return false
  const share = shares.get(first.id) ?? 0
  const above = rising.filter((claim) => !group.includes(claim)).map(({ id }) => shares.get(id) ?? 0)
  const most = Math.min(...group.map(({ maxA }) => toTenths(maxA)), ...above)
  const more = Math.min(most - share, room.evenly(group.map(({ id }) => id)))
  if (!(more > 1)) return false
  for (const { id } of group) {
    room.take(id, more)
    shares.set(id, share + more)
  }
  return true
}

function nextStep({ minA, maxA, stepsA }: Claim, share: number): number | undefined {
  const least = Math.max(toTenths(minA + 0.099), 1)
  const next = stepsA?.map(toTenths).find((step) => step > share && step >= least) ?? Math.max(share + 1, least)
  const isStep = stepsA === undefined || stepsA.map(toTenths).includes(next)
  return isStep && next <= toTenths(maxA) ? next : undefined
}
