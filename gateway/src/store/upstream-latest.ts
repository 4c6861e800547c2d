import { decodeWith, integerBetween, type OcppVersion } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

/** Something of which only the latest counts. */
export interface LatestMessage {
  readonly number: number
  readonly action: string
  readonly payload: Readonly<Record<string, unknown>>
}

export interface LatestEntry {
  readonly stationId: string
  /** What it is about, such as `StatusNotification 1`: a newer one about the same takes its place. */
  readonly subject: string
  readonly version: OcppVersion
  readonly action: string
  readonly payload: Readonly<Record<string, unknown>>
}

/** The latest of each subject of each station, and whether upstream has it. */
export class UpstreamLatest {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  put({ stationId, subject, version, action, payload }: LatestEntry): void {
    this.#store
      .sql('INSERT OR REPLACE INTO upstream_latest (station, subject, version, action, payload) VALUES (?, ?, ?, ?, ?)')
      .run(stationId, subject, version, action, JSON.stringify(payload))
  }

  /** How many subjects a station has. */
  count(stationId: string): number {
    return Number(this.#store.sql('SELECT count(*) FROM upstream_latest WHERE station = ?').pluck().get(stationId))
  }

  has(stationId: string, subject: string): boolean {
    const found: unknown = this.#store
      .sql('SELECT 1 FROM upstream_latest WHERE station = ? AND subject = ?')
      .get(stationId, subject)
    return found !== undefined
  }

  /** What upstream has not, of the version that the station speaks: how it presented itself first, then the oldest. */
  pending(stationId: string, version: OcppVersion): LatestMessage | undefined {
    const row: unknown = this.#store
      .sql(
        `SELECT number, action, payload FROM upstream_latest WHERE station = ? AND version = ? AND pending = 1
         ORDER BY action <> 'BootNotification', number LIMIT 1`,
      )
      .get(stationId, version)
    if (row === undefined) return undefined
    const source = `${this.#store.path}: upstream_latest`
    const { number, action, payload } = decodeWith(rowShape, row, source, 'storage/corrupt')
    return { number, action, payload: decodeWith(payloadShape, JSON.parse(payload), source, 'storage/corrupt') }
  }

  /** Upstream has it. */
  delivered(number: number): void {
    this.#store.sql('UPDATE upstream_latest SET pending = 0 WHERE number = ?').run(number)
  }

  /** After a BootNotification upstream must be told the status of each connector (OCPP 1.6 §4.2, OCPP 2.x B01). */
  renewStatus(stationId: string): void {
    this.#store
      .sql("UPDATE upstream_latest SET pending = 1 WHERE station = ? AND action = 'StatusNotification'")
      .run(stationId)
  }

  /** Another CSMS knows nothing yet. */
  renewAll(): void {
    this.#store.sql('UPDATE upstream_latest SET pending = 1').run()
  }
}

const rowShape = v.object({
  number: integerBetween(1, Number.MAX_SAFE_INTEGER),
  action: v.string(),
  payload: v.string(),
})
const payloadShape = v.record(v.string(), v.unknown())
