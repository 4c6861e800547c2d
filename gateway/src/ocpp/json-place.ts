import type { AnySchemaObject } from 'ajv'

/** One place in a JSON document. */
export interface JsonPlace {
  readonly path: readonly (string | number)[]
  readonly value: unknown
  readonly parent: JsonPlace | undefined
  /** JSON pointer of the object or list that it is in; undefined for the whole document. */
  readonly parentPath: string | undefined
  set(value: unknown): void
}

/** The fields of an object; undefined for anything else. */
export function fieldsOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

function keysOf(pointer: string): readonly string[] {
  return pointer === ''
    ? []
    : pointer
        .slice(1)
        .split('/')
        .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** The place that a JSON pointer (RFC 6901) names, where the document has one. */
export function placeOf(root: unknown, pointer: string): JsonPlace | undefined {
  let place: JsonPlace | undefined = { path: [], value: root, parent: undefined, parentPath: undefined, set: () => {} }
  let parentPath = ''
  for (const key of keysOf(pointer)) {
    place = childOf(place, key, parentPath)
    if (place === undefined) return undefined
    parentPath += `/${key}`
  }
  return place
}

function childOf(parent: JsonPlace, key: string, parentPath: string): JsonPlace | undefined {
  const { value: owner, path } = parent
  if (Array.isArray(owner)) {
    const at = Number(key)
    if (!(at in owner)) return undefined
    const set = (value: unknown) => void owner.splice(at, 1, value)
    return { path: [...path, at], value: owner[at], parent, parentPath, set }
  }
  const fields = fieldsOf(owner)
  if (fields === undefined || !Object.hasOwn(fields, key)) return undefined
  const set = (value: unknown) => void Object.assign(fields, { [key]: value })
  return { path: [...path, key], value: fields[key], parent, parentPath, set }
}

/** Takes a field or an entry away. */
export function removeAt({ path, parent }: JsonPlace): void {
  const name = path.at(-1)
  const fields = fieldsOf(parent?.value)
  if (typeof name === 'number' && Array.isArray(parent?.value)) parent.value.splice(name, 1)
  else if (typeof name === 'string' && fields !== undefined) delete fields[name]
}

/** The part of a schema that describes the value at a JSON pointer. */
export function schemaAt(root: AnySchemaObject, pointer: string): AnySchemaObject | undefined {
  let schema: AnySchemaObject | undefined = root
  for (const key of keysOf(pointer)) {
    schema = follow(root, schema)
    schema = schema?.['items'] === undefined ? schema?.['properties']?.[key] : schema['items']
    if (schema === undefined) return undefined
  }
  return follow(root, schema)
}

// References within the published schemas all read `#/definitions/NAME`.
function follow(root: AnySchemaObject, schema: AnySchemaObject | undefined): AnySchemaObject | undefined {
  const reference: unknown = schema?.['$ref']
  return typeof reference === 'string' ? root['definitions']?.[reference.replace('#/definitions/', '')] : schema
}
