import { decodeWith, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import { type ChargingEvent, chargingEventShape } from '../sessions/charging-event.ts'
import type { Books } from '../sessions/session-book.ts'
import type { ChargingPlace } from '../sessions/session-signer.ts'
import {
  type PlaceState,
  placeShape,
  type SessionState,
  type StationClock,
  sessionShape,
  stationClockShape,
} from '../sessions/session-state.ts'
import { formatPlace, formatSession, StateReader } from '../sessions/state-text.ts'
import type { Store } from './database.ts'

const jsonRow = v.object({ json: v.string() })
const countRow = v.object({ count: integerBetween(0, Number.MAX_SAFE_INTEGER) })

// As `formatSession` puts the two together.
const selectSessions = `SELECT substr(s.state, 1, length(s.state) - 1) || ',' || substr(p.state, 2) AS json
  FROM charging_sessions s JOIN charging_progress p ON p.session = s.id`

/** Whoever makes up transactions must not fill the disk. */
const mostWaiting = 1_000
const mostClocks = 2_000

export interface SessionPruneLimits {
  readonly beforeMs: number
  readonly most: number
  readonly chunk: number
}

/** The sessions of all stations, in the gateway's database. Whoever writes opens the transaction. */
export class SessionStore implements Books {
  readonly #store: Store
  readonly #sessions = new StateReader(sessionShape)
  readonly #places = new StateReader(placeShape)
  readonly #clocks = new StateReader(stationClockShape)
  /** Read once: an estimate that outlives an undone transaction does no harm. */
  readonly #knownClocks = new Map<string, StationClock | undefined>()
  /** What stands in the database of a session that was read: most messages change only its progress. */
  readonly #stored = new WeakMap<SessionState, string>()
  readonly #waiting = new StateReader(chargingEventShape)

  constructor(store: Store) {
    this.#store = store
  }

  findStart(stationId: string, startKey: string): SessionState | undefined {
    const sql = `${selectSessions} WHERE s.station = ? AND s.start_key = ?`
    return this.#one(this.#sessions, sql, [stationId, startKey])
  }

  findTransaction(stationId: string, transaction: string): SessionState | undefined {
    const sql = `${selectSessions} WHERE s.station = ? AND s.transaction_id = ? ORDER BY s.id DESC LIMIT 1`
    return this.#one(this.#sessions, sql, [stationId, transaction])
  }

  unsettled({ stationId, connectorId }: Partial<ChargingPlace>): readonly SessionState[] {
    const conditions = [
      's.settled = 0',
      ...(stationId === undefined ? [] : ['s.station = ?']),
      ...(connectorId === undefined ? [] : ['s.connector = ?']),
    ]
    const sql = `${selectSessions} WHERE ${conditions.join(' AND ')} ORDER BY +s.id`
    return this.#all(
      this.#sessions,
      sql,
      [stationId, connectorId].filter((one) => one !== undefined),
    )
  }

  writeSession(session: SessionState): void {
    const { id } = session
    const { state, progress, json } = formatSession(session)
    if (this.#stored.get(session) !== state) this.#writeState(session, state)
    this.#store
      .sql('INSERT INTO charging_progress VALUES (?, ?) ON CONFLICT (session) DO UPDATE SET state = excluded.state')
      .run(id, progress)
    this.#sessions.remember(json, session)
    this.#stored.set(session, state)
  }

  #writeState(session: SessionState, state: string): void {
    const { id, stationId, connectorId, transaction, startKey, isSettled, begunAt } = session
    this.#store
      .sql(
        `INSERT INTO charging_sessions (id, station, connector, transaction_id, start_key, settled, begun_at, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET settled = excluded.settled, begun_at = excluded.begun_at, state = excluded.state`,
      )
      .run(id, stationId, connectorId, transaction ?? null, startKey ?? null, isSettled ? 1 : 0, begunAt.takenAt, state)
  }

  readPlace({ stationId, connectorId }: ChargingPlace): PlaceState | undefined {
    const sql = 'SELECT state AS json FROM charging_places WHERE station = ? AND connector = ?'
    return this.#one(this.#places, sql, [stationId, connectorId])
  }

  writePlace({ stationId, connectorId }: ChargingPlace, state: PlaceState): void {
    const json = formatPlace(state)
    this.#store
      .sql(
        `INSERT INTO charging_places VALUES (?, ?, ?)
         ON CONFLICT (station, connector) DO UPDATE SET state = excluded.state`,
      )
      .run(stationId, connectorId, json)
    this.#places.remember(json, state)
  }

  readClock(stationId: string): StationClock | undefined {
    if (this.#knownClocks.has(stationId)) return this.#knownClocks.get(stationId)
    if (this.#knownClocks.size >= mostClocks) this.#knownClocks.clear()
    const sql = 'SELECT state AS json FROM charging_clocks WHERE station = ?'
    const clock = this.#one(this.#clocks, sql, [stationId])
    this.#knownClocks.set(stationId, clock)
    return clock
  }

  writeClock(stationId: string, clock: StationClock): void {
    const json = JSON.stringify(clock)
    this.#store
      .sql('INSERT INTO charging_clocks VALUES (?, ?) ON CONFLICT (station) DO UPDATE SET state = excluded.state')
      .run(stationId, json)
    this.#knownClocks.set(stationId, clock)
  }

  setAside(event: ChargingEvent): boolean {
    if (
      this.#count('SELECT count(*) AS count FROM charging_waiting WHERE station = ?', [event.stationId]) >= mostWaiting
    )
      return false
    this.#store
      .sql('INSERT INTO charging_waiting VALUES (?, ?, ?, ?, ?)')
      .run(event.frame, event.stationId, event.transaction ?? '', event.arrivedAt, formatEvent(event))
    return true
  }

  takeOut(stationId: string, transaction: string): readonly ChargingEvent[] {
    const where = 'FROM charging_waiting WHERE station = ? AND transaction_id = ?'
    const found = this.#all(this.#waiting, `SELECT event AS json ${where} ORDER BY frame`, [stationId, transaction])
    if (found.length > 0) this.#store.sql(`DELETE ${where}`).run(stationId, transaction)
    return found
  }

  /** The latest sessions, newest first. */
  latest(most: number): readonly SessionState[] {
    return this.#all(this.#sessions, `${selectSessions} ORDER BY s.id DESC LIMIT ?`, [most])
  }

  /** Forgets what waits for a begin that never came, and gives their frames: nothing was concluded from them. */
  dropWaiting(beforeMs: number, most: number): readonly number[] {
    const sql = 'SELECT frame AS count FROM charging_waiting WHERE arrived_at < ? ORDER BY frame LIMIT ?'
    const frames = this.#store
      .sql(sql)
      .all(beforeMs, most)
      .map((row) => decodeWith(countRow, row, this.#store.path, 'storage/corrupt').count)
    for (const frame of frames) this.#store.sql('DELETE FROM charging_waiting WHERE frame = ?').run(frame)
    return frames
  }

  /**
   * Forgets settled sessions: those that began before a time, and the oldest where they are more than `most`. At most
   * `chunk` at once; gives how many. A start that comes again after that opens a session without energy, as the
   * register of its place has gone on.
   */
  prune({ beforeMs, most, chunk }: SessionPruneLimits): number {
    const settled = 'FROM charging_sessions WHERE settled = 1'
    const remove = (which: string, value: number, limit: number) =>
      this.#store
        .sql(`DELETE FROM charging_sessions WHERE id IN (SELECT id ${settled} AND ${which} LIMIT ?)`)
        .run(value, limit).changes
    const aged = remove('begun_at < ?', beforeMs, chunk)
    const tooMany = this.#count(`SELECT count(*) AS count ${settled}`, []) - most
    if (aged === chunk || tooMany <= 0) return aged
    return aged + remove('begun_at >= ? ORDER BY begun_at', beforeMs, Math.min(tooMany, chunk - aged))
  }

  #one<T extends v.GenericSchema>(
    reader: StateReader<T>,
    sql: string,
    values: readonly unknown[],
  ): v.InferOutput<T> | undefined {
    const row = this.#store.sql(sql).get(...values)
    return row === undefined ? undefined : this.#read(reader, row)
  }

  #all<T extends v.GenericSchema>(
    reader: StateReader<T>,
    sql: string,
    values: readonly unknown[],
  ): readonly v.InferOutput<T>[] {
    return this.#store
      .sql(sql)
      .all(...values)
      .map((row) => this.#read(reader, row))
  }

  #read<T extends v.GenericSchema>(reader: StateReader<T>, row: unknown): v.InferOutput<T> {
    const source = `${this.#store.path}: charging`
    return reader.read(decodeWith(jsonRow, row, source, 'storage/corrupt').json, source)
  }

  #count(sql: string, values: readonly unknown[]): number {
    return decodeWith(countRow, this.#store.sql(sql).get(...values), this.#store.path, 'storage/corrupt').count
  }
}

function formatEvent(event: ChargingEvent): string {
  return JSON.stringify({ ...event, values: event.values.map(({ wh, ...value }) => ({ ...value, wh: String(wh) })) })
}
