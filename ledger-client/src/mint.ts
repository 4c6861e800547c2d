import {
  type Base,
  type Energy,
  makeClaim,
  type OcmfRecord,
  type Registers,
  readingStates,
  roleDirections,
  type SessionStep,
  stepBase,
  stepSession,
  type Wh,
} from '@wattline/protocol'
import type { Ledger } from './ledger/ledger.ts'
import type { Place, Point, Terms } from './points/registry.ts'
import type { CountOutcome } from './store/records.ts'

/** What one record does to its point's count. */
export interface Count {
  readonly outcome: CountOutcome
  /** Why the energy was refused. */
  readonly message?: string
  readonly base: Base | undefined
  readonly energy: Energy
}

const noEnergy: Energy = { import: 0n, export: 0n }

/** Works out what a record counts for, by the enrolled terms. Pure: the audit repeats it. */
export function countRecord(base: Base | undefined, record: OcmfRecord, terms: Terms): Count {
  const { maxPowerW = 0, rolloverWh, role } = terms
  // The enrolled role decides which registers count, not the record: a consumer's export register mints nothing.
  const registers = pickRegisters(record.registers, roleDirections[role])
  const rules = { maxPowerW, ...(rolloverWh === undefined ? {} : { rolloverWh }) }
  const step = stepBase(base, { ...record, registers }, rules)
  if (step.kind === 'kept') return { outcome: 'kept', base: step.base, energy: noEnergy }
  if (step.kind === 'refused') return { outcome: step.code, message: step.message, base: step.base, energy: noEnergy }
  if (base === undefined || readingStates[record.state].energy === 'base') {
    return { outcome: 'base', base: step.base, energy: step.energy }
  }
  // A register that is absent this time keeps its old base: the difference counts when it is there again.
  const merged = { ...base.registers, ...registers }
  return { outcome: 'counted', base: { ...step.base, registers: merged }, energy: step.energy }
}

function pickRegisters(registers: Registers, directions: readonly (keyof Registers)[]): Registers {
  return Object.fromEntries(
    directions.flatMap((name) => (registers[name] === undefined ? [] : [[name, registers[name]]])),
  )
}

/** Books what a record of a point without children counts for, exactly once (SPEC-83). */
export function bookRecord(point: Point, record: OcmfRecord, count: Count, ledger: Ledger): void {
  if (point.terms.role === 'charger') bookCharging(point, record, count, ledger)
  else if (point.terms.role === 'storage') bookStorage(point, record, count.energy, ledger)
  else mintRecord(point, record, count.energy, ledger)
}

/** What a record of a charging point does to the session there. The audit repeats it. */
export function chargeRecord(open: Point['session'], record: OcmfRecord, { outcome, energy }: Count): SessionStep {
  const kind = outcome === 'counted' || outcome === 'base' ? outcome : 'none'
  return stepSession(open, record, { kind, importWh: energy.import })
}

/** What a point has booked, and what is its to book once the session there ends: nobody else may book it meanwhile. */
export function claimedWh({ bookedWh, session }: Pick<Point, 'bookedWh' | 'session'>): Wh {
  return bookedWh - (session?.countedWh ?? 0n)
}

function bookCharging(point: Point, record: OcmfRecord, count: Count, ledger: Ledger): void {
  const before = point.session
  const { open, burnWh, bill, reason } = chargeRecord(before, record, count)
  point.session = open
  if (burnWh === 0n) return
  const told = { importWh: burnWh.toString(), exportWh: '0' }
  const from = before === undefined ? {} : { begin: formatBegin(before) }
  const { driver } = bill ?? {}
  ledger.book({
    claim: makeClaim(point.id, point.terms.role, record, count.energy).id,
    kind: bill === undefined ? 'claim' : 'session',
    point: point.id,
    owner: driver ?? point.terms.owner,
    mintWh: 0n,
    burnWh,
    note: {
      ...told,
      ...from,
      ...(driver === undefined ? {} : { driver }),
      ...(reason === undefined ? {} : { reason }),
    },
  })
  point.burnedWh += burnWh
  point.bookedWh -= burnWh
}

// The point's own sums stay as they are: what a storage moves is no WATT, and shows in the remainder above it.
function bookStorage(point: Point, record: OcmfRecord, energy: Energy, ledger: Ledger): void {
  if (energy.import === 0n && energy.export === 0n) return
  const { id } = makeClaim(point.id, point.terms.role, record, energy)
  ledger.store({ claim: id, point: point.id, importWh: energy.import, exportWh: energy.export })
}

function formatBegin({ epoch, sequence }: Place): string {
  return `${epoch}/${sequence}`
}

function mintRecord(point: Point, record: OcmfRecord, energy: Energy, ledger: Ledger): void {
  const { id, mintWh, burnWh } = makeClaim(point.id, point.terms.role, record, energy)
  if (mintWh === 0n && burnWh === 0n) return
  ledger.book({
    claim: id,
    kind: 'claim',
    point: point.id,
    owner: point.terms.owner,
    mintWh,
    burnWh,
    note: { importWh: energy.import.toString(), exportWh: energy.export.toString() },
  })
  point.mintedWh += mintWh
  point.burnedWh += burnWh
  point.bookedWh += mintWh - burnWh
}
