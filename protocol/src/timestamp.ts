import { type ClockStatus, clockStatuses, type Timestamp } from './clock.ts'
import { WattError } from './errors.ts'

/** 9999-12-31T23:59:59,999: the last moment that four digits of a year can say. */
const lastMs = 253_402_300_799_999
const dayMs = 86_400_000

/** Milliseconds since 1970 to a timestamp that a record can carry. */
export function makeTimestamp(ms: number): Timestamp {
  if (!Number.isSafeInteger(ms) || ms < 0 || ms > lastMs) {
    throw new WattError('record/malformed', `time in ms between 0 and ${lastMs} expected, got ${ms}`)
  }
  return ms as Timestamp
}

/** OCMF table 7, TM, always in UTC: `2026-11-21T09:00:00,000+0000 S`. */
export function formatOcmfTime(time: Timestamp, status: ClockStatus): string {
  const { year, month, day } = toCivil(Math.floor(time / dayMs))
  const ms = time % dayMs
  const two = (value: number) => value.toString().padStart(2, '0')
  const clock = `${two(Math.floor(ms / 3_600_000))}:${two(Math.floor(ms / 60_000) % 60)}:${two(Math.floor(ms / 1000) % 60)}`
  const date = `${year.toString().padStart(4, '0')}-${two(month)}-${two(day)}`
  return `${date}T${clock},${(ms % 1000).toString().padStart(3, '0')}+0000 ${status}`
}

const pattern = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d),(\d{3})\+0000 ([UISR])$/

/** The inverse of `formatOcmfTime`, or undefined for any other text. */
export function parseOcmfTime(text: string): { time: Timestamp; status: ClockStatus } | undefined {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const [year, month, day, hours, minutes, seconds, ms] = match.slice(1, 8).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const status = clockStatuses.find((known) => known === match[8])
  const value = toDays(year, month, day) * dayMs + hours * 3_600_000 + minutes * 60_000 + seconds * 1000 + ms
  if (status === undefined || value < 0 || value > lastMs) return undefined
  const time = value as Timestamp
  // Catches 30 February and 25 o'clock: they format to another text.
  return formatOcmfTime(time, status) === text ? { time, status } : undefined
}

// Days since 1970-01-01 and the proleptic Gregorian calendar, counted in years that begin in March, so that the
// leap day is the last day of a year.
function toDays(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

function toCivil(days: number): { year: number; month: number; day: number } {
  const z = days + 719_468
  const era = Math.floor(z / 146_097)
  const dayOfEra = z - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day }
}
