import { integerBetween } from '@wattline/protocol'
import * as v from 'valibot'

const connector = integerBetween(0, 100_000)

/** What the running gateway does for drivers when it is told to, over its socket for commands. */
export const driverCommandShapes = [
  v.strictObject({
    command: v.literal('start'),
    station: v.string(),
    connector,
    by: v.union([
      v.strictObject({ token: v.string(), type: v.exactOptional(v.string()) }),
      v.strictObject({ driver: v.string() }),
      v.strictObject({ code: v.string() }),
    ]),
  }),
  v.strictObject({
    command: v.literal('stop'),
    station: v.exactOptional(v.string()),
    connector: v.exactOptional(connector),
    session: v.exactOptional(v.string()),
  }),
  v.strictObject({
    command: v.literal('reserve'),
    station: v.string(),
    connector,
    minutes: integerBetween(1, 44_640),
    driver: v.exactOptional(v.string()),
    group: v.exactOptional(v.string()),
    withCode: v.boolean(),
  }),
  v.strictObject({ command: v.literal('cancel-reservation'), number: integerBetween(1, Number.MAX_SAFE_INTEGER) }),
  v.strictObject({ command: v.literal('reservations') }),
] as const

export const driverCommandShape = v.variant('command', [...driverCommandShapes])

export type DriverCommand = v.InferOutput<typeof driverCommandShape>
