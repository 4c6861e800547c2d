import { type ChargerConfig, phaseNames, type SiteConfig } from './site-config.ts'

/** Currents of L1, L2, L3 of the house, in A; below zero where it exports. */
export type PhaseCurrents = readonly [number, number, number]

export const noCurrent: PhaseCurrents = [0, 0, 0]

/** One charger as the house sees it. */
export interface ChargerSetup extends Omit<ChargerConfig, 'id' | 'phases' | 'feeder'> {
  /** `station/connector`. */
  readonly key: string
  readonly station: string
  /** The phases of the house that its own hang on: 0 to 2, in the order of its own. */
  readonly phases: readonly number[]
  /** Every feeder on the way from the house to it. */
  readonly feeders: readonly string[]
}

/** What is shared, and among whom. */
export interface Site extends Omit<SiteConfig, 'stations' | 'phases'> {
  /** The phases that the house has. */
  readonly phases: readonly number[]
  readonly chargers: readonly ChargerSetup[]
}

/** Resolves names to places: phases to numbers, feeders to the whole way. */
export function makeSite(config: SiteConfig): Site {
  const { stations, phases: count, feeders, ...rest } = config
  const housePhases = phaseNames.slice(0, count)
  const wayTo = (id: string | undefined): readonly string[] => {
    const feeder = feeders.find((one) => one.id === id)
    return feeder === undefined ? [] : [feeder.id, ...wayTo(feeder.behind)]
  }
  const chargers = stations.map(({ id, phases = housePhases, feeder, ...more }) => ({
    ...more,
    key: `${id}/${more.connector}`,
    station: id,
    phases: phases.map((phase) => phaseNames.indexOf(phase)),
    feeders: wayTo(feeder),
  }))
  return { ...rest, feeders, phases: housePhases.map((_, at) => at), chargers }
}

/** The same function of each phase. */
export function mapPhases(make: (phase: number) => number): PhaseCurrents {
  return [make(0), make(1), make(2)]
}
