import type { Holder } from './authorisation.ts'
import type { ChargingProfile } from './charging-profiles.ts'
import type { EvseStatus } from './dialect.ts'
import type { Evse } from './evse.ts'
import { smallestCurrentA } from './vehicle.ts'

/** Somebody may charge here as soon as a vehicle is plugged in. */
export interface Pending extends Holder {
  readonly remoteStartId?: number | undefined
  readonly remote: boolean
  readonly profile?: ChargingProfile | undefined
  readonly untilMs: number
}

/** One EVSE with what the firmware knows of it while the power is on. */
export interface Place {
  readonly id: number
  readonly evse: Evse
  /** What its meter has counted, in mJ. */
  readonly register: () => bigint
  pending: Pending | undefined
  /** The cable of a transaction that has ended is still in. */
  finishing: boolean
  told: EvseStatus | undefined
  toldChargingState: string
  nextSampleAtMs: number
}

/** What a place is, for the driver and for the CSMS. */
export function statusOf(place: Place, is: { readonly charging: boolean; readonly reserved: boolean }): EvseStatus {
  const { evse } = place
  if (evse.fault !== undefined) return 'Faulted'
  if (is.charging) {
    if (evse.pilot === 'C' || evse.pilot === 'D') return 'Charging'
    return evse.offer.currentA < smallestCurrentA ? 'SuspendedEVSE' : 'SuspendedEV'
  }
  if (!evse.operative) return 'Unavailable'
  if (evse.vehicle !== undefined) return place.finishing ? 'Finishing' : 'Preparing'
  if (place.pending !== undefined) return 'Preparing'
  return is.reserved ? 'Reserved' : 'Available'
}

/** OCPP 2.0.1 ChargingStateEnumType of an open transaction. */
export function chargingStateOf({ evse }: Place): string {
  if (evse.vehicle === undefined) return 'Idle'
  if (evse.pilot === 'C' || evse.pilot === 'D') return 'Charging'
  if (!evse.released) return 'EVConnected'
  return evse.offer.currentA < smallestCurrentA || evse.fault !== undefined ? 'SuspendedEVSE' : 'SuspendedEV'
}
