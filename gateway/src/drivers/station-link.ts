import { type OcppVersion, WattError } from '@wattline/protocol'
import type { StationView } from '../ocpp/station-board.ts'
import type { StationAnswer } from '../ocpp/station-connection.ts'

/** The way to the stations: what the server for charging stations offers. */
export interface StationLink {
  stations(): readonly StationView[]
  call(stationId: string, action: string, payload: unknown): Promise<StationAnswer>
}

/** The version that a connected station speaks. */
export function connectedVersion(link: StationLink, stationId: string): OcppVersion | undefined {
  const view = link.stations().find(({ id }) => id === stationId)
  return view?.connected === true ? view.version : undefined
}

/** The version of a station that must be there. */
export function requireVersion(link: StationLink, stationId: string): OcppVersion {
  const version = connectedVersion(link, stationId)
  if (version !== undefined) return version
  const isKnown = link.stations().some(({ id }) => id === stationId)
  throw isKnown
    ? new WattError('station/offline', `${stationId} is not connected`, { retryable: true })
    : new WattError('station/unknown', `no station '${stationId}' has connected since the start`)
}

/** The connectors (1.6) or EVSEs (2.x) that a station has told a status of. */
export function placesTold(link: StationLink, stationId: string): readonly number[] {
  const view = link.stations().find(({ id }) => id === stationId)
  const numbers = Object.keys(view?.connectors ?? {}).map((where) => Number(where.split('/')[0]))
  return [...new Set(numbers)].filter((one) => one > 0)
}

/** `status` of an answer, or '' where it has none. */
export function statusOf({ payload }: StationAnswer): string {
  const status: unknown = typeof payload === 'object' && payload !== null ? Reflect.get(payload, 'status') : undefined
  return typeof status === 'string' ? status : ''
}
