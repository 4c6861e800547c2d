import type { OcppVersion, Timestamp } from '@wattline/protocol'
import type { StationCall } from './intake.ts'
import { fieldsOf } from './json-place.ts'
import type { OcppPayload } from './transaction-sink.ts'
import type { UpstreamView } from './upstream/upstream-view.ts'

/** What is known of a station, for a person to look at. */
export interface StationView {
  readonly id: string
  readonly connected: boolean
  readonly version?: OcppVersion
  readonly address?: string
  readonly connectedAt?: Timestamp
  readonly lastMessageAt?: Timestamp
  readonly vendor?: string
  readonly model?: string
  readonly firmware?: string
  /** Latest status by connector: `1`, or `EVSE/connector` in OCPP 2.x. */
  readonly connectors: Readonly<Record<string, string>>
  /** Why it was turned away last, and how often since it was let in. */
  readonly refused?: { readonly reason: string; readonly at: Timestamp; readonly times: number }
  /** How it stands upstream, where there is an operator's CSMS. */
  readonly upstream?: UpstreamView
}

type Changing<T> = { -readonly [K in keyof T]: T[K] }

// Whoever knocks may invent identities without end.
const mostStations = 1_000

/** The latest of every station that was seen since the start. Kept in memory: it is shown, and nothing rests on it. */
export class StationBoard {
  readonly #views = new Map<string, Changing<StationView>>()

  /** Those too of which upstream has not heard everything, though they have not come since the start. */
  list(upstream: ReadonlyMap<string, UpstreamView> = new Map()): readonly StationView[] {
    const absent = [...upstream.keys()].filter((id) => !this.#views.has(id))
    const all = [...this.#views.values(), ...absent.map((id) => ({ id, connected: false, connectors: {} }))]
    return all
      .map((view) => {
        const above = upstream.get(view.id)
        return above === undefined ? view : { ...view, upstream: above }
      })
      .toSorted((a, b) => (a.id < b.id ? -1 : 1))
  }

  connected(id: string, how: { version: OcppVersion; address: string; at: Timestamp }): void {
    const { refused: _, ...rest } = this.#viewOf(id)
    const view = { ...rest, connected: true, version: how.version, address: how.address, connectedAt: how.at }
    this.#views.set(id, view)
  }

  disconnected(id: string): void {
    this.#viewOf(id).connected = false
  }

  /** Notes a refusal; gives whether it is news: a station that is refused tries again for ever. */
  refused(id: string, reason: string, at: Timestamp): boolean {
    const view = this.#viewOf(id)
    const before = view.refused
    view.refused = { reason, at, times: (before?.times ?? 0) + 1 }
    return before?.reason !== reason
  }

  heard({ stationId, action }: StationCall, payload: OcppPayload, at: Timestamp): void {
    const view = this.#viewOf(stationId)
    view.lastMessageAt = at
    if (action === 'BootNotification') Object.assign(view, readIdentity(payload))
    if (action === 'StatusNotification') {
      const { evseId, connectorId, status, connectorStatus } = payload
      const where = evseId === undefined ? String(connectorId) : `${String(evseId)}/${String(connectorId)}`
      const isKnown = where in view.connectors
      if (isKnown || Object.keys(view.connectors).length < mostConnectors) {
        view.connectors = { ...view.connectors, [where]: String(status ?? connectorStatus) }
      }
    }
  }

  #viewOf(id: string): Changing<StationView> {
    const known = this.#views.get(id)
    if (known !== undefined) return known
    const view = { id, connected: false, connectors: {} }
    if (this.#views.size >= mostStations) {
      const oldest = [...this.#views.values()].find(({ connected }) => !connected)
      if (oldest !== undefined) this.#views.delete(oldest.id)
    }
    this.#views.set(id, view)
    return view
  }
}

const mostConnectors = 100

function readIdentity(payload: OcppPayload): Partial<StationView> {
  const station = fieldsOf(payload['chargingStation'])
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  return {
    vendor: text(payload['chargePointVendor'] ?? station?.['vendorName']),
    model: text(payload['chargePointModel'] ?? station?.['model']),
    firmware: text(payload['firmwareVersion'] ?? station?.['firmwareVersion']),
  }
}
