import type { OcppVersion } from '@wattline/protocol'
import { CallRefused } from '../call-refused.ts'
import { fieldsOf, schemaAt } from '../json-place.ts'
import { findSchema } from '../schemas.ts'
import type { OcppPayload } from '../transaction-sink.ts'

// In the order in which they are preferred. ClearChargingProfile knows no other word than Unknown for "no".
const noes = ['Rejected', 'NotSupported', 'UnlockFailed', 'Unknown', 'Failed', 'Declined']

/** How a command is refused. */
export interface Refusal {
  readonly version: OcppVersion
  readonly action: string
  readonly reason: string
  /** OCPP's word for it where there is a better one than Rejected, such as Occupied. */
  readonly status?: string
}

/**
 * Says no in OCPP's words: the status that the answer of this command has for it, with the reason where OCPP 2.x has a
 * place for that. Throws for a CALLERROR where the answer has no word for no.
 */
export function refuseCommand({ version, action, reason, status }: Refusal): OcppPayload {
  const answer = findSchema(version, action, 'answer')
  const words: unknown = answer && schemaAt(answer.schema, '/status')?.['enum']
  const known = Array.isArray(words) ? words : []
  const word = [...(status === undefined ? [] : [status]), ...noes].find((one) => known.includes(one))
  if (answer === undefined || word === undefined) throw new CallRefused('NotSupported', reason)
  const hasInfo = fieldsOf(answer.schema['properties'])?.['statusInfo'] !== undefined
  const payload = {
    status: word,
    // OCPP 2.x part 2: additionalInfo has at most 512 characters, and at most 1024 in 2.1.
    ...(hasInfo ? { statusInfo: { reasonCode: 'NotEnabled', additionalInfo: reason.slice(0, 512) } } : {}),
  }
  if (answer.faults(payload).length > 0) throw new CallRefused('NotSupported', reason)
  return payload
}
