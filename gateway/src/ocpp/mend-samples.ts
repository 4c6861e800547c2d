import type { OcppVersion } from '@wattline/protocol'
import { fieldsOf } from './json-place.ts'

// Spellings that stations use for words of OCPP. The 1.6 schema has `Celcius` as well; both are read as written there.
const unitWords: Readonly<Record<string, string>> = {
  celsius: 'Celsius',
  '°c': 'Celsius',
  c: 'Celsius',
  '%': 'Percent',
  percentage: 'Percent',
  watt: 'W',
  watts: 'W',
  ampere: 'A',
  amps: 'A',
  volt: 'V',
  volts: 'V',
}

/**
 * What the schema cannot tell of meter values: blanks around a number, a text that is none, spellings of units. A
 * sample whose value is no number says nothing and goes; nothing is put in its place.
 */
export function mendSamples(payload: unknown, version: OcppVersion): string[] {
  const fields = fieldsOf(payload)
  const mended: string[] = []
  for (const list of ['meterValue', 'transactionData']) {
    const entries = fields?.[list]
    if (!Array.isArray(entries)) continue
    entries.forEach((entry, at) => {
      mended.push(...mendEntry(entry, `${list}.${at}`, version))
    })
    const kept = entries.filter((entry) => !isEmptied(entry))
    if (kept.length < entries.length && fields !== undefined) fields[list] = kept
  }
  return mended
}

/** Whether `mendSamples` would leave a payload as it is. */
export function hasCleanSamples(payload: Record<string, unknown>, version: OcppVersion): boolean {
  return ['meterValue', 'transactionData'].every((list) => {
    const entries = payload[list]
    if (!Array.isArray(entries)) return true
    return entries.every((entry) => {
      const samples = fieldsOf(entry)?.['sampledValue']
      if (!Array.isArray(samples)) return true
      return samples.every((sample) => {
        const { keep, words } = mendSample({ ...fieldsOf(sample) }, version)
        return keep && words.length === 0
      })
    })
  })
}

const emptied = new WeakSet<object>()

function isEmptied(entry: unknown): boolean {
  return typeof entry === 'object' && entry !== null && emptied.has(entry)
}

function mendEntry(entry: unknown, where: string, version: OcppVersion): string[] {
  const fields = fieldsOf(entry)
  const samples = fields?.['sampledValue']
  if (fields === undefined || !Array.isArray(samples)) return []
  const mended: string[] = []
  const kept = samples.filter((sample, at) => {
    const done = mendSample(sample, version)
    mended.push(...done.words.map((words) => `${where}.sampledValue.${at}: ${words}`))
    return done.keep
  })
  fields['sampledValue'] = kept
  // Only where we emptied it: a list that came empty is the schema's affair.
  if (kept.length === 0 && samples.length > 0) emptied.add(fields)
  return mended
}

function mendSample(sample: unknown, version: OcppVersion): { keep: boolean; words: string[] } {
  const fields = fieldsOf(sample)
  if (fields === undefined) return { keep: true, words: [] }
  const words: string[] = []
  const { value, format, unit } = fields
  if (typeof value === 'string' && format !== 'SignedData') {
    const trimmed = value.trim()
    if (trimmed === '' || !Number.isFinite(Number(trimmed))) {
      return { keep: false, words: [`left out: '${value.slice(0, 40)}' is no number`] }
    }
    if (trimmed !== value) {
      fields['value'] = trimmed
      words.push('blanks around the number left out')
    }
  }
  const meant = version === 'ocpp1.6' && typeof unit === 'string' ? unitWords[unit.trim().toLowerCase()] : undefined
  if (meant !== undefined && meant !== unit) {
    fields['unit'] = meant
    words.push(`unit '${String(unit)}' read as '${meant}'`)
  }
  return { keep: true, words }
}
