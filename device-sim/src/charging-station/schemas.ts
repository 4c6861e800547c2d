import { createRequire } from 'node:module'
import { createValidator } from 'ocpp-rpc'

export type OcppVersion = '1.6' | '2.0.1' | '2.1'

/** The published JSON schemas of one version: a problem in words, or nothing. */
export type CheckPayload = (action: string, direction: 'request' | 'response', payload: unknown) => string | undefined

const require = createRequire(import.meta.url)
const files = { '1.6': 'ocpp1_6', '2.0.1': 'ocpp2_0_1', '2.1': 'ocpp2_1' } as const
const made = new Map<OcppVersion, CheckPayload>()

// Some enumerations of 2.1 carry the keyword of an object, of which ajv complains on the console.
function withoutNonsense(schema: object): Record<string, unknown> {
  const entries = Object.entries(schema).filter(([key]) => key !== 'additionalProperties' || !('enum' in schema))
  const clean = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(clean)
    return typeof value === 'object' && value !== null ? withoutNonsense(value) : value
  }
  return Object.fromEntries(entries.map(([key, value]) => [key, clean(value)]))
}

/** The schemas that ship with ocpp-rpc; those of 2.1 carry other ids than its own look-up expects. */
export function payloadCheck(version: OcppVersion): CheckPayload {
  const known = made.get(version)
  if (known !== undefined) return known
  const schemas: readonly object[] = require(`ocpp-rpc/lib/schemas/${files[version]}.json`)
  const validator = createValidator(`ocpp${version}`, schemas.map(withoutNonsense))
  const suffixes =
    version === '2.1' ? { request: 'Request', response: 'Response' } : { request: '.req', response: '.conf' }
  const check: CheckPayload = (action, direction, payload) => {
    try {
      void validator.validate(`urn:${action}${suffixes[direction]}`, payload)
      return undefined
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
  made.set(version, check)
  return check
}
