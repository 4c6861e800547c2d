import type { OcppVersion } from '@wattline/protocol'
import type { AnySchemaObject } from 'ajv'
import { toUtc } from './date-time.ts'
import { fieldsOf, type JsonPlace, placeOf, removeAt, schemaAt } from './json-place.ts'
import { hasCleanSamples, mendSamples } from './mend-samples.ts'
import { findSchema, type MessageSchema, type SchemaFault, tellFaults } from './schemas.ts'
import type { OcppPayload } from './transaction-sink.ts'

/** A request as it came, and what is needed to read it. */
export interface RawRequest {
  readonly version: OcppVersion
  readonly action: string
  readonly payload: unknown
  /** IANA name: what a time without a zone is local to. */
  readonly timeZone: string
}

/** A request that its schema accepts, or why it cannot be made so. */
export type MendedRequest =
  | { readonly ok: true; readonly payload: OcppPayload; readonly mended: readonly string[] }
  | { readonly ok: false; readonly problems: readonly string[] }

// One round may uncover faults of the next: a sample that goes leaves an empty list.
const mostRounds = 4

/**
 * Makes what real stations send fit the schema, without inventing anything: a number in a text becomes the number, a
 * field that nobody knows is left out, and so is an optional one that makes no sense. What it did is told in words.
 */
export function mendRequest({ version, action, payload, timeZone }: RawRequest): MendedRequest {
  const message = findSchema(version, action, 'request')
  if (message === undefined) return { ok: false, problems: [`${version} has no ${action}`] }
  const asItCame = fieldsOf(payload)
  if (asItCame !== undefined && hasCleanSamples(asItCame, version) && message.faults(asItCame).length === 0) {
    return { ok: true, payload: asItCame, mended: [] }
  }
  const root = structuredClone(payload ?? {})
  if (fieldsOf(root) === undefined) return { ok: false, problems: ['payload: must be object'] }
  const mended: string[] = mendSamples(root, version)
  for (let round = 0; round < mostRounds; round++) {
    const faults = message.faults(root)
    const fields = fieldsOf(root)
    if (faults.length === 0 && fields !== undefined) return { ok: true, payload: fields, mended }
    const done = mendRound(root, message, faults, timeZone)
    if (done.length === 0) return { ok: false, problems: tellFaults(faults) }
    mended.push(...done)
  }
  return { ok: false, problems: tellFaults(message.faults(root)) }
}

function mendRound(root: unknown, message: MessageSchema, faults: readonly SchemaFault[], timeZone: string): string[] {
  const removals: JsonPlace[] = []
  const mended: string[] = []
  for (const fault of faults) {
    const place = placeOf(root, fault.instancePath)
    if (place === undefined) continue
    const done = mendFault({ fault, place, schema: message.schema, timeZone, removals })
    if (done !== undefined) mended.push(`${place.path.join('.') || 'payload'}: ${done}`)
  }
  // The last of a list first: what stands before keeps its number.
  for (const place of removals.toReversed()) removeAt(place)
  return mended
}

interface Repair {
  readonly fault: SchemaFault
  readonly place: JsonPlace
  readonly schema: AnySchemaObject
  readonly timeZone: string
  /** What goes at the end of the round. */
  readonly removals: JsonPlace[]
}

// Gives what was done, in words; undefined where nothing could be.
function mendFault(repair: Repair): string | undefined {
  const { fault, place, timeZone } = repair
  switch (fault.keyword) {
    case 'additionalProperties':
      return mendUnknownField(repair, String(fault.params['additionalProperty']))
    case 'type':
      return mendType(place, String(fault.params['type'])) ?? leaveOut(repair)
    case 'maxLength':
      // A cut card number is another card.
      return isToken(place) ? leaveOut(repair) : mendLength(place, Number(fault.params['limit']))
    case 'enum':
      return mendEnum(place, fault.params['allowedValues']) ?? leaveOut(repair)
    case 'format': {
      const utc = toUtc(String(place.value), timeZone)
      return utc === undefined ? leaveOut(repair) : put(place, utc, `read as ${utc}`)
    }
    default:
      return leaveOut(repair)
  }
}

