import { decodeWith, type Timestamp } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

/** A transaction of OCPP 1.6 as it stands upstream. */
export interface UpstreamTransaction {
  /** Upstream's number for it; undefined until it has answered the start. */
  readonly theirs: number | undefined
  /** Its stop stands in the queue, or has been delivered. */
  readonly hasEnded: boolean
}

/** OCPP 1.6: the central system numbers transactions, so each has two numbers: ours and upstream's. */
export class UpstreamTransactions {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Notes a start; false where this transaction has been noted before. */
  begin(stationId: string, ours: number, startedAt: Timestamp): boolean {
    return (
      this.#store
        .sql('INSERT INTO upstream_transactions (station, ours, started_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
        .run(stationId, ours, startedAt).changes > 0
    )
  }

  /** Notes what upstream calls it. */
  name(stationId: string, ours: number, theirs: number): void {
    this.#store
      .sql('UPDATE upstream_transactions SET theirs = ? WHERE station = ? AND ours = ?')
      .run(theirs, stationId, ours)
  }

  /** Notes a stop; false where there was one before, or never a start. */
  end(stationId: string, ours: number): boolean {
    return (
      this.#store
        .sql('UPDATE upstream_transactions SET ended = 1 WHERE station = ? AND ours = ? AND ended = 0')
        .run(stationId, ours).changes > 0
    )
  }

  find(stationId: string, ours: number): UpstreamTransaction | undefined {
    const row = this.#store
      .sql('SELECT theirs, ended FROM upstream_transactions WHERE station = ? AND ours = ?')
      .get(stationId, ours)
    if (row === undefined) return undefined
    const { theirs, ended } = decodeWith(shape, row, `${this.#store.path}: upstream_transactions`, 'storage/corrupt')
    return { theirs: theirs ?? undefined, hasEnded: ended === 1 }
  }

  /** Our number for one of upstream's. Some count anew after a restart: the one that still runs is meant, or the last. */
  oursOf(stationId: string, theirs: number): number | undefined {
    const found: unknown = this.#store
      .sql(
        `SELECT ours FROM upstream_transactions WHERE station = ? AND theirs = ?
         ORDER BY ended, started_at DESC LIMIT 1`,
      )
      .pluck()
      .get(stationId, theirs)
    return typeof found === 'number' ? found : undefined
  }

  /** Another CSMS has given no numbers yet. Those of the one before would be other drivers' sessions there. */
  forgetNumbers(): void {
    this.#store.sql('UPDATE upstream_transactions SET theirs = NULL').run()
  }

  /** Forgets a chunk of those that ended and were begun before a time, unless something of them still waits. */
  prune(beforeMs: number, chunk: number): void {
    this.#store
      .sql(
        `DELETE FROM upstream_transactions WHERE (station, ours) IN (
           SELECT station, ours FROM upstream_transactions t WHERE ended = 1 AND started_at < ? AND NOT EXISTS (
             SELECT 1 FROM upstream_messages m WHERE m.station = t.station AND m.state = 'waiting') LIMIT ?)`,
      )
      .run(beforeMs, chunk)
  }
}

const shape = v.object({ theirs: v.nullable(v.pipe(v.number(), v.integer())), ended: v.picklist([0, 1]) })
