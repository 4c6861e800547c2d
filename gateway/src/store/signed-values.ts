import { decodeWith, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

/**
 * What is held of a signed value. `valid`: signed by the key that is trusted for this meter. `false`: it is not what it
 * pretends to be. `unproven`: nobody can tell, for want of a key or of knowledge of its encoding. `repeated`: true, but
 * it was told for another transaction before.
 */
export type SignedValueVerdict = 'valid' | 'false' | 'unproven' | 'repeated'

/** A value that a station's meter has signed, and what is held of it. */
export interface StoredSignedValue {
  readonly frame: number
  readonly stationId: string
  readonly connectorId?: number
  /** Empty where the message names none. */
  readonly transactionId: string
  readonly context: string
  readonly sampledAt: string
  readonly encoding: string
  readonly text: string
  readonly digest: string
  /** Serial number of the meter, as the value says. */
  readonly meter: string
  readonly publicKey: string
  readonly verdict: SignedValueVerdict
  readonly reason: string
}

const shape = v.strictObject({
  number: integerBetween(1, Number.MAX_SAFE_INTEGER),
  frame: integerBetween(0, Number.MAX_SAFE_INTEGER),
  station: v.string(),
  connector: v.nullable(integerBetween(0, Number.MAX_SAFE_INTEGER)),
  transaction_id: v.string(),
  context: v.string(),
  sampled_at: v.string(),
  encoding: v.string(),
  text: v.string(),
  digest: v.string(),
  meter: v.string(),
  public_key: v.string(),
  verdict: v.picklist(['valid', 'false', 'unproven', 'repeated']),
  reason: v.string(),
})

/** Keeps a value. */
export function insertSignedValue(store: Store, value: StoredSignedValue): void {
  store
    .sql(
      `INSERT INTO signed_values (frame, station, connector, transaction_id, context, sampled_at, encoding, text, digest,
       meter, public_key, verdict, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      value.frame,
      value.stationId,
      value.connectorId ?? null,
      value.transactionId,
      value.context,
      value.sampledAt,
      value.encoding,
      value.text,
      value.digest,
      value.meter,
      value.publicKey,
      value.verdict,
      value.reason,
    )
}

/** The same value of the same station, for whatever transactions it was told. */
export function findSignedValues(store: Store, stationId: string, digest: string): readonly StoredSignedValue[] {
  return store
    .sql('SELECT * FROM signed_values WHERE station = ? AND digest = ? ORDER BY number')
    .all(stationId, digest)
    .map((row) => toStored(store, row))
}

/** Everything that a station told in one transaction. */
export function listSignedValues(store: Store, stationId: string, transactionId: string): readonly StoredSignedValue[] {
  return store
    .sql('SELECT * FROM signed_values WHERE station = ? AND transaction_id = ? ORDER BY number')
    .all(stationId, transactionId)
    .map((row) => toStored(store, row))
}

/** How many are kept, and from when on. */
export interface SignedValueLimits {
  readonly beforeMs: number
  readonly most: number
  readonly chunk: number
}

/**
 * Forgets values that came before a time, once their session is forgotten; and the oldest where they are more than
 * `most`, but for those of a session that is not settled. At most `chunk` at once; gives how many. Only the oldest are
 * looked at: there may be many.
 */
export function pruneSignedValues(store: Store, { beforeMs, most, chunk }: SignedValueLimits): number {
  const count = store.sql('SELECT count(*) FROM signed_values').pluck().get()
  const tooMany = decodeWith(integerBetween(0, Number.MAX_SAFE_INTEGER), count, store.path, 'storage/corrupt') - most
  const hasSession = (condition: string) =>
    `EXISTS (SELECT 1 FROM charging_sessions c
     WHERE c.station = o.station AND c.transaction_id = o.transaction_id AND ${condition})`
  return store
    .sql(
      `DELETE FROM signed_values WHERE number IN (
         SELECT o.number FROM (
           SELECT number, station, transaction_id, frame, row_number() OVER (ORDER BY number) AS place
           FROM (SELECT * FROM signed_values ORDER BY number LIMIT ?)
         ) o LEFT JOIN ocpp_frames f ON f.number = o.frame
         WHERE (coalesce(f.arrived_at, 0) < ? AND NOT ${hasSession('true')})
            OR (o.place <= ? AND NOT ${hasSession('c.settled = 0')}))`,
    )
    .run(chunk, beforeMs, tooMany).changes
}

function toStored(store: Store, row: unknown): StoredSignedValue {
  const known = decodeWith(shape, row, `${store.path}: signed_values`, 'storage/corrupt')
  return {
    frame: known.frame,
    stationId: known.station,
    ...(known.connector === null ? {} : { connectorId: known.connector }),
    transactionId: known.transaction_id,
    context: known.context,
    sampledAt: known.sampled_at,
    encoding: known.encoding,
    text: known.text,
    digest: known.digest,
    meter: known.meter,
    publicKey: known.public_key,
    verdict: known.verdict,
    reason: known.reason,
  }
}

/** The key that a station's meter was met with first. */
export function findMeterKey(store: Store, stationId: string, meter: string): string | undefined {
  const key: unknown = store
    .sql('SELECT public_key FROM station_meter_keys WHERE station = ? AND meter = ?')
    .pluck()
    .get(stationId, meter)
  return typeof key === 'string' ? key : undefined
}

/** All keys that a station's meters were met with. */
export function listMeterKeys(store: Store, stationId: string): readonly string[] {
  return store.sql('SELECT public_key FROM station_meter_keys WHERE station = ?').pluck().all(stationId).map(String)
}

/** Trusts a key from now on. */
export function keepMeterKey(
  store: Store,
  { stationId, meter, publicKey, frame }: Pick<StoredSignedValue, 'stationId' | 'meter' | 'publicKey' | 'frame'>,
): void {
  store
    .sql('INSERT INTO station_meter_keys (station, meter, public_key, frame) VALUES (?, ?, ?, ?)')
    .run(stationId, meter, publicKey, frame)
}
