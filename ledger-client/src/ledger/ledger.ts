import type { PointId, Wh } from '@wattline/protocol'
import type { MeterKind, NoteKind } from './entry-kinds.ts'
import type { StoredEnergy } from './storage.ts'

export { accountOf } from './accounts.ts'
export { type NoteKind, noteKinds } from './entry-kinds.ts'

/** Energy of one claim, to be booked once and for ever. */
export interface Booking {
  /** Names the claim: booking it again changes nothing. */
  readonly claim: string
  /** `session`: the energy of a begin and an end that are a pair (SPEC-87). */
  readonly kind: MeterKind
  readonly point: PointId
  /** Whose accounts it moves: the owner of the point, or the driver of a session. */
  readonly owner: string
  readonly mintWh: Wh
  readonly burnWh: Wh
  /** Kept beside the postings: how the amount came about. */
  readonly note: object
}

/** What went into a storage and what came out of it between two readings of its meter. */
export interface StorageBooking extends StoredEnergy {
  /** Names the record that counted it, as a claim does. */
  readonly claim: string
  readonly point: PointId
}

/**
 * Where WATT lives. The calls of one transaction of the store are durable together or not at all; an implementation
 * elsewhere (a chain) takes the claim's id as its own key against doing it twice.
 */
export interface Ledger {
  /** Books a claim and gives its entry; one that is booked already gives the entry it has. */
  book(booking: Booking): number
  /** Books the energy of a storage, which moves no WATT; twice is once here, too. */
  store(booking: StorageBooking): number
  /** The entry of a claim, if it is booked. */
  find(claim: string): number | undefined
  /** What an account holds, in base units. */
  balance(account: string): Wh
  /** Writes down an event and gives its entry; what concerns the ledger as a whole names no point. */
  note(kind: NoteKind, point: PointId | null, note: object): number
}
