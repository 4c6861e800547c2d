import { decodeWith, type OcppVersion, ocppVersions } from '@wattline/protocol'
import * as v from 'valibot'
import { fieldsOf } from '../ocpp/json-place.ts'
import type { ChargingPlace } from '../sessions/session-signer.ts'
import type { Store } from '../store/database.ts'

/** A session that a station has begun and not ended, as far as it has told. */
export interface RunningSession {
  readonly place: ChargingPlace
  readonly version: OcppVersion
  /** The station's name for it: a number in OCPP 1.6. */
  readonly transactionId: string
}

/** Finds what runs. */
export interface RunningSessions {
  /** The latest at a place. */
  at(place: ChargingPlace): RunningSession | undefined
  /** By the transaction's id; at any station. */
  named(transactionId: string): RunningSession | undefined
}

const rowShape = v.array(
  v.object({
    number: v.number(),
    station: v.string(),
    version: v.picklist(ocppVersions),
    action: v.string(),
    content_hash: v.string(),
    frame: v.string(),
  }),
)

// A session of a day with an event a minute, several times over.
const mostFrames = 5_000

/** Reads it from the journal of frames: from the latest messages back. */
export class JournalSessions implements RunningSessions {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  at({ stationId, connectorId }: ChargingPlace): RunningSession | undefined {
    return this.#list(stationId).findLast(({ place }) => place.connectorId === connectorId)
  }

  named(transactionId: string): RunningSession | undefined {
    return this.#list().findLast((one) => one.transactionId === transactionId)
  }

  /** By the transaction's id at one station. */
  of(stationId: string, transactionId: string): RunningSession | undefined {
    return this.#list(stationId).findLast((one) => one.transactionId === transactionId)
  }

  #list(stationId?: string): readonly RunningSession[] {
    const rows = this.#store
      .sql(
        `SELECT number, station, version, action, content_hash, frame FROM ocpp_frames
         WHERE action IN ('StartTransaction', 'StopTransaction', 'TransactionEvent') AND outcome <> 'quarantined'
           AND (? IS NULL OR station = ?) ORDER BY number DESC LIMIT ?`,
      )
      .all(stationId ?? null, stationId ?? null, mostFrames)
    const frames = decodeWith(rowShape, rows, `${this.#store.path}: ocpp_frames`, 'storage/corrupt').toReversed()
    const first = new Map<string, number>()
    const running = new Map<string, RunningSession>()
    for (const { number, station, version, action, content_hash: hash, frame } of frames) {
      const payload = readPayload(frame)
      if (action === 'StartTransaction') {
        // The one that was answered: a start that came again has the number of the first.
        const known = first.has(hash)
        const transactionId = String(first.get(hash) ?? number)
        first.set(hash, Number(transactionId))
        const place = { stationId: station, connectorId: Number(payload['connectorId']) }
        if (!known) running.set(`${station}/${transactionId}`, { place, version, transactionId })
      } else if (action === 'StopTransaction') running.delete(`${station}/${String(payload['transactionId'])}`)
      else follow(running, station, version, payload)
    }
    return [...running.values()]
  }
}

function follow(
  running: Map<string, RunningSession>,
  stationId: string,
  version: OcppVersion,
  payload: Readonly<Record<string, unknown>>,
): void {
  const transactionId = String(fieldsOf(payload['transactionInfo'])?.['transactionId'])
  const key = `${stationId}/${transactionId}`
  if (payload['eventType'] === 'Ended') {
    running.delete(key)
    return
  }
  const evseId = fieldsOf(payload['evse'])?.['id']
  const connectorId = typeof evseId === 'number' ? evseId : running.get(key)?.place.connectorId
  if (connectorId !== undefined) running.set(key, { place: { stationId, connectorId }, version, transactionId })
}

// [2, id, action, payload], or [6, id, action, payload].
function readPayload(frame: string): Readonly<Record<string, unknown>> {
  try {
    const message: unknown = JSON.parse(frame)
    return fieldsOf(Array.isArray(message) ? message[3] : undefined) ?? {}
  } catch {
    return {} // kept as it came, and it came garbled
  }
}
