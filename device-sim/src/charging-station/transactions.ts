import { createHash } from 'node:crypto'
import type { DurableState, OpenTransaction, QueuedEvent, Sample } from './durable-state.ts'
import { chargingStateOf, type Pending, type Place } from './place.ts'
import type { StationClock } from './station-clock.ts'
import { voltageV } from './vehicle.ts'

export interface TransactionsOptions {
  readonly stationId: string
  readonly state: DurableState
  readonly clock: StationClock
  readonly places: readonly Place[]
  readonly isOnline: () => boolean
}

interface EventParts {
  readonly eventType: QueuedEvent['eventType']
  readonly triggerReason: string
  readonly samples: readonly Sample[]
  readonly more?: Partial<QueuedEvent>
}

/**
 * The transactions of all places. What happened, its message and the registers move in one change of the durable
 * state, so that a power cut finds all of it or nothing.
 */
export class Transactions {
  readonly #options: TransactionsOptions

  constructor(options: TransactionsOptions) {
    this.#options = options
  }

  at(evseId: number): OpenTransaction | undefined {
    return this.#options.state.now.open.find((open) => open.evseId === evseId)
  }

  byId(id: string): OpenTransaction | undefined {
    return this.#options.state.now.open.find((open) => open.id === id)
  }

  // A name that no other transaction of any station has, also after the state was lost.
  #makeId(): string {
    const { stationId, state, clock } = this.#options
    const hash = createHash('sha256').update(`${stationId}|${state.now.transactionsMade}|${clock.nowMs}`).digest('hex')
    return [hash.slice(0, 8), hash.slice(8, 12), hash.slice(12, 16), hash.slice(16, 20), hash.slice(20, 32)].join('-')
  }

  begin(place: Place, holder: Pending, how: { triggerReason: string; reservationId?: number | undefined }): void {
    const { state, clock } = this.#options
    const { reservationId } = how
    const open: OpenTransaction = {
      id: this.#makeId(),
      evseId: place.id,
      idToken: holder.idToken,
      ...(holder.groupIdToken === undefined ? {} : { groupIdToken: holder.groupIdToken }),
      startedAtMs: clock.nowMs,
      startWh: toWh(place.register()),
      nextSeqNo: 1,
      remote: holder.remote,
    }
    const event = this.#event(
      place,
      { ...open, nextSeqNo: 0 },
      {
        eventType: 'Started',
        triggerReason: how.triggerReason,
        samples: [this.sample(place, 'Transaction.Begin')],
        more: {
          idToken: holder.idToken,
          ...(holder.remoteStartId === undefined ? {} : { remoteStartId: holder.remoteStartId }),
          ...(reservationId === undefined ? {} : { reservationId }),
        },
      },
    )
    const profile = holder.profile && { ...holder.profile, evseId: place.id, transactionId: open.id }
    state.change({
      transactionsMade: state.now.transactionsMade + 1,
      open: [...state.now.open, open],
      queue: [...state.now.queue, event],
      reservations: state.now.reservations.filter(({ id }) => id !== reservationId),
      profiles: profile === undefined ? state.now.profiles : [...state.now.profiles, profile],
      registers: this.registers(),
    })
  }

  update(place: Place, triggerReason: string, samples: readonly Sample[]): void {
    const open = this.at(place.id)
    if (open === undefined) return
    const { state } = this.#options
    const event = this.#event(place, open, { eventType: 'Updated', triggerReason, samples })
    const next = { ...open, nextSeqNo: open.nextSeqNo + 1 }
    state.change({
      open: state.now.open.map((other) => (other.id === open.id ? next : other)),
      queue: [...state.now.queue, event],
      registers: this.registers(),
    })
  }

  end(place: Place, how: { stoppedReason: string; triggerReason: string; idToken?: string | undefined }): void {
    const open = this.at(place.id)
    if (open === undefined) return
    const { state } = this.#options
    const event = this.#event(place, open, {
      eventType: 'Ended',
      triggerReason: how.triggerReason,
      samples: [this.sample(place, 'Transaction.End')],
      more: { stoppedReason: how.stoppedReason, ...(how.idToken === undefined ? {} : { idToken: how.idToken }) },
    })
    state.change({
      open: state.now.open.filter(({ id }) => id !== open.id),
      queue: [...state.now.queue, event],
      profiles: state.now.profiles.filter(
        ({ purpose, transactionId }) => purpose !== 'TxProfile' || transactionId !== open.id,
      ),
      registers: this.registers(),
    })
  }

  sample(place: Place, context: Sample['context']): Sample {
    const { evse } = place
    const milliwatts = evse.powerMilliwatts
    const phases = Math.min(evse.offer.phases, evse.vehicle?.phases ?? 1)
    const currentA = Math.round(milliwatts / voltageV / phases) / 1000
    return {
      atMs: this.#options.clock.nowMs,
      context,
      registerWh: toWh(place.register()),
      powerW: milliwatts / 1000,
      currentA: Array.from({ length: phases }, () => currentA),
      offeredA: Math.round(evse.offer.currentA * 10) / 10,
      ...(evse.vehicle === undefined ? {} : { socPercent: Math.round(evse.vehicle.socPercent) }),
    }
  }

  registers(): Record<string, string> {
    return Object.fromEntries(this.#options.places.map(({ id, register }) => [String(id), String(register())]))
  }

  #event(place: Place, open: OpenTransaction, { eventType, triggerReason, samples, more }: EventParts): QueuedEvent {
    return {
      transactionId: open.id,
      eventType,
      atMs: this.#options.clock.nowMs,
      seqNo: open.nextSeqNo,
      triggerReason,
      offline: !this.#options.isOnline(),
      evseId: place.id,
      chargingState: chargingStateOf(place),
      startWh: open.startWh,
      samples: [...samples],
      attempts: 0,
      ...more,
    }
  }
}

/** mJ to Wh with three decimals, never rounded up. */
export function toWh(millijoules: bigint): number {
  return Number(millijoules / 3600n) / 1000
}
