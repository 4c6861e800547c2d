import { decodeWith, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

const rowShape = v.object({ version: integerBetween(0, Number.MAX_SAFE_INTEGER), digest: v.string() })

/** The local list that a station was given. */
export interface StationList {
  readonly version: number
  /** SHA-256 of the whole. None of single entries is kept: tokens are few enough to be found by theirs. */
  readonly digest: string
}

export function loadStationList(store: Store, stationId: string): StationList | undefined {
  const row = store.sql('SELECT version, digest FROM station_lists WHERE station = ?').get(stationId)
  return row === undefined ? undefined : decodeWith(rowShape, row, `${store.path}: station_lists`, 'storage/corrupt')
}

export function keepStationList(store: Store, stationId: string, { version, digest }: StationList): void {
  store.sql('INSERT OR REPLACE INTO station_lists VALUES (?, ?, ?)').run(stationId, version, digest)
}

/** What a station holds is not known any more. */
export function forgetStationList(store: Store, stationId: string): void {
  store.sql('DELETE FROM station_lists WHERE station = ?').run(stationId)
}
