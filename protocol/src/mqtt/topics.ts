import { type GatewayId, idPattern, type MeterId } from '../ids.ts'

// SPEC-60: wattline/v1/<gatewayId>/<meterId>/<kind>, and wattline/v1/<gatewayId>/hello. A gateway publishes
// only under its own id, so that a broker's access rule is one line.

/** What travels for one metering point. `receipt` comes from the ledger, the others from the gateway. */
export const pointTopicKinds = ['record', 'certificate', 'receipt'] as const
export type PointTopicKind = (typeof pointTopicKinds)[number]

/** A parsed topic. */
export type Topic =
  | { readonly kind: PointTopicKind; readonly gatewayId: GatewayId; readonly meterId: MeterId }
  | { readonly kind: 'hello'; readonly gatewayId: GatewayId }

/** Builds a topic name. */
export function formatTopic(topic: Topic): string {
  return topic.kind === 'hello'
    ? `wattline/v1/${topic.gatewayId}/hello`
    : `wattline/v1/${topic.gatewayId}/${topic.meterId}/${topic.kind}`
}

/** Parses a topic name, or undefined where it is none of ours. */
export function parseTopic(name: string): Topic | undefined {
  const [root, version, gatewayId = '', second = '', kind, ...rest] = name.split('/')
  if (root !== 'wattline' || version !== 'v1' || rest.length > 0 || !idPattern.test(gatewayId)) return undefined
  if (kind === undefined) return second === 'hello' ? { kind: 'hello', gatewayId: gatewayId as GatewayId } : undefined
  const known = pointTopicKinds.find((candidate) => candidate === kind)
  if (known === undefined || !idPattern.test(second)) return undefined
  return { kind: known, gatewayId: gatewayId as GatewayId, meterId: second as MeterId }
}

/** Everything that a ledger listens to. */
export const ledgerTopicFilters = ['wattline/v1/+/+/record', 'wattline/v1/+/+/certificate', 'wattline/v1/+/hello']

/** Everything that a gateway listens to. */
export function gatewayTopicFilter(gatewayId: GatewayId): string {
  return `wattline/v1/${gatewayId}/+/receipt`
}
