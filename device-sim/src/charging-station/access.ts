import { decide, mayBegin } from './authorisation.ts'
import type { DurableState, ListEntry } from './durable-state.ts'
import type { Place } from './place.ts'
import type { Payload, Reply } from './rpc.ts'
import type { Settings } from './settings.ts'
import type { StationClock } from './station-clock.ts'
import type { Transactions } from './transactions.ts'

export interface AccessParts {
  readonly state: DurableState
  readonly settings: Settings
  readonly clock: StationClock
  readonly transactions: Transactions
  readonly places: readonly Place[]
  readonly isOnline: () => boolean
  readonly isStopped: () => boolean
  /** Asks the CSMS about a token. */
  readonly ask: (idToken: string) => Promise<Reply>
  /** What an answer says of a token. */
  readonly tokenInfo: (idToken: string, reply: Payload) => ListEntry | undefined
}

/** Who may charge where: by list, cache and CSMS, and by what is reserved or out of order. */
export class Access {
  readonly #parts: AccessParts

  constructor(parts: AccessParts) {
    this.#parts = parts
  }

  /** Whether somebody may charge, and with whom together; nothing for a refusal. */
  async authorise(idToken: string): Promise<{ groupIdToken?: string | undefined } | undefined> {
    const { settings, state, clock, isOnline, isStopped, ask } = this.#parts
    const rules = (online: boolean) => ({
      online,
      listEnabled: settings.is('listEnabled'),
      cacheEnabled: settings.is('cacheEnabled'),
      localPreAuthorize: settings.is('localPreAuthorize'),
      localAuthorizeOffline: settings.is('localAuthorizeOffline'),
      offlineUnknown: settings.is('offlineUnknown'),
    })
    const known = () => ({ list: state.now.localList.entries, cache: state.now.cache })
    let decision = decide(idToken, known(), rules(isOnline()), clock.nowMs)
    if (decision.kind === 'ask') {
      const reply = await ask(idToken)
      if (isStopped()) return undefined
      if (reply.kind === 'result') {
        const info = this.remember(idToken, reply.payload)
        return info?.status === 'Accepted' ? { groupIdToken: info.groupIdToken } : undefined
      }
      // No answer is what being offline means to the driver.
      decision = decide(idToken, known(), rules(false), clock.nowMs)
    }
    return decision.kind === 'accepted' ? { groupIdToken: decision.groupIdToken } : undefined
  }

  /** Somebody else's, or not to be used. */
  isTaken(place: Place, holder: { idToken: string; groupIdToken?: string | undefined }): boolean {
    return !this.isOperative(place) || !this.mayBegin(place, holder).may
  }

  isOperative({ id }: Place): boolean {
    const { inoperative } = this.#parts.state.now
    return !inoperative.includes(0) && !inoperative.includes(id)
  }

  /** Whether reservations leave the place to somebody, and which one is theirs. */
  mayBegin(place: Place, holder: { idToken: string; groupIdToken?: string | undefined }) {
    const { transactions, places, state } = this.#parts
    const isFree = (other: Place) =>
      transactions.at(other.id) === undefined && other.pending === undefined && this.isOperative(other)
    const freeEvses = places.filter((other) => other === place || isFree(other)).length
    return mayBegin(state.now.reservations, { id: place.id, freeEvses }, holder)
  }

  /** Keeps what the CSMS says of a token. */
  remember(idToken: string, reply: Payload) {
    const info = this.#parts.tokenInfo(idToken, reply)
    if (info === undefined) return undefined
    const { state } = this.#parts
    const others = state.now.cache.filter((entry) => entry.idToken !== idToken)
    state.change({ cache: [...others, info] })
    return info
  }
}
