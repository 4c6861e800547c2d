import { type OcppVersion, ocppActions, WattError } from '@wattline/protocol'
import { fieldsOf } from './json-place.ts'
import { findSchema, tellFaults } from './schemas.ts'
import type { OcppPayload } from './transaction-sink.ts'

/** Checks a request before it leaves: its name, its direction, and its payload against the published schema. */
export function checkOutgoing(version: OcppVersion, action: string, payload: unknown): OcppPayload {
  const known = ocppActions[version].csms
  const schema = known.includes(action) ? findSchema(version, action, 'request') : undefined
  const fields = fieldsOf(payload)
  if (schema === undefined) {
    const meant = known.find((one) => one.toLowerCase() === action.toLowerCase())
    const hint = meant === undefined ? `it has ${known.join(', ')}` : `it is written ${meant}`
    throw new WattError('message/invalid', `${version} has no request '${action.slice(0, 50)}' to a station; ${hint}`)
  }
  const faults = schema.faults(payload)
  if (faults.length > 0 || fields === undefined) {
    throw new WattError('message/invalid', `${action} (${version}) not sent: ${tellFaults(faults).join('; ')}`)
  }
  return fields
}

/** What is wrong with the answer to one of our requests; empty where nothing is. */
export function findAnswerFaults(version: OcppVersion, action: string, answer: unknown): readonly string[] {
  return tellFaults(findSchema(version, action, 'answer')?.faults(answer) ?? [])
}
