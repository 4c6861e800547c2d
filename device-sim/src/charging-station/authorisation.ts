import type { ListEntry, Reservation } from './durable-state.ts'

/** What is known of a card without asking the CSMS. */
export interface KnownTokens {
  readonly list: readonly ListEntry[]
  readonly cache: readonly ListEntry[]
}

export interface AuthorisationRules {
  readonly online: boolean
  readonly listEnabled: boolean
  readonly cacheEnabled: boolean
  readonly localPreAuthorize: boolean
  readonly localAuthorizeOffline: boolean
  readonly offlineUnknown: boolean
}

export type Decision =
  | { readonly kind: 'accepted'; readonly groupIdToken?: string | undefined }
  | { readonly kind: 'refused' }
  | { readonly kind: 'ask' }

/** Whether a card may charge, before anybody is asked (OCPP 1.6 §3.5, OCPP 2.0.1 C12–C14). */
export function decide(idToken: string, known: KnownTokens, rules: AuthorisationRules, nowMs: number): Decision {
  const listed = rules.listEnabled ? find(known.list, idToken) : undefined
  const cached = rules.cacheEnabled ? find(known.cache, idToken) : undefined
  // The list goes before the cache (OCPP 1.6 §3.5.3); an entry that refuses is asked about where that is possible.
  const entry = listed ?? cached
  const accepted = entry !== undefined && isSound(entry, nowMs)
  if (rules.online) {
    return accepted && rules.localPreAuthorize
      ? { kind: 'accepted', groupIdToken: entry.groupIdToken }
      : { kind: 'ask' }
  }
  if (entry === undefined) return rules.offlineUnknown ? { kind: 'accepted' } : { kind: 'refused' }
  return accepted && rules.localAuthorizeOffline
    ? { kind: 'accepted', groupIdToken: entry.groupIdToken }
    : { kind: 'refused' }
}

// Identifiers are compared without case (OCPP 1.6 CiString, OCPP 2.0.1 identifierString).
function find(entries: readonly ListEntry[], idToken: string): ListEntry | undefined {
  return entries.find((entry) => sameToken(entry.idToken, idToken))
}

function isSound(entry: ListEntry, nowMs: number): boolean {
  return entry.status === 'Accepted' && (entry.expiresAtMs === undefined || entry.expiresAtMs > nowMs)
}

export function sameToken(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

export interface Holder {
  readonly idToken: string
  readonly groupIdToken?: string | undefined
}

/** Whether two cards may end each other's transactions and use each other's reservations. */
export function sameHolder(a: Holder, b: Holder): boolean {
  if (sameToken(a.idToken, b.idToken)) return true
  return a.groupIdToken !== undefined && b.groupIdToken !== undefined && sameToken(a.groupIdToken, b.groupIdToken)
}

/**
 * Whether somebody may begin at an EVSE, and with which reservation. One for the whole station (EVSE 0) keeps as many
 * EVSEs free as there are such reservations.
 */
export function mayBegin(
  reservations: readonly Reservation[],
  evse: { readonly id: number; readonly freeEvses: number },
  holder: Holder,
): { readonly may: boolean; readonly reservation?: Reservation | undefined } {
  const here = reservations.find(({ evseId }) => evseId === evse.id)
  if (here !== undefined) return sameHolder(here, holder) ? { may: true, reservation: here } : { may: false }
  const anywhere = reservations.filter(({ evseId }) => evseId === 0)
  const own = anywhere.find((reservation) => sameHolder(reservation, holder))
  if (own !== undefined) return { may: true, reservation: own }
  return { may: evse.freeEvses > anywhere.length }
}

/** A list after an update; nothing where its version does not fit (OCPP 1.6 §5.15). */
export function updateList(
  list: { readonly version: number; readonly entries: readonly ListEntry[] },
  update: {
    readonly version: number
    readonly full: boolean
    readonly entries: readonly (ListEntry | { readonly idToken: string; readonly removed: true })[]
  },
): { version: number; entries: ListEntry[] } | undefined {
  if (!update.full && update.version <= list.version) return undefined
  const kept = update.full
    ? []
    : list.entries.filter(({ idToken }) => !update.entries.some((entry) => sameToken(entry.idToken, idToken)))
  return { version: update.version, entries: [...kept, ...update.entries.filter((entry) => 'status' in entry)] }
}
