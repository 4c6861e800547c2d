import type { ChargingPlace } from '../sessions/session-signer.ts'

/** A place in words. */
export function tellPlace({ stationId, connectorId }: ChargingPlace): string {
  return connectorId === 0 ? stationId : `${stationId} connector ${connectorId}`
}
