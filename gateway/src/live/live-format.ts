import type { TracedFrame } from '../modbus/frame-trace.ts'
import type { LiveRow } from './live-meter.ts'

const headings = ['register', 'fc', 'address', 'words', 'value', 'unit', 'age', 'last exception'] as const
// Where numbers stand in a column.
const rightAligned: readonly string[] = ['fc', 'value', 'age']

/** The registers as a table, a line each. `width` cuts lines that a terminal would wrap. */
export function formatTable(rows: readonly LiveRow[], width = Number.POSITIVE_INFINITY): readonly string[] {
  const cells = [headings, ...rows.map(toCells)]
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)))
  return cells.map((row) =>
    row
      .map((text, column) => pad(text, widths[column] ?? 0, rightAligned.includes(headings[column] ?? '')))
      .join('  ')
      .trimEnd()
      .slice(0, width),
  )
}

function toCells({ name, functionCode, address, words, scaleFactor, value, unit, ageMs, lastError }: LiveRow) {
  const raw = (words ?? []).map(toHex).join(' ')
  return [
    name,
    String(functionCode),
    `${address} 0x${toHex(address)}`,
    scaleFactor === undefined ? raw : `${raw} sf ${toHex(scaleFactor)}`,
    typeof value === 'number' ? String(Number(value.toFixed(3))) : (value ?? ''),
    value === undefined ? '' : unit,
    ageMs === undefined ? '' : toAge(ageMs),
    lastError === undefined ? '' : `${toAge(lastError.ageMs)} ago: ${lastError.error.message.split(': ').at(-1)}`,
  ]
}

/** The registers as one object of JSON. */
export function toJson(rows: readonly LiveRow[]): readonly object[] {
  return rows.map(({ words, scaleFactor, lastError, ...row }) => ({
    ...row,
    ...(words === undefined ? {} : { words: words.map(toHex) }),
    ...(scaleFactor === undefined ? {} : { scaleFactor: toHex(scaleFactor) }),
    ...(lastError === undefined
      ? {}
      : { lastError: { code: lastError.error.code, message: lastError.error.message, ageMs: lastError.ageMs } }),
  }))
}

/** One frame as a line: gap before it, direction, bytes, CRC. */
export function formatFrame({ direction, bytes, gapMs, crc }: TracedFrame): string {
  const gap = gapMs === undefined ? '' : `+${gapMs.toFixed(1)} ms`
  const hex = bytes.toString('hex').replace(/..(?=.)/g, '$& ')
  return `${gap.padStart(12)}  ${direction.padEnd(8)}  ${hex}${crc === 'none' ? '' : `  crc ${crc}`}`
}

/** The same as JSON. */
export function frameToJson({ bytes, ...frame }: TracedFrame): object {
  return { frame: { ...frame, bytes: bytes.toString('hex') } }
}

function toHex(word: number): string {
  return word.toString(16).padStart(4, '0')
}

function toAge(ms: number): string {
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`
}

function pad(text: string, width: number, toTheRight: boolean): string {
  return toTheRight ? text.padStart(width) : text.padEnd(width)
}
