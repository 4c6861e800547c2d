import type { Role } from '../certificate.ts'
import type { ClockStatus, Timestamp } from '../clock.ts'
import type { ErrorCode } from '../errors.ts'
import type { PointId } from '../ids.ts'
import { directions, type OcmfRecord } from '../ocmf.ts'
import { type Direction, type Registers, readingStates } from '../reading.ts'
import type { Wh } from '../units.ts'

/** The last register that counted: energy is always the difference to it (SPEC-80). */
export interface Base extends Since {
  readonly registers: Registers
}

/** From when energy had time to flow (SPEC-81). */
export interface Since {
  readonly takenAt: Timestamp
  readonly clockStatus: ClockStatus
  /** The earliest time that was told later on: there only where a clock was put back. */
  readonly since?: Timestamp
}

/**
 * Hears what time a later record tells. One that is earlier shows that the clock was ahead, and time counts from
 * there: a base in a future that never was would refuse all energy until then. A clock that is not synchronised says
 * nothing against one that was.
 */
export function noticeTime<T extends Since>(base: T, { takenAt, clockStatus }: Since): T {
  const isWorse = base.clockStatus === 'S' && clockStatus !== 'S'
  return takenAt < (base.since ?? base.takenAt) && !isWorse ? { ...base, since: takenAt } : base
}

/** The time that passed from a base to a later moment, in ms; a clock that was put back tells none. */
export function elapsedMsSince(base: Since, takenAt: Timestamp): number {
  const elapsedMs = takenAt - (base.since ?? base.takenAt)
  return elapsedMs < 0 ? 0 : elapsedMs
}

/** What the ledger knows of a metering point when it works out energy. */
export interface ClaimRules {
  readonly maxPowerW: number
  readonly rolloverWh?: Wh
}

/** Energy that passed between two sound readings. */
export type Energy = Readonly<Record<Direction, Wh>>

/** What one verified record does to the base. */
export type ClaimStep =
  /** The base moves, and this much energy counts; zero where counting only starts. */
  | { readonly kind: 'counted'; readonly base: Base; readonly energy: Energy }
  /** Written down, nothing counts, the base's registers stay. */
  | { readonly kind: 'kept'; readonly base: Base | undefined }
  /** The record claims what cannot be: nothing counts, the base's registers stay, the reason is written down. */
  | { readonly kind: 'refused'; readonly base: Base; readonly code: ErrorCode; readonly message: string }

const noEnergy: Energy = { import: 0n, export: 0n }

/** SPEC-81: energy that two clocks and a coarse register may disagree by, over what the fuse allows, in Wh. */
export const toleranceWh = 100n

/** Works out what a record counts for. Pure: the same base and record always give the same step. */
export function stepBase(last: Base | undefined, record: OcmfRecord, rules: ClaimRules): ClaimStep {
  const { energy: quality } = readingStates[record.state]
  const base = last && noticeTime(last, record)
  if (quality === 'absent' || quality === 'doubtful') return { kind: 'kept', base }
  const { registers, takenAt, clockStatus } = record
  const next: Base = { registers, takenAt, clockStatus }
  if (base === undefined || quality === 'base') return { kind: 'counted', base: next, energy: noEnergy }
  const energy: Record<Direction, Wh> = { ...noEnergy }
  for (const direction of directions) {
    const before = base.registers[direction]
    const after = registers[direction]
    if (before === undefined || after === undefined) continue // a register that is new to the point starts to count
    const difference = differenceOf(before, after, quality === 'wrapped' ? rules.rolloverWh : undefined)
    if (difference < 0n) {
      const message = `${place(record)}: ${direction} register went from ${before} to ${after} Wh`
      return { kind: 'refused', base, code: 'register/decreased', message }
    }
    energy[direction] = difference
  }
  return overLimit(base, record, energy, rules) ?? { kind: 'counted', base: next, energy }
}

function differenceOf(before: Wh, after: Wh, widthWh: Wh | undefined): Wh {
  const difference = after - before
  return difference < 0n && widthWh !== undefined && before < widthWh ? difference + widthWh : difference
}

function overLimit(base: Base, record: OcmfRecord, energy: Energy, rules: ClaimRules): ClaimStep | undefined {
  const elapsedMs = BigInt(elapsedMsSince(base, record.takenAt))
  const limitWh = (BigInt(rules.maxPowerW) * elapsedMs) / 3_600_000n + toleranceWh
  const most = energy.import > energy.export ? energy.import : energy.export
  if (most <= limitWh) return undefined
  const message = `${place(record)}: ${most} Wh in ${elapsedMs} ms, at most ${limitWh} Wh at ${rules.maxPowerW} W`
  return { kind: 'refused', base, code: 'claim/over-limit', message }
}

function place(record: OcmfRecord): string {
  return `record ${record.epoch}/${record.sequence} of '${record.template.pointText}'`
}

/** What one verified record asks the ledger to book, if anything. */
export interface Claim {
  /** Names the claim for ever: doing it twice does it once. */
  readonly id: string
  readonly point: PointId
  readonly mintWh: Wh
  readonly burnWh: Wh
}

/** Energy to WATT base units by role: export mints, import burns; a storage does neither. */
export function makeClaim(point: PointId, role: Role, record: OcmfRecord, energy: Energy): Claim {
  const moves = role !== 'storage'
  return {
    id: `${point}#${record.epoch}/${record.sequence}`,
    point,
    mintWh: moves ? energy.export : 0n,
    burnWh: moves ? energy.import : 0n,
  }
}
