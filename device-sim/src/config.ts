import { idPattern, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import { stationSchema } from './charging-station/config.ts'
import { faultSchema } from './faults.ts'

const id = v.pipe(v.string(), v.regex(idPattern))
const port = integerBetween(0, 65_535)
const endpoint = v.strictObject({ host: v.string(), port })
const wholeWh = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const watts = v.pipe(v.number(), v.minValue(-1_000_000), v.maxValue(1_000_000))

const baudRate = integerBetween(300, 921_600)
const parity = v.picklist(['none', 'even', 'odd'])
const stopBits = v.picklist([1, 2])

/** One serial line. A client reaches it by exactly one of `path` and `rtuOverTcp`. */
export const lineSchema = v.strictObject({
  id,
  /** A pseudo-terminal, linked here, relative to the folder of the config, as in the gateway's. */
  path: v.exactOptional(v.string()),
  /** A serial device server, which is set as the line is. */
  rtuOverTcp: v.exactOptional(endpoint),
  baudRate: v.optional(baudRate, 9600),
  parity: v.optional(parity, 'none'),
  stopBits: v.optional(stopBits, 1),
  /** How long its meters think before they answer; 3.5 characters at least. */
  turnaroundMs: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1000)), 5),
  /**
   * What characters, silences and turnarounds are multiplied with: 1 is the real line, 0 takes no time at all. The
   * order of things stays; what faults delay, they delay by their own real time.
   */
  pace: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 1),
})

/** One meter: where it hangs and what it measures. */
export const meterSchema = v.strictObject({
  id,
  profile: v.string(),
  unitId: integerBetween(1, 247),
  /** Exactly one of the three. */
  line: v.exactOptional(id),
  tcp: v.exactOptional(endpoint),
  rtuOverTcp: v.exactOptional(endpoint),
  /** How the meter itself is set, where that is not as its line. */
  baudRate: v.exactOptional(baudRate),
  parity: v.exactOptional(parity),
  stopBits: v.exactOptional(stopBits),
  curve: v.union([
    v.picklist(['solar', 'household', 'battery', 'grid']),
    v.strictObject({ constant: v.strictObject({ powerW: watts }) }),
  ]),
  /** Meters and charging stations whose flow also passes this one. */
  sees: v.optional(v.array(id), []),
  seed: v.optional(v.pipe(v.number(), v.safeInteger()), 1),
  peakW: v.exactOptional(v.pipe(v.number(), v.minValue(0), v.maxValue(1_000_000))),
  /** Where the registers begin: both of them, or each. Made from the seed when absent. */
  startWh: v.exactOptional(v.union([wholeWh, v.strictObject({ import: wholeWh, export: wholeWh })])),
  serial: v.exactOptional(
    v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,32}$/, 'expected 1 to 32 printable ASCII characters')),
  ),
  /** Where a SunSpec meter's map begins. */
  sunspecBase: v.exactOptional(v.picklist([40_000, 0, 50_000])),
})

/** The whole file. */
export const configSchema = v.strictObject({
  version: v.literal(1),
  name: v.exactOptional(v.string()),
  description: v.exactOptional(v.string()),
  /** A folder of meter profiles in place of the project's own. */
  profilesDir: v.exactOptional(v.string()),
  lines: v.optional(v.array(lineSchema), []),
  meters: v.optional(v.array(meterSchema), []),
  stations: v.optional(v.array(stationSchema), []),
  broker: v.exactOptional(endpoint),
  time: v.optional(
    v.strictObject({
      /** Simulated seconds per real second. */
      speedUp: v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(3600)), 1),
      /** The simulated moment of the start, in UTC. A summer forenoon: there is sun and load. */
      startsAt: v.optional(v.pipe(v.string(), v.isoTimestamp()), '2026-06-21T09:00:00Z'),
    }),
    {},
  ),
  faults: v.optional(v.array(faultSchema), []),
})

/** What one run of the simulator stands in for. */
export type SimConfig = v.InferOutput<typeof configSchema>
export type LineConfig = SimConfig['lines'][number]
export type MeterConfig = SimConfig['meters'][number]
