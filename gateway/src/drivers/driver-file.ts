import { readFileSync, statSync } from 'node:fs'
import {
  type DriverList,
  decodeWith,
  driverGroupTerms,
  driverTerms,
  normaliseToken,
  WattError,
} from '@wattline/protocol'
import * as v from 'valibot'
import { parseDocument, stringify } from 'yaml'
import { type Placement, writeDurably } from '../store/atomic-file.ts'
import { hashToken } from './token-hash.ts'

const until = v.exactOptional(v.pipe(v.string(), v.isoTimestamp('expected a time such as 2027-01-31T18:00:00Z')))

const shape = v.strictObject({
  version: v.literal(1),
  groups: v.optional(v.array(v.strictObject({ ...driverGroupTerms, until })), []),
  drivers: v.optional(
    v.array(
      v.strictObject({
        token: v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(255)),
        ...driverTerms,
        until,
      }),
    ),
    [],
  ),
})

/** Who may charge, with the tokens themselves: what a list is made of, and what stations can be told. */
export type DriverFile = v.InferOutput<typeof shape>
export type DriverEntry = DriverFile['drivers'][number]

/** Reads it; throws where others may read it too. */
export function readDriverFile(path: string): DriverFile {
  checkPrivate(path)
  return parseDriverFile(readText(path), path)
}

export function parseDriverFile(text: string, path: string): DriverFile {
  const document = parseDocument(text)
  if (document.errors.length > 0) {
    throw new WattError('drivers/invalid', document.errors.map(({ message }) => `${path}: ${message}`).join('\n'))
  }
  const file = decodeWith(shape, document.toJS(), path, 'drivers/invalid')
  const tokens = file.drivers.map(({ token }) => normaliseToken(token))
  const twice = tokens.findIndex((token, at) => tokens.indexOf(token) < at)
  if (twice >= 0) throw new WattError('drivers/invalid', `${path}: drivers[${twice}]: this token is given twice`)
  return file
}

/** Writes it for its owner alone. */
export function writeDriverFile(path: string, file: DriverFile, placement: Placement = 'replace'): void {
  writeDurably(path, stringify(file), placement)
}

/** The list that is signed: the same, with a hash in place of each token. */
export function toDriverList(
  file: DriverFile,
  terms: Pick<DriverList, 'serial' | 'issuedAt' | 'salt' | 'cost'>,
): DriverList {
  const toTime = (text: string | undefined) => (text === undefined ? {} : { until: Date.parse(text) })
  return {
    v: 1,
    ...terms,
    groups: file.groups.map(({ until: end, ...rest }) => ({ ...rest, ...toTime(end) })),
    drivers: file.drivers.map(({ token, until: end, ...rest }) => ({
      hash: hashToken(token, terms),
      ...rest,
      ...toTime(end),
    })),
  }
}

/** A secret's file must be its owner's alone. */
export function checkPrivate(path: string): void {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode
  if (mode === undefined || (mode & 0o077) === 0) return
  const is = (mode & 0o777).toString(8).padStart(4, '0')
  throw new WattError('drivers/invalid', `${path} has mode ${is}: others may read its tokens. Run: chmod 0600 ${path}`)
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('drivers/invalid', `${path}: cannot be read: ${reason}`, { cause })
  }
}
