import { idPattern, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import { stationId } from '../ocpp/ocpp-config.ts'

/** Every default of the part that shares the house's current. */
export const siteDefaults = {
  phases: 3,
  reserveA: 0.5,
  safeCurrentA: 6,
  maxAgeSeconds: 5,
  profileSeconds: 120,
  rotationMinutes: 15,
  connector: 1,
  maxCurrentA: 16,
  minCurrentA: 6,
  mode: 'fast',
  priority: 0,
} as const

export const chargingModes = ['fast', 'solar-first', 'solar'] as const
export const phaseNames = ['L1', 'L2', 'L3'] as const

const id = v.pipe(v.string(), v.regex(idPattern, "expected 1 to 40 letters, digits, '.', '_' or '-'"))
const ampere = (least: number, most: number) => v.pipe(v.number(), v.minValue(least), v.maxValue(most))
const stationPhases = v.pipe(
  v.array(v.picklist(phaseNames)),
  v.minLength(1),
  v.check((phases) => new Set(phases).size === phases.length, 'expected each phase once'),
)

const feeder = v.strictObject({
  id,
  /** Per phase. */
  limitA: ampere(1, 10_000),
  /** The feeder that it hangs on; the house where left out. */
  behind: v.exactOptional(id),
  /** The meter that sees it, where more than chargers hang there. */
  meter: v.exactOptional(id),
})

const charger = v.pipe(
  v.strictObject({
    /** Its identity in OCPP. */
    id: stationId,
    /** OCPP 1.6's connector, OCPP 2.x's EVSE. */
    connector: v.optional(integerBetween(1, 100), siteDefaults.connector),
    /** The phases of the house that its L1, L2, L3 hang on, in this order; all of them in their order where left out. */
    phases: v.exactOptional(stationPhases),
    maxCurrentA: v.optional(ampere(6, 500), siteDefaults.maxCurrentA),
    /** 6 A in IEC 61851-1; some vehicles need more. */
    minCurrentA: v.optional(ampere(6, 32), siteDefaults.minCurrentA),
    /** The currents that it can be set to, where not any. */
    stepsA: v.exactOptional(
      v.pipe(
        v.array(ampere(6, 500)),
        v.minLength(1),
        v.check(
          (steps) => steps.every((step, at) => at === 0 || step > (steps[at - 1] ?? 0)),
          'expected them ascending',
        ),
      ),
    ),
    /** fast: all there is. solar-first: the least from the grid, more from the roof. solar: from the roof only. */
    mode: v.optional(v.picklist(chargingModes), siteDefaults.mode),
    /** Higher ones get theirs first. */
    priority: v.optional(integerBetween(0, 9), siteDefaults.priority),
    feeder: v.exactOptional(id),
    /** The meter of this charger alone; it is quicker than what stations tell. */
    meter: v.exactOptional(id),
  }),
  v.check(({ maxCurrentA, minCurrentA }) => minCurrentA <= maxCurrentA, 'expected minCurrentA below maxCurrentA'),
)

/** `site:` of gateway.yaml: what the house allows, and who shares it. */
export const siteShape = v.pipe(
  v.strictObject({
    /** The main fuse, per phase. */
    mainFuseA: ampere(6, 10_000),
    phases: v.optional(v.picklist([1, 3]), siteDefaults.phases),
    /** The meter behind the main fuse, which sees the whole house. Its values must be read often. */
    meter: id,
    /** What is left unused below each limit: for what happens between two measurements. */
    reserveA: v.optional(ampere(0, 100), siteDefaults.reserveA),
    /** What each charger may take while nobody measures, also when the gateway is away; 0 stops it. */
    safeCurrentA: v.optional(
      v.union([v.literal(0), ampere(6, 500)], 'expected 0, or at least 6'),
      siteDefaults.safeCurrentA,
    ),
    /** A measurement older than this counts as lost. */
    maxAgeSeconds: v.optional(integerBetween(2, 8), siteDefaults.maxAgeSeconds),
    /** How long a station keeps to what it was told when the gateway is gone. */
    profileSeconds: v.optional(integerBetween(30, 3600), siteDefaults.profileSeconds),
    /** How long a car charges before it makes way, where not all can have their least. */
    rotationMinutes: v.optional(integerBetween(1, 1440), siteDefaults.rotationMinutes),
    feeders: v.optional(v.array(feeder), []),
    stations: v.pipe(v.array(charger), v.minLength(1, 'expected at least one station')),
  }),
  v.check(
    ({ stations }) => new Set(stations.map((one) => `${one.id}/${one.connector}`)).size === stations.length,
    'expected each connector of a station once',
  ),
  v.check(({ feeders }) => new Set(feeders.map((one) => one.id)).size === feeders.length, 'expected each feeder once'),
  v.check(({ feeders }) => {
    // One that hangs on an earlier one cannot be part of a ring.
    const before = (at: number) => feeders.slice(0, at).map((one) => one.id)
    return feeders.every(({ behind }, at) => behind === undefined || before(at).includes(behind))
  }, 'expected behind to name a feeder that is listed before'),
  v.check(
    ({ feeders, stations }) => stations.every((one) => !one.feeder || feeders.some((other) => other.id === one.feeder)),
    'expected the feeder of each station among the feeders',
  ),
  v.check(
    ({ phases, stations }) => phases === 3 || stations.every((one) => !one.phases || one.phases.join() === 'L1'),
    'expected phases: [L1] in a house with one phase',
  ),
  v.check(
    (site) =>
      phaseNames.every((phase) => {
        const on = site.stations.filter((one) => (one.phases ?? phaseNames).includes(phase))
        return on.length * site.safeCurrentA <= site.mainFuseA
      }),
    'expected safeCurrentA of all stations together within mainFuseA: nobody measures then',
  ),
)

export type SiteConfig = v.InferOutput<typeof siteShape>
export type ChargerConfig = SiteConfig['stations'][number]
export type ChargingMode = ChargerConfig['mode']
