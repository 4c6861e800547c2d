import { WattError } from './errors.ts'

/** Names a gateway; unique among all gateways of one ledger. */
export type GatewayId = string & { readonly __brand: 'GatewayId' }
/** Names a meter behind one gateway. */
export type MeterId = string & { readonly __brand: 'MeterId' }
/** Names a metering point everywhere: `<gatewayId>/<meterId>`. */
export type PointId = string & { readonly __brand: 'PointId' }

/** What an id may look like: it stands in topics, file names and OCMF fields. */
export const idPattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,38}[A-Za-z0-9])?$/

function check(kind: string, text: string): void {
  if (!idPattern.test(text)) {
    throw new WattError('config/invalid', `${kind} '${text}': 1 to 40 letters, digits, '.', '_' or '-' expected`)
  }
}

export function makeGatewayId(text: string): GatewayId {
  check('gateway id', text)
  return text as GatewayId
}

export function makeMeterId(text: string): MeterId {
  check('meter id', text)
  return text as MeterId
}

export function makePointId(gatewayId: GatewayId, meterId: MeterId): PointId {
  return `${gatewayId}/${meterId}` as PointId
}

/** Takes a metering point's id apart again. */
export function parsePointId(text: string): { gatewayId: GatewayId; meterId: MeterId } {
  const [gatewayId, meterId, rest] = text.split('/')
  if (gatewayId === undefined || meterId === undefined || rest !== undefined) {
    throw new WattError('config/invalid', `metering point '${text}': '<gatewayId>/<meterId>' expected`)
  }
  return { gatewayId: makeGatewayId(gatewayId), meterId: makeMeterId(meterId) }
}
