import type { OcppVersion } from '@wattline/protocol'

/** What a station lets itself be told: the same limit in one of several forms of OCPP. */
export interface ProfileStyle {
  readonly purpose: 'TxProfile' | 'TxDefaultProfile' | 'ChargingStationMaxProfile'
  readonly kind: 'Absolute' | 'Relative'
  readonly unit: 'A' | 'W'
}

/** One limit for one connector. */
export interface ProfileOrder {
  readonly version: OcppVersion
  readonly connector: number
  readonly style: ProfileStyle
  readonly limitA: number
  /** What holds when `forSeconds` are over without another word; the limit holds for ever where this is left out. */
  readonly after?: { readonly forSeconds: number; readonly safeA: number } | undefined
  /** What OCPP calls the transaction; 1.6 can do without. */
  readonly transactionId?: string | undefined
  /** Phases among which a limit in W is divided. */
  readonly phases: number
  /** Now, by the clock of the station, in Unix ms. */
  readonly stationNowMs: number
  /** Since the transaction began: a relative schedule counts from there. */
  readonly transactionSeconds: number
}

const nominalV = 230
/** So much is a schedule's begin in the past, so that a station whose clock lags a little finds it begun. */
const leadSeconds = 300
/** A limit for always begins here: no clock is so wrong. */
const longAgo = '2020-01-01T00:00:00Z'

/** The form that everybody should understand first, then what real stations accept instead. */
const kinds = ['Absolute', 'Relative'] as const
const units = ['A', 'W'] as const

const stylesOf = (purpose: ProfileStyle['purpose']): readonly ProfileStyle[] =>
  units.flatMap((unit) => kinds.map((kind) => ({ purpose, kind, unit })))

/** How the limit that holds without us is told. */
export const defaultStyles: readonly ProfileStyle[] = [
  ...stylesOf('TxDefaultProfile'),
  ...stylesOf('ChargingStationMaxProfile'),
]

/**
 * How the limit of the moment is told. A TxProfile stands above the default while its transaction lasts; without it,
 * the default itself is replaced by one that turns into the safe current. Forms that the station has taken before come first.
 */
export function activeStyles(accepted: ProfileStyle | undefined): readonly ProfileStyle[] {
  const all = [...stylesOf('TxProfile'), ...defaultStyles]
  if (accepted === undefined) return all
  // A limit of the whole station binds every transaction: whoever was given one as the default needs it raised.
  if (accepted.purpose === 'ChargingStationMaxProfile') return [accepted]
  const likeness = ({ kind, unit }: ProfileStyle) => Number(kind === accepted.kind) + Number(unit === accepted.unit)
  const rank = (style: ProfileStyle) => (style.purpose === 'TxProfile' ? 0 : style.purpose === accepted.purpose ? 1 : 2)
  return all.toSorted((a, b) => rank(a) - rank(b) || likeness(b) - likeness(a))
}

/** The request that tells a station a limit. */
export function toSetChargingProfile(order: ProfileOrder): Readonly<Record<string, unknown>> {
  const { version, style, connector } = order
  // A limit of the whole station stands at 0 (OCPP 1.6 §5.16.3, 2.0.1 K01.FR.38).
  const place = style.purpose === 'ChargingStationMaxProfile' ? 0 : connector
  return version === 'ocpp1.6' ? to16(order, place) : to2(order, place)
}

function to16(order: ProfileOrder, connectorId: number) {
  const { purpose, kind, unit } = order.style
  const number = Number(order.transactionId)
  const names = { ...keep, ChargingStationMaxProfile: 'ChargePointMaxProfile' } as const
  return {
    connectorId,
    csChargingProfiles: {
      chargingProfileId: idOf(order),
      // OCPP 1.6 §5.16.2: so that it never holds for the next transaction.
      ...(purpose === 'TxProfile' && Number.isSafeInteger(number) ? { transactionId: number } : {}),
      stackLevel: 0,
      chargingProfilePurpose: names[purpose],
      chargingProfileKind: kind,
      chargingSchedule: {
        ...startOf(order),
        chargingRateUnit: unit,
        chargingSchedulePeriod: periodsOf(order),
      },
    },
  }
}

const keep = { TxProfile: 'TxProfile', TxDefaultProfile: 'TxDefaultProfile' } as const

function to2(order: ProfileOrder, evseId: number) {
  const { purpose, kind, unit } = order.style
  const { transactionId } = order
  return {
    evseId,
    chargingProfile: {
      id: idOf(order),
      // K01.FR.03: a TxProfile names its transaction.
      ...(purpose === 'TxProfile' && transactionId !== undefined ? { transactionId } : {}),
      // Some stations know no other level (ABB, Wallbox), and each of ours is alone with its purpose and place.
      stackLevel: 0,
      chargingProfilePurpose: purpose,
      chargingProfileKind: kind,
      chargingSchedule: [
        { id: idOf(order), ...startOf(order), chargingRateUnit: unit, chargingSchedulePeriod: periodsOf(order) },
      ],
    },
  }
}

// One number for each purpose and place: the same number replaces what was told before (K01.FR.05).
function idOf({ style, connector }: ProfileOrder): number {
  const offset = { TxProfile: 1, TxDefaultProfile: 2, ChargingStationMaxProfile: 3 }[style.purpose]
  return 9000 + 10 * connector + offset
}

function startOf({ style, after, stationNowMs }: ProfileOrder): { readonly startSchedule?: string } {
  if (style.kind === 'Relative') return {} // K01.FR.41
  const begin = new Date(stationNowMs - leadSeconds * 1000).toISOString()
  return { startSchedule: after === undefined ? longAgo : begin }
}

// What follows stands in the same schedule: a station that forgets to fall back to its default, or has none, cannot
// forget this.
function periodsOf(order: ProfileOrder) {
  const { limitA, after, style, transactionSeconds } = order
  const first = { startPeriod: 0, ...limitOf(order, limitA) }
  if (after === undefined) return [first]
  const begun = style.kind === 'Relative' ? Math.max(0, Math.floor(transactionSeconds)) : leadSeconds
  return [first, { startPeriod: begun + after.forSeconds, ...limitOf(order, after.safeA) }]
}

function limitOf({ style, phases }: ProfileOrder, ampere: number) {
  if (style.unit === 'A') return { limit: Math.floor(ampere * 10 + 1e-6) / 10 }
  return { limit: Math.floor(ampere * nominalV * phases), numberPhases: phases }
}