function put(place: JsonPlace, value: unknown, words: string): string {
  place.set(value)
  return words
}

function isToken({ path }: JsonPlace): boolean {
  return /idtag$|idtoken/i.test(path.filter((part) => typeof part === 'string').join('.'))
}

function mendUnknownField({ fault, place, schema }: Repair, name: string): string | undefined {
  const fields = fieldsOf(place.value)
  if (fields === undefined) return undefined
  const known = Object.keys(schemaAt(schema, fault.instancePath)?.['properties'] ?? {})
  const value = fields[name]
  delete fields[name]
  const meant = known.find((one) => one.toLowerCase() === name.trim().toLowerCase())
  if (meant === undefined || meant in fields) return `left out '${name.slice(0, 40)}', which the schema does not know`
  fields[meant] = value
  return `'${name.slice(0, 40)}' read as '${meant}'`
}

function mendType(place: JsonPlace, wanted: string): string | undefined {
  const { value } = place
  if (wanted === 'string' && (typeof value === 'number' || typeof value === 'boolean')) {
    return put(place, String(value), 'a text was expected')
  }
  if (wanted === 'array' && fieldsOf(value) !== undefined) return put(place, [value], 'a list was expected')
  if (wanted === 'boolean' && (value === 'true' || value === 'false')) {
    return put(place, value === 'true', 'true or false was expected')
  }
  const number = toNumber(value)
  if (number === undefined || (wanted !== 'integer' && wanted !== 'number')) return undefined
  if (wanted === 'number' || Number.isSafeInteger(number)) return put(place, number, 'a number was expected')
  // Down, never up: of two registers cut alike the difference is never more than was measured by a whole unit.
  return put(place, Math.floor(number), `${number} cut to a whole number`)
}

/** A number in a text, as stations write it. */
export function toNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value !== 'string' || !/^\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*$/.test(value)) return undefined
  const number = Number(value)
  return Number.isFinite(number) ? number : undefined
}

function mendLength(place: JsonPlace, limit: number): string {
  return put(place, String(place.value).slice(0, limit), `cut to ${limit} characters`)
}

function mendEnum(place: JsonPlace, allowed: unknown): string | undefined {
  const { value } = place
  if (typeof value !== 'string' || !Array.isArray(allowed)) return undefined
  const plain = (text: unknown) => String(text).trim().toLowerCase()
  const meant = allowed.find((one) => plain(one) === plain(value))
  return typeof meant === 'string' ? put(place, meant, `'${value.slice(0, 40)}' read as '${meant}'`) : undefined
}

// An optional field may go; so may one entry of a list of samples. Anything else must stay as it is.
function leaveOut({ fault, place, schema, removals }: Repair): string | undefined {
  const owner = place.parentPath
  const required: unknown = owner === undefined ? [] : schemaAt(schema, owner)?.['required']
  const name = place.path.at(-1)
  if (name === undefined) return undefined
  if (typeof name === 'string' && !(Array.isArray(required) && required.includes(name)) && mayGo(place)) {
    removals.push(place)
    return `left out: ${fault.message ?? 'makes no sense'}`
  }
  const sample = sampleAround(place)
  if (sample === undefined) return undefined
  if (!removals.some(({ path }) => path.join() === sample.path.join())) removals.push(sample)
  return `left out '${sample.path.join('.')}': ${fault.message ?? 'makes no sense'}`
}

// Without its unit, measurand, phase or format a value says something else than the station meant.
function mayGo({ path }: JsonPlace): boolean {
  const inSample = path.includes('sampledValue') && path.at(-1) !== 'sampledValue'
  return !inSample || path.at(-1) === 'context' || path.at(-1) === 'location'
}

// The nearest entry of `sampledValue`, `meterValue` or `transactionData` that a place belongs to.
function sampleAround(place: JsonPlace): JsonPlace | undefined {
  for (let at: JsonPlace | undefined = place; at !== undefined; at = at.parent) {
    const list = at.path.at(-2)
    if (
      typeof at.path.at(-1) === 'number' &&
      (list === 'sampledValue' || list === 'meterValue' || list === 'transactionData')
    )
      return at
  }
  return undefined
}
