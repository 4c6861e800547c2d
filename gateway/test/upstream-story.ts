import { FakeUpstream, UpstreamRig, type UpstreamRigOptions } from './upstream-rig.ts'

// What a station says, by the minute.

export const at = (minute: number) => new Date(Date.UTC(2027, 0, 15, 8, minute)).toISOString()
export const start = (minute: number, idTag = 'CARD') => ({
  connectorId: 1,
  idTag,
  meterStart: 100,
  timestamp: at(minute),
})
export const stop = (transactionId: number, minute: number) => ({
  transactionId,
  meterStop: 900,
  timestamp: at(minute),
})
export const meterValues = (minute: number, transactionId?: number) => ({
  connectorId: 1,
  ...(transactionId === undefined ? {} : { transactionId }),
  meterValue: [{ timestamp: at(minute), sampledValue: [{ value: String(100 + minute) }] }],
})
export const status = (word: string, connectorId = 1) => ({ connectorId, errorCode: 'NoError', status: word })
export const boot = { chargePointVendor: 'Acme', chargePointModel: 'Wall' }

/** An operator's CSMS, and everything between it and a station that is connected. */
export function openUpstream(t: { teardown(action: () => unknown): void }, options: Partial<UpstreamRigOptions> = {}) {
  const csms = new FakeUpstream()
  const rig = new UpstreamRig(t.teardown, { dial: csms.dial, ...options })
  rig.upstream.connected('CP1', 'ocpp1.6')
  const say = (action: string, payload: object) => rig.say('CP1', 'ocpp1.6', action, payload)
  /** Begins a session; gives the gateway's number for it. */
  const begin = async (minute = 0, idTag = 'CARD') =>
    Number((await say('StartTransaction', start(minute, idTag)))['transactionId'])
  return { csms, rig, say, begin }
}

export const actions = (csms: FakeUpstream) => csms.received.map(({ action }) => action)
