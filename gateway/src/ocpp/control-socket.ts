import { join } from 'node:path'
import { errorCodes } from '@wattline/protocol'
import * as v from 'valibot'
import { driverCommandShapes } from '../drivers/driver-commands.ts'

/** Where a running gateway takes commands: only for whoever may enter its data folder. */
export function controlPath(dataDir: string): string {
  return join(dataDir, 'control.sock')
}

/** One command, as a line of JSON. */
export const controlRequestShape = v.variant('command', [
  v.strictObject({ command: v.literal('stations') }),
  ...driverCommandShapes,
  v.strictObject({ command: v.literal('call'), station: v.string(), action: v.string(), payload: v.unknown() }),
])

export type ControlRequest = v.InferOutput<typeof controlRequestShape>

/** What comes back, as a line of JSON. */
export const controlReplyShape = v.variant('ok', [
  v.strictObject({ ok: v.literal(true), result: v.unknown() }),
  v.strictObject({ ok: v.literal(false), code: v.picklist(errorCodes), message: v.string() }),
])

export type ControlReply = v.InferOutput<typeof controlReplyShape>

/** The longest line: the largest request to a station is a firmware's certificate chain. */
export const longestControlLine = 1_048_576
