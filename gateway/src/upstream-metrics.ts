import { Gauge, type Registry } from 'prom-client'
import type { UpstreamView } from './ocpp/upstream/upstream-view.ts'

/** Makes the figures of how charging stations stand upstream; what it gives sets them. */
export function makeUpstreamFigures(registers: Registry[]): (views: ReadonlyMap<string, UpstreamView>) => void {
  const connected = new Gauge({
    name: 'wattline_upstream_connected',
    help: '1 where a charging station is connected to the CSMS upstream',
    labelNames: ['station'],
    registers,
  })
  const messages = new Gauge({
    name: 'wattline_upstream_messages',
    help: 'Messages for the CSMS upstream that wait, or were put aside',
    labelNames: ['station', 'state'],
    registers,
  })
  return (views) => {
    connected.reset()
    messages.reset()
    for (const [station, { state, waiting, aside }] of views) {
      connected.set({ station }, state === 'connected' ? 1 : 0)
      messages.set({ station, state: 'waiting' }, waiting)
      messages.set({ station, state: 'aside' }, aside)
    }
  }
}
