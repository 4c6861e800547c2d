import { driverOf } from '../driver.ts'
import type { OcmfRecord } from '../ocmf.ts'
import type { Wh } from '../units.ts'

/** A session that has begun and not ended, as the chain of its charging point tells (SPEC-87). */
export interface OpenSession {
  /** Place and page of its begin. */
  readonly epoch: number
  readonly sequence: number
  readonly pageNumber: number
  /** The account that its begin names. */
  readonly driver?: string
  /** What was counted since the begin, and is not booked yet. */
  readonly countedWh: Wh
  /** Whether everything since the begin, itself included, can still be part of a bill. */
  readonly sound: boolean
}

/** What a record's register did to the count. */
export interface SessionCount {
  /** `counted`: a difference to the last sound register; `base`: counting starts here; `none`: nothing counts. */
  readonly kind: 'counted' | 'base' | 'none'
  readonly importWh: Wh
}

/** What a record of a charging point leads to. */
export interface SessionStep {
  /** The session that is open after it. */
  readonly open?: OpenSession
  /** What is to be booked with it. */
  readonly burnWh: Wh
  /** Set where begin and end are a pair: a bill, to the driver that both name or, where they name none, to the owner. */
  readonly bill?: { readonly begin: OpenSession; readonly driver?: string }
  /** Why something is booked to the owner that was counted in a session. */
  readonly reason?: string
}

/**
 * Works out what one record of a charging point books (SPEC-87). Pure. Every watt-hour that is counted is booked once:
 * with the record that counted it, or, while a session is open, with the mark that ends it.
 */
export function stepSession(open: OpenSession | undefined, record: OcmfRecord, count: SessionCount): SessionStep {
  const { mark } = record
  if (mark === undefined)
    return open === undefined ? { burnWh: count.importWh } : { open: grow(open, count), burnWh: 0n }
  const burnWh = (open?.countedWh ?? 0n) + count.importWh
  if (mark === 'B') {
    const reason = open === undefined ? {} : { reason: 'it has no end' }
    return { open: begin(record, count), burnWh, ...reason }
  }
  if (open === undefined) return { burnWh, reason: 'it has no begin' }
  const reason = findFlaw(open, record, count)
  if (reason !== undefined) return { burnWh, reason }
  const { driver } = open
  return { burnWh, bill: { begin: open, ...(driver === undefined ? {} : { driver }) } }
}

function begin(record: OcmfRecord, { kind }: SessionCount): OpenSession {
  const { epoch, sequence, pageNumber, user } = record
  const driver = driverOf(user)
  const named = driver === undefined ? {} : { driver }
  return { epoch, sequence, pageNumber, ...named, countedWh: 0n, sound: kind !== 'none' }
}

// Where counting starts anew in between, what flowed before it is unknown: no bill can be made of the rest.
function grow(open: OpenSession, { kind, importWh }: SessionCount): OpenSession {
  return { ...open, countedWh: open.countedWh + importWh, sound: open.sound && kind !== 'base' }
}

function findFlaw(open: OpenSession, record: OcmfRecord, { kind }: SessionCount): string | undefined {
  if (record.pageNumber !== open.pageNumber + 1) return 'something is missing between begin and end'
  if (driverOf(record.user) !== open.driver) return 'begin and end name different drivers'
  if (!open.sound) return 'its begin is in doubt, or counting started anew'
  return kind === 'counted' ? undefined : 'its end is in doubt'
}
