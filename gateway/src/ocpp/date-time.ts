// RFC 3339 §5.6, but with the zone that many stations leave out, a blank for the T, and +0200 for +02:00.
const pattern = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*([Zz]|[+-]\d\d(?::?\d\d)?)?$/
const strict = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/

/** Whether a text is a time as OCPP wants it: complete, existing, and with its zone. */
export function hasZone(text: string): boolean {
  const match = strict.exec(text)
  return match !== null && exists(match.slice(1, 7).map(Number))
}

/**
 * A time as stations write it, in UTC: `2026-11-21T09:00:00.000Z`. What has no zone is local time of `timeZone`;
 * the hour that comes twice in autumn is taken as the first of the two. Undefined for what is no time.
 */
export function toUtc(text: string, timeZone: string): string | undefined {
  const match = pattern.exec(text.trim())
  if (match === null) return undefined
  const parts = match.slice(1, 7).map((part) => Number(part ?? 0))
  if (!exists(parts)) return undefined
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
  const ms = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3))
  const wall = Date.UTC(year, month - 1, day, hour, minute, second, ms)
  const zone = match[8]
  const utc = zone === undefined ? fromLocal(wall, timeZone) : wall - toOffsetMs(zone)
  return new Date(utc).toISOString()
}

const monthDays = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

// Without a Date, which is slow: every sample of every station has its time.
function exists([year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0]: readonly number[]): boolean {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  const days = month === 2 && isLeap ? 29 : (monthDays[month - 1] ?? 0)
  return year >= 1970 && day >= 1 && day <= days && hour < 24 && minute < 60 && second < 60
}

function toOffsetMs(zone: string): number {
  if (zone.toUpperCase() === 'Z') return 0
  const [hours = 0, minutes = 0] = [zone.slice(1, 3), zone.slice(3).replace(':', '')].map(Number)
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000
}

// The offset depends on the moment that is sought: guess with the offsets of the day before and the day after, and
// take the earlier moment that reads as the wall clock did.
function fromLocal(wall: number, timeZone: string): number {
  const candidates = [-86_400_000, 86_400_000].map((shift) => wall - offsetAt(wall + shift, timeZone))
  const fitting = candidates.filter((moment) => moment + offsetAt(moment, timeZone) === wall)
  return Math.min(...(fitting.length > 0 ? fitting : candidates))
}

const formats = new Map<string, Intl.DateTimeFormat>()

function offsetAt(moment: number, timeZone: string): number {
  const format =
    formats.get(timeZone) ??
    new Intl.DateTimeFormat('en-GB', { timeZone, dateStyle: 'short', timeStyle: 'medium', hourCycle: 'h23' })
  formats.set(timeZone, format)
  const parts = new Map(format.formatToParts(moment).map(({ type, value }) => [type, Number(value)]))
  const get = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0
  const wall = Date.UTC(get('year'), get('month') - 1, get('day'), get('hour'), get('minute'), get('second'))
  return wall - Math.floor(moment / 1000) * 1000
}
