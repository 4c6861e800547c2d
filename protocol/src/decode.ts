import * as v from 'valibot'
import { type ErrorCode, WattError } from './errors.ts'

/**
 * Accepts an unknown value with a schema, or throws one error that tells every problem with its path:
 * `gateway.yaml: meters[0].unitId: expected <= 247, got 300`.
 */
export function decodeWith<TSchema extends v.GenericSchema>(
  schema: TSchema,
  input: unknown,
  source: string,
  code: ErrorCode,
): v.InferOutput<TSchema> {
  const result = v.safeParse(schema, input)
  if (result.success) return result.output
  const problems = result.issues.map((issue) => `${formatPath(issue)}${issue.message}`)
  throw new WattError(code, problems.map((problem) => `${source}: ${problem}`).join('\n'))
}

function formatPath(issue: v.BaseIssue<unknown>): string {
  const path = (issue.path ?? [])
    .map((item) => (typeof item.key === 'number' ? `[${item.key}]` : `.${String(item.key)}`))
    .join('')
  return path === '' ? '' : `${path.replace(/^\./, '')}: `
}

/** An integer within bounds, both included. */
export function integerBetween(low: number, high: number) {
  return v.pipe(v.number(), v.integer(), v.minValue(low), v.maxValue(high))
}

/** The last moment that a time in ms since 1970 may name: the end of the year 9999, as calendars write years in four digits. */
export const lastMoment = 253_402_300_799_999
