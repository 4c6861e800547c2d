import { type Offer, voltageV } from './vehicle.ts'

export type ProfilePurpose =
  | 'ChargingStationExternalConstraints'
  | 'ChargingStationMaxProfile'
  | 'TxDefaultProfile'
  | 'TxProfile'

export type RateUnit = 'A' | 'W'

export interface SchedulePeriod {
  readonly startSeconds: number
  readonly limit: number
  readonly phases?: number | undefined
}

/** A charging profile in the words of OCPP 2.0.1, whichever version brought it. */
export interface ChargingProfile {
  readonly id: number
  /** 0: the whole station. */
  readonly evseId: number
  readonly stackLevel: number
  readonly purpose: ProfilePurpose
  readonly kind: 'Absolute' | 'Recurring' | 'Relative'
  readonly recurrency?: 'Daily' | 'Weekly' | undefined
  readonly validFromMs?: number | undefined
  readonly validToMs?: number | undefined
  readonly transactionId?: string | undefined
  readonly startMs?: number | undefined
  readonly durationSeconds?: number | undefined
  readonly unit: RateUnit
  readonly periods: readonly SchedulePeriod[]
}

/** For whom and when a limit is asked. */
export interface LimitQuery {
  readonly evseId: number
  readonly atMs: number
  readonly transaction?: { readonly id: string; readonly startedAtMs: number } | undefined
  /** What the EVSE could give without any profile. */
  readonly hardware: Offer
}

const secondsIn = { Daily: 86_400, Weekly: 604_800 } as const

/** The lowest of what each purpose allows (OCPP 2.0.1 part 2, K: "lowest limit of the leading profiles"). */
export function offerAt(profiles: readonly ChargingProfile[], query: LimitQuery): Offer {
  const own = (profile: ChargingProfile) => profile.evseId === query.evseId
  const whole = (profile: ChargingProfile) => profile.evseId === 0
  const of = (purpose: ProfilePurpose) => profiles.filter((profile) => profile.purpose === purpose)
  // A profile of the transaction replaces the default ones, and a default of this EVSE that of the station.
  const transaction =
    leading(of('TxProfile').filter(own), query) ??
    leading(of('TxDefaultProfile').filter(own), query) ??
    leading(of('TxDefaultProfile').filter(whole), query)
  const limits = [
    transaction,
    leading(of('ChargingStationMaxProfile'), query),
    leading(of('ChargingStationExternalConstraints'), query),
  ]
  return limits.reduce<Offer>((offer, limit) => (limit === undefined ? offer : lower(offer, limit)), query.hardware)
}

function lower(offer: Offer, { profile, period }: Leading): Offer {
  const phases = Math.min(offer.phases, period.phases ?? 3)
  const currentA = profile.unit === 'A' ? period.limit : period.limit / (voltageV * phases)
  return { currentA: Math.min(offer.currentA, currentA), phases }
}

interface Leading {
  readonly profile: ChargingProfile
  readonly period: SchedulePeriod
}

// The highest stack level that says something about this moment; one that has run out gives way to the next.
function leading(profiles: readonly ChargingProfile[], query: LimitQuery): Leading | undefined {
  for (const profile of profiles.toSorted((a, b) => b.stackLevel - a.stackLevel)) {
    const period = periodAt(profile, query)
    if (period !== undefined) return { profile, period }
  }
  return undefined
}

function periodAt(profile: ChargingProfile, { atMs, transaction }: LimitQuery): SchedulePeriod | undefined {
  if (profile.transactionId !== undefined && profile.transactionId !== transaction?.id) return undefined
  if (atMs < (profile.validFromMs ?? Number.NEGATIVE_INFINITY)) return undefined
  if (atMs >= (profile.validToMs ?? Number.POSITIVE_INFINITY)) return undefined
  const startMs = startOf(profile, atMs, transaction?.startedAtMs)
  const elapsed = (atMs - startMs) / 1000
  if (elapsed < 0 || elapsed >= (profile.durationSeconds ?? Number.POSITIVE_INFINITY)) return undefined
  return profile.periods.findLast(({ startSeconds }) => startSeconds <= elapsed)
}

// Without a transaction a relative schedule is taken to begin now, which is what a vehicle that came now would get.
function startOf(profile: ChargingProfile, atMs: number, transactionMs = atMs): number {
  if (profile.kind === 'Relative' || profile.startMs === undefined) return transactionMs
  if (profile.kind === 'Absolute') return profile.startMs
  const everyMs = secondsIn[profile.recurrency ?? 'Daily'] * 1000
  return profile.startMs + Math.floor((atMs - profile.startMs) / everyMs) * everyMs
}

/** What will be offered over a span, with one period for each change. */
export function compositeOf(
  profiles: readonly ChargingProfile[],
  query: LimitQuery,
  options: { readonly durationSeconds: number; readonly unit: RateUnit },
): readonly SchedulePeriod[] {
  const endMs = query.atMs + options.durationSeconds * 1000
  const times = new Set(profiles.flatMap((profile) => changesOf(profile, query, endMs)))
  const periods: SchedulePeriod[] = []
  // A relative schedule keeps its begin while the span is gone through.
  const transaction = query.transaction ?? { id: '', startedAtMs: query.atMs }
  for (const atMs of [query.atMs, ...times].sort((a, b) => a - b)) {
    const { currentA, phases } = offerAt(profiles, { ...query, transaction, atMs })
    const limit = round1(options.unit === 'A' ? currentA : currentA * voltageV * phases)
    const last = periods.at(-1)
    if (last?.limit === limit && last.phases === phases) continue
    periods.push({ startSeconds: Math.round((atMs - query.atMs) / 1000), limit, phases })
  }
  return periods
}

function changesOf(profile: ChargingProfile, { atMs, transaction }: LimitQuery, endMs: number): readonly number[] {
  const everyMs = profile.kind === 'Recurring' ? secondsIn[profile.recurrency ?? 'Daily'] * 1000 : undefined
  const firstMs = startOf(profile, atMs, transaction?.startedAtMs)
  const starts = [firstMs]
  if (everyMs !== undefined) for (let next = firstMs + everyMs; next < endMs; next += everyMs) starts.push(next)
  const offsets = profile.periods.map(({ startSeconds }) => startSeconds * 1000)
  if (profile.durationSeconds !== undefined) offsets.push(profile.durationSeconds * 1000)
  const changes = starts.flatMap((start) => offsets.map((offset) => start + offset))
  const borders = [profile.validFromMs, profile.validToMs].filter((ms) => ms !== undefined)
  return [...changes, ...borders].filter((ms) => ms > atMs && ms < endMs)
}

/** OCPP: limits carry at most one decimal. */
function round1(value: number): number {
  return Math.round(value * 10) / 10
}
