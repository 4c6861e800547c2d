import { randomUUID } from 'node:crypto'
import {
  decodeWith,
  integerBetween,
  makeTimestamp,
  type OcppVersion,
  ocppVersions,
  type Timestamp,
} from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

/** A JSON object, as OCPP's payloads are. */
type JsonObject = Readonly<Record<string, unknown>>

/** A message of a station that upstream must learn. */
export interface UpstreamEntry {
  readonly stationId: string
  readonly version: OcppVersion
  readonly action: string
  /** Tells a message that comes again. */
  readonly contentHash: string
  readonly arrivedAt: Timestamp
  /** The journal's row that holds the payload, or the payload itself. */
  readonly content: { readonly frame: number } | { readonly payload: JsonObject }
  /** OCPP 1.6: the transaction as the station knows it. */
  readonly transactionId?: number | undefined
  /** Nobody upstream could be told at once. */
  readonly isLate: boolean
}

/** A message that waits. Whatever happens, it is sent with this id and this content. */
export interface UpstreamMessage {
  readonly number: number
  readonly stationId: string
  readonly version: OcppVersion
  readonly action: string
  readonly messageId: string
  /** Undefined where it cannot be read any more. */
  readonly payload: JsonObject | undefined
  readonly arrivedAt: Timestamp
  readonly transactionId?: number
  readonly isLate: boolean
  /** How often upstream has refused it. */
  readonly attempts: number
}

/** How many messages of a station wait, and how many were put aside. */
export interface UpstreamCounts {
  readonly waiting: number
  readonly aside: number
}

/** Stations repeat what nobody answered, right after they are back: so far back a MeterValues is told again. */
const rememberedMeterValues = 20

/**
 * The messages for an operator's CSMS, in order, a queue for each station. A message leaves its queue when upstream has
 * answered it, or when it is put aside with a reason. Written in the transaction that journals the station's message.
 */
export class UpstreamQueue {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Appends a message; false where the same content came before. */
  append(entry: UpstreamEntry): boolean {
    const { stationId, action, contentHash, content } = entry
    if (action === 'MeterValues' && this.#isRecent(stationId, contentHash)) return false
    return (
      this.#store
        .sql(
          `INSERT INTO upstream_messages
             (station, version, action, frame, payload, content_hash, message_id, arrived_at, transaction_id, late)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        )
        .run(
          stationId,
          entry.version,
          action,
          'frame' in content ? content.frame : null,
          'payload' in content ? JSON.stringify(content.payload) : null,
          contentHash,
          randomUUID(),
          entry.arrivedAt,
          entry.transactionId ?? null,
          entry.isLate ? 1 : 0,
        ).changes > 0
    )
  }

  #isRecent(stationId: string, contentHash: string): boolean {
    const found: unknown = this.#store
      .sql(
        `SELECT 1 FROM (SELECT content_hash FROM upstream_messages WHERE station = ? AND action = 'MeterValues'
           ORDER BY number DESC LIMIT ${rememberedMeterValues}) WHERE content_hash = ?`,
      )
      .pluck()
      .get(stationId, contentHash)
    return found !== undefined
  }

  /** The oldest message of a station that waits. */
  head(stationId: string): UpstreamMessage | undefined {
    const row = this.#store
      .sql(
        `SELECT m.*, f.frame AS frame_text FROM upstream_messages m LEFT JOIN ocpp_frames f ON f.number = m.frame
         WHERE m.station = ? AND m.state = 'waiting' ORDER BY m.number LIMIT 1`,
      )
      .get(stationId)
    if (row === undefined) return undefined
    const source = `${this.#store.path}: upstream_messages`
    const read = decodeWith(messageShape, row, source, 'storage/corrupt')
    return {
      number: read.number,
      stationId,
      version: read.version,
      action: read.action,
      messageId: read.message_id,
      payload: readContent(read),
      arrivedAt: makeTimestamp(read.arrived_at),
      ...(read.transaction_id === null ? {} : { transactionId: read.transaction_id }),
      isLate: read.late === 1,
      attempts: read.attempts,
    }
  }

  /** Upstream has answered. What may be told again by its station is remembered by its hash. */
  delivered(number: number): void {
    this.#store.sql("UPDATE upstream_messages SET state = 'delivered', payload = NULL WHERE number = ?").run(number)
  }

  /** Upstream has refused it once more. */
  refused(number: number): void {
    this.#store.sql('UPDATE upstream_messages SET attempts = attempts + 1 WHERE number = ?').run(number)
  }

  /** It is sent no more, and kept with the reason. */
  putAside(number: number, reason: string): void {
    this.#store.sql("UPDATE upstream_messages SET state = 'aside', reason = ? WHERE number = ?").run(reason, number)
  }

  /** How many messages wait that tell of no energy. */
  noticesWaiting(stationId: string): number {
    const count: unknown = this.#store
      .sql(
        // As the index has it.
        `SELECT count(*) FROM upstream_messages WHERE station = ? AND state = 'waiting'
           AND action IN ('NotifyEvent', 'ReservationStatusUpdate', 'SecurityEventNotification')`,
      )
      .pluck()
      .get(stationId)
    return Number(count)
  }

  counts(stationId: string): UpstreamCounts {
    const count = (state: string) =>
      // Written out, so that the index of each state is used.
      Number(
        this.#store
          .sql(`SELECT count(*) FROM upstream_messages WHERE station = ? AND state = '${state}'`)
          .pluck()
          .get(stationId),
      )
    return { waiting: count('waiting'), aside: count('aside') }
  }

  /** The stations that have messages waiting. */
  stationsWaiting(): readonly string[] {
    return this.#store
      .sql("SELECT DISTINCT station FROM upstream_messages WHERE state = 'waiting'")
      .pluck()
      .all()
      .map(String)
  }

  /** Forgets a chunk of what waits no more: old messages, and MeterValues that no station will tell again. */
  prune(beforeMs: number, chunk: number): void {
    this.#store.write(() => {
      this.#store
        .sql(
          `DELETE FROM upstream_messages WHERE number IN
             (SELECT number FROM upstream_messages WHERE state <> 'waiting' AND arrived_at < ? LIMIT ?)`,
        )
        .run(beforeMs, chunk)
      this.#store
        .sql(
          `DELETE FROM upstream_messages WHERE number IN (
             SELECT number FROM (
               SELECT number, state, row_number() OVER (PARTITION BY station ORDER BY number DESC) AS age
               FROM upstream_messages WHERE action = 'MeterValues')
             WHERE state = 'delivered' AND age > ${rememberedMeterValues} LIMIT ?)`,
        )
        .run(chunk)
    })
  }
}

function readContent({ payload, frame_text }: { payload: string | null; frame_text: string | null }) {
  // [2, id, action, payload]: only what could be read as it came is left to the journal.
  const content: unknown = JSON.parse(payload ?? frame_text ?? 'null')
  const read = v.safeParse(payloadShape, payload === null && Array.isArray(content) ? content[3] : content)
  return read.success ? read.output : undefined
}

const count = integerBetween(0, Number.MAX_SAFE_INTEGER)
const payloadShape = v.record(v.string(), v.unknown())
const messageShape = v.object({
  number: count,
  version: v.picklist(ocppVersions),
  action: v.string(),
  payload: v.nullable(v.string()),
  frame_text: v.nullable(v.string()),
  message_id: v.string(),
  arrived_at: count,
  transaction_id: v.nullable(v.pipe(v.number(), v.integer())),
  late: v.picklist([0, 1]),
  attempts: count,
})
