import type { LedgerEngine } from '../src/engine.ts'
import { readBalances } from '../src/reports.ts'
import { Device } from './rig.ts'

/** A charging point of Alice. */
export const charger = (key?: number) =>
  new Device({ meter: 'CP1.1', role: 'charger', owner: 'alice', ...(key === undefined ? {} : { key }) })

/** What somebody has, and what somebody owes. */
export function accounts(engine: LedgerEngine): Record<string, bigint> {
  const { owners, balanced } = readBalances(engine.db)
  if (!balanced) throw new Error('minted - burned is not the supply')
  return Object.fromEntries(owners.map(({ owner, wattWh, gridWh }) => [owner, wattWh + gridWh]))
}

/** What was booked, in order. */
export function entries(engine: LedgerEngine): { kind: string; note: Record<string, string> }[] {
  return engine.db
    .prepare<[], { kind: string; note: string }>('SELECT kind, note FROM entry WHERE claim IS NOT NULL ORDER BY id')
    .all()
    .map(({ kind, note }) => ({ kind, note: JSON.parse(note) }))
}
