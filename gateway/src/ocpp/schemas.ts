import type { OcppVersion } from '@wattline/protocol'
import type { AnySchemaObject, ErrorObject } from 'ajv'
import { createValidator } from 'ocpp-rpc'
import schemas16 from 'ocpp-rpc/lib/schemas/ocpp1_6.json' with { type: 'json' }
import schemas201 from 'ocpp-rpc/lib/schemas/ocpp2_0_1.json' with { type: 'json' }
import schemas21 from 'ocpp-rpc/lib/schemas/ocpp2_1.json' with { type: 'json' }
import { hasZone } from './date-time.ts'

/** Which half of an exchange a payload is. */
export type OcppHalf = 'request' | 'answer'

/** One way in which a payload differs from its schema. */
export type SchemaFault = ErrorObject

/** The published schema of one message. */
export interface MessageSchema {
  readonly schema: AnySchemaObject
  /** Every fault, or none. */
  faults(payload: unknown): readonly SchemaFault[]
}

// The ids of the 2.1 schemas end in Request and Response; the others in .req and .conf.
function toCommonId({ $id, ...rest }: AnySchemaObject): AnySchemaObject {
  const id = String($id)
  const plain = id.replace(/Request$/, '.req').replace(/Response$/, '.conf')
  return { ...rest, $id: plain === id ? `${id}.req` : plain }
}

const sources: Readonly<Record<OcppVersion, readonly AnySchemaObject[]>> = {
  'ocpp1.6': schemas16,
  'ocpp2.0.1': schemas201,
  'ocpp2.1': schemas21.map(toCommonId),
}

type SchemaCompiler = ReturnType<typeof createValidator>['_ajv']

const compilers = new Map<OcppVersion, SchemaCompiler>()
const compiled = new Map<string, MessageSchema | undefined>()

function compilerOf(version: OcppVersion): SchemaCompiler {
  const known = compilers.get(version)
  if (known !== undefined) return known
  const ajv = createValidator(version, [...sources[version]])._ajv
  // Mending needs every fault of a payload at once. Nothing is compiled before the first look-up.
  ajv.opts.allErrors = true
  // The 2.1 schemas forbid further fields of texts; ajv would say so on stderr for each of them.
  ajv.opts.strictTypes = false
  // The format that comes along takes times without a zone and with a blank in the middle.
  ajv.addFormat('date-time', hasZone)
  compilers.set(version, ajv)
  return ajv
}

/** The schema of a message, or undefined where the version has no such message. */
export function findSchema(version: OcppVersion, action: string, half: OcppHalf): MessageSchema | undefined {
  const id = `urn:${action}.${half === 'request' ? 'req' : 'conf'}`
  const key = `${version} ${id}`
  if (compiled.has(key)) return compiled.get(key)
  // Asked for by name only where it exists: whoever sends other names must not fill the memory.
  const schema = sources[version].find(({ $id }) => $id === id)
  if (schema === undefined) return undefined
  const validate = compilerOf(version).getSchema(id)
  const found = validate && {
    schema,
    faults: (payload: unknown) => (validate(payload) === true ? [] : (validate.errors ?? [])),
  }
  compiled.set(key, found)
  return found
}

/** Faults in words, each with its place: `meterStop: must be integer`. */
export function tellFaults(faults: readonly SchemaFault[]): readonly string[] {
  return faults.map(({ instancePath, message, params }) => {
    const where = instancePath === '' ? 'payload' : instancePath.slice(1).replaceAll('/', '.')
    const extra = 'additionalProperty' in params ? ` (${String(params['additionalProperty']).slice(0, 40)})` : ''
    return `${where}: ${message ?? 'differs from the schema'}${extra}`
  })
}
