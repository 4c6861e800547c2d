import { createHash } from 'node:crypto'
import type { OcppPayload } from '../transaction-sink.ts'

/** Tells a message that comes again. */
export function hashContent(action: string, payload: OcppPayload): string {
  return createHash('sha256')
    .update(`${action}\n${JSON.stringify(payload)}`)
    .digest('hex')
}
