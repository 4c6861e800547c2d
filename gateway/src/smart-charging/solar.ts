import type { Limit } from './allocate.ts'
import type { Charger } from './charger.ts'
import { noCurrent, type PhaseCurrents } from './site.ts'

/** A cloud passes sooner than it is worth to stop for. */
const cloudMs = 180_000

const total = (currents: PhaseCurrents) => currents.reduce((sum, current) => sum + current, 0)
const leastOf = (chargers: readonly Charger[]) =>
  chargers.reduce((sum, { phases, setup }) => sum + phases.length * setup.minCurrentA, 0)

/** Shares what the roof gives beyond what the house needs, over all phases, as the meter of the utility counts. */
export class Solar {
  #shortSinceMs: number | undefined = Number.NEGATIVE_INFINITY

  /** What those may take together that wait for the sun. */
  budget(
    active: readonly Charger[],
    seen: { readonly house: PhaseCurrents; readonly drawn: ReadonlyMap<Charger, PhaseCurrents> },
    nowMs: number,
  ): readonly Limit[] {
    const waiting = active.filter(({ setup }) => setup.mode !== 'fast')
    if (waiting.length === 0) {
      this.#shortSinceMs = Number.NEGATIVE_INFINITY
      return []
    }
    const taken = waiting.reduce((sum, charger) => sum + total(seen.drawn.get(charger) ?? noCurrent), 0)
    const surplusA = taken - total(seen.house)
    const inAnyCase = waiting.filter(({ setup }) => setup.mode === 'solar-first')
    const running = waiting.filter((charger) => inAnyCase.includes(charger) || charger.offeredA(nowMs) > 0)
    if (surplusA >= leastOf(running)) this.#shortSinceMs = undefined
    else this.#shortSinceMs ??= nowMs
    const isCloud = this.#shortSinceMs === undefined || nowMs - this.#shortSinceMs < cloudMs
    const weights = new Map(waiting.map((charger) => [charger.setup.key, charger.phases.length]))
    return [{ name: 'solar', limitA: Math.max(surplusA, leastOf(isCloud ? running : inAnyCase)), weights }]
  }

  /** Those who have their least in any case come before those who wait for the sun. */
  order(chargers: readonly Charger[]): readonly Charger[] {
    const rank = ({ setup }: Charger) => (setup.mode === 'solar' ? 1 : 0)
    return chargers.toSorted((a, b) => rank(a) - rank(b))
  }
}
