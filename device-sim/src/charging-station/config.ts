import { idPattern, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import { quirkNames } from './quirks.ts'

const seconds = v.pipe(v.number(), v.minValue(0), v.maxValue(2_000_000))
const percent = v.pipe(v.number(), v.minValue(0), v.maxValue(100))
const evse = v.optional(integerBetween(1, 16), 1)
const idToken = v.pipe(v.string(), v.minLength(1), v.maxLength(36))

const vehicleSchema = v.strictObject({
  batteryWh: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1_000_000)), 50_000),
  socPercent: v.optional(percent, 30),
  targetPercent: v.optional(percent, 100),
  taperPercent: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(99)), 80),
  maxCurrentA: v.optional(v.pipe(v.number(), v.minValue(6), v.maxValue(80)), 16),
  phases: v.optional(v.picklist([1, 2, 3]), 3),
  /** Spans in which it takes nothing, in simulated seconds after plugging in. */
  pauses: v.optional(v.array(v.strictObject({ at: seconds, for: seconds })), []),
  needsVentilation: v.optional(v.boolean(), false),
})

const vehicle = v.optional(vehicleSchema, {})

/** Something that happens at a station, in real seconds after the start, as with faults. */
const stepSchema = v.variant('do', [
  v.strictObject({ at: seconds, do: v.literal('plug-in'), evse, vehicle }),
  v.strictObject({ at: seconds, do: v.literal('unplug'), evse }),
  v.strictObject({ at: seconds, do: v.literal('present-card'), evse, idToken }),
  v.strictObject({ at: seconds, do: v.literal('emergency-stop') }),
  /** A new socket, though the old one is in order. */
  v.strictObject({ at: seconds, do: v.literal('reconnect') }),
  v.strictObject({ at: seconds, do: v.picklist(['power-cut', 'network-cut']), for: v.pipe(seconds, v.gtValue(0)) }),
  v.strictObject({
    at: seconds,
    do: v.picklist(['rcd-tripped', 'contactor-welded', 'lock-stuck']),
    evse,
    for: v.exactOptional(v.pipe(seconds, v.gtValue(0))),
  }),
])

/** Somebody who comes again and again: plugs in, shows a card, later shows it again and leaves. */
const driverSchema = v.strictObject({
  idToken,
  evse,
  vehicle,
  firstAt: v.optional(seconds, 5),
  staySeconds: v.optional(v.pipe(seconds, v.gtValue(0)), 600),
  everySeconds: v.optional(v.pipe(seconds, v.gtValue(0)), 1200),
  sessions: v.optional(integerBetween(1, 10_000), 1),
  /** Each moment is moved by up to so much, by the station's seed. */
  jitterSeconds: v.optional(seconds, 0),
  /** How it is ended: with the card, or by pulling the cable. */
  leaves: v.optional(v.picklist(['card', 'cable']), 'card'),
})

const text = (longest: number) => v.pipe(v.string(), v.minLength(1), v.maxLength(longest))

/** One charging station. */
export const stationSchema = v.strictObject({
  id: v.pipe(v.string(), v.regex(idPattern)),
  ocpp: v.picklist(['1.6', '2.0.1', '2.1']),
  /** Where its CSMS is; the station adds `/<id>`. */
  url: v.pipe(
    v.string(),
    v.regex(/^wss?:\/\/[^/](.*[^/])?$/, 'expected ws://host:port or wss://host:port, no slash behind'),
  ),
  vendor: v.optional(text(20), 'Wattline'),
  model: v.optional(text(20), 'Simulated Station'),
  serial: v.exactOptional(text(25)),
  firmware: v.optional(text(50), '1.0.0'),
  /** Basic authentication: a file with the password, relative to the folder of the config. */
  passwordFile: v.exactOptional(v.string()),
  /** PEM files, relative to the folder of the config. */
  tls: v.exactOptional(
    v.strictObject({
      ca: v.exactOptional(v.string()),
      cert: v.exactOptional(v.string()),
      key: v.exactOptional(v.string()),
    }),
  ),
  /** Where it keeps what survives a power cut, relative to the folder of the config. */
  dataDir: v.exactOptional(v.string()),
  /** Its EVSEs, numbered from 1, with one connector each: what 1.6 calls connectors. */
  evses: v.optional(
    v.pipe(
      v.array(
        v.strictObject({
          maxCurrentA: v.optional(v.pipe(v.number(), v.minValue(6), v.maxValue(80)), 32),
          phases: v.optional(v.picklist([1, 3]), 3),
          hasVentilation: v.optional(v.boolean(), false),
          /** Where its register begins when there is no state yet. */
          startWh: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0)), 0),
        }),
      ),
      v.minLength(1),
      v.maxLength(16),
    ),
    [{}],
  ),
  /** Configuration keys (1.6) or `Component.Variable` (2.x) that differ from the firmware's own values. */
  settings: v.optional(v.record(v.string(), v.string()), {}),
  quirks: v.optional(v.array(v.picklist(quirkNames)), []),
  /** How wrong its clock is before the CSMS has set it. */
  driftSeconds: v.optional(v.pipe(v.number(), v.minValue(-1e8), v.maxValue(1e8)), 0),
  /** Its local time, for the quirks that write it. */
  zoneMinutes: v.optional(integerBetween(-840, 840), 120),
  seed: v.optional(v.pipe(v.number(), v.safeInteger()), 1),
  /** From when the moments of steps and drivers count: the start of the program, or the first time that its CSMS takes it. */
  stepsFrom: v.optional(v.picklist(['start', 'accepted']), 'start'),
  steps: v.optional(v.array(stepSchema), []),
  drivers: v.optional(v.array(driverSchema), []),
})

export type StationConfig = v.InferOutput<typeof stationSchema>
export type StationStep = v.InferOutput<typeof stepSchema>
export type VehicleConfig = v.InferOutput<typeof vehicleSchema>
