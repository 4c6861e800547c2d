import type { UpstreamTransactions } from '../../store/upstream-transactions.ts'
import { fieldsOf } from '../json-place.ts'
import type { OcppPayload } from '../transaction-sink.ts'
import { toStationId } from './id-mapping.ts'
import type { Objection, UpstreamCommand } from './local-rules.ts'

/** A command with the ids that the station knows, or why there are none. */
export type MappedCommand = { readonly ok: true; readonly payload: OcppPayload } | ({ readonly ok: false } & Objection)

const no = (reason: string, status?: string): MappedCommand => ({
  ok: false,
  reason,
  ...(status === undefined ? {} : { status }),
})

/** Puts the station's ids in the place of upstream's. What is given is not changed. */
export function mapCommand(
  { stationId, version, action, payload }: UpstreamCommand,
  transactions: UpstreamTransactions,
): MappedCommand {
  const fields: Record<string, unknown> = structuredClone(payload)
  const isOld = version === 'ocpp1.6'
  switch (action) {
    case 'RemoteStopTransaction':
      return mapTransaction(fields, (theirs) => transactions.oursOf(stationId, theirs), fields)
    case 'ReserveNow':
      return mapId(fields, isOld ? 'reservationId' : 'id', fields)
    case 'CancelReservation':
      return mapId(fields, 'reservationId', fields)
    case 'ClearChargingProfile': {
      const name = isOld ? 'id' : 'chargingProfileId'
      // Without an id it is meant for every profile that fits, and the gateway's own would go with them.
      return fields[name] === undefined
        ? no('without the id of a profile it would clear those of the gateway', 'Unknown')
        : mapId(fields, name, fields)
    }
    case 'GetChargingProfiles': {
      const wanted = fieldsOf(fields['chargingProfile'])
      const ids = wanted?.['chargingProfileId']
      if (wanted !== undefined && Array.isArray(ids))
        wanted['chargingProfileId'] = ids.flatMap((id) => toStationId(Number(id)) ?? [])
      return { ok: true, payload: fields }
    }
    case 'SetChargingProfile':
    case 'RemoteStartTransaction':
    case 'RequestStartTransaction': {
      const profile = fieldsOf(
        fields[isOld && action === 'SetChargingProfile' ? 'csChargingProfiles' : 'chargingProfile'],
      )
      if (profile === undefined) return { ok: true, payload: fields }
      const mapped = mapId(profile, isOld ? 'chargingProfileId' : 'id', fields)
      if (!mapped.ok || !isOld || profile['transactionId'] === undefined) return mapped
      return mapTransaction(profile, (theirs) => transactions.oursOf(stationId, theirs), fields)
    }
    default:
      return { ok: true, payload: fields }
  }
}

function mapTransaction(
  owner: Record<string, unknown>,
  oursOf: (theirs: number) => number | undefined,
  payload: OcppPayload,
): MappedCommand {
  const ours = oursOf(Number(owner['transactionId']))
  if (ours === undefined) return no('upstream has begun no transaction with this number at this station')
  owner['transactionId'] = ours
  return { ok: true, payload }
}

function mapId(owner: Record<string, unknown>, name: string, payload: OcppPayload): MappedCommand {
  const id = toStationId(Number(owner[name]))
  if (id === undefined) return no(`${name} must be between 0 and 1073741823 here`)
  owner[name] = id
  return { ok: true, payload }
}
