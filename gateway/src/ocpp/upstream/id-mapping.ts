import type { UpstreamMessage } from '../../store/upstream-queue.ts'
import type { UpstreamTransactions } from '../../store/upstream-transactions.ts'
import { fieldsOf } from '../json-place.ts'
import type { OcppPayload } from '../transaction-sink.ts'

/**
 * Upstream numbers reservations and charging profiles by itself, and so does the gateway. At the station upstream's
 * numbers start here, so that neither replaces what the other one has set.
 */
export const upstreamIdsFrom = 2 ** 30

/** An id of upstream as the station gets it; undefined where it does not fit. */
export function toStationId(id: number): number | undefined {
  return Number.isInteger(id) && id >= 0 && id < upstreamIdsFrom ? id + upstreamIdsFrom : undefined
}

/** An id at the station as upstream gave it; undefined where it is not upstream's. */
export function toUpstreamId(id: unknown): number | undefined {
  return typeof id === 'number' && id >= upstreamIdsFrom && id < 2 * upstreamIdsFrom ? id - upstreamIdsFrom : undefined
}

/** What upstream is sent for a message, or why it cannot be sent. */
export type MappedMessage =
  | { readonly ok: true; readonly payload: OcppPayload }
  | { readonly ok: false; readonly reason: string }

/** Puts upstream's ids in the place of ours. The same message gives the same payload however often it is sent. */
export function mapMessage(message: UpstreamMessage, transactions: UpstreamTransactions): MappedMessage {
  const { action, version, stationId, transactionId, payload } = message
  if (payload === undefined) return { ok: false, reason: 'its content cannot be read any more' }
  switch (action) {
    case 'StartTransaction':
      return { ok: true, payload: withUpstreamReservation(payload, 'reservationId') }
    case 'StopTransaction': {
      const theirs = transactionId === undefined ? undefined : transactions.find(stationId, transactionId)?.theirs
      return theirs === undefined
        ? { ok: false, reason: 'upstream has no number for its transaction: it never took the start' }
        : { ok: true, payload: { ...payload, transactionId: theirs } }
    }
    case 'MeterValues': {
      if (version !== 'ocpp1.6') return { ok: true, payload }
      // Values without a transaction are values all the same; under a wrong number they would be another driver's.
      const { transactionId: _, ...rest } = payload
      const theirs = transactionId === undefined ? undefined : transactions.find(stationId, transactionId)?.theirs
      return { ok: true, payload: theirs === undefined ? rest : { ...rest, transactionId: theirs } }
    }
    case 'TransactionEvent': {
      const mapped = withUpstreamReservation(payload, 'reservationId')
      return { ok: true, payload: message.isLate ? { ...mapped, offline: true } : mapped }
    }
    case 'ReservationStatusUpdate': {
      const id = toUpstreamId(payload['reservationId'])
      return id === undefined
        ? { ok: false, reason: 'the reservation is not upstream’s' }
        : { ok: true, payload: { ...payload, reservationId: id } }
    }
    default:
      return { ok: true, payload }
  }
}

// A reservation of the gateway's own means nothing upstream.
function withUpstreamReservation(payload: OcppPayload, name: string): OcppPayload {
  if (payload[name] === undefined) return payload
  const { [name]: local, ...rest } = payload
  const id = toUpstreamId(local)
  return id === undefined ? rest : { ...rest, [name]: id }
}

/** A report on charging profiles with upstream's ids, and without profiles that are not upstream's. */
export function mapProfileReport(payload: OcppPayload): OcppPayload | undefined {
  const list = payload['chargingProfile']
  if (!Array.isArray(list)) return payload
  const theirs = list.flatMap((entry: unknown) => {
    const fields = fieldsOf(entry)
    const id = toUpstreamId(fields?.['id'])
    return id === undefined ? [] : [{ ...fields, id }]
  })
  return theirs.length === 0 ? undefined : { ...payload, chargingProfile: theirs }
}
