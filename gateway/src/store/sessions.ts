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
import { formatPlace, formatProgress, formatState, hasSameProgress, hasSameState } from '../sessions/state-text.ts'
import type { Store } from './database.ts'

const jsonRow = v.object({ json: v.string() })
const idShape = integerBetween(1, Number.MAX_SAFE_INTEGER)
const countRow = v.object({ count: integerBetween(0, Number.MAX_SAFE_INTEGER) })

// Two JSON objects put together to one.
const selectSession = `SELECT substr(s.state, 1, length(s.state) - 1) || ',' || substr(p.state, 2) AS json
  FROM charging_sessions s JOIN charging_progress p ON p.session = s.id WHERE s.id = ?`

/** Whoever makes up transactions must not fill the disk. */
const mostWaiting = 1_000
/** Sessions, places and clocks that are kept in memory beside the database. */
const mostKnown = 2_000

export interface SessionPruneLimits {
  readonly beforeMs: number
  readonly most: number
  readonly chunk: number
}

/**
 * The sessions of all stations, in the gateway's database. Whoever writes opens the transaction, and there is one such
 * writer: it remembers what it wrote, and forgets all of it where anything is undone.
 */
export class SessionStore implements Books {
  readonly #store: Store
  /** What this one has written, as it stands in the database. */
  readonly #sessions = new Map<number, SessionState>()
  /** The latest session of each transaction that was asked for. */
  readonly #latest = new Map<string, number>()
  readonly #places = new Map<string, PlaceState>()
  readonly #clocks = new Map<string, StationClock | undefined>()

  constructor(store: Store) {
    this.#store = store
    store.onUndo(() => this.#forget())
  }

  findStart(stationId: string, startKey: string): SessionState | undefined {
    const sql = 'SELECT id FROM charging_sessions WHERE station = ? AND start_key = ?'
    return this.#sessionsOf(sql, [stationId, startKey])[0]
  }

  findTransaction(stationId: string, transaction: string): SessionState | undefined {
    const name = `${transaction}/${stationId}`
    const known = this.#sessions.get(this.#latest.get(name) ?? 0)
    if (known !== undefined) return { ...known }
    const sql = 'SELECT id FROM charging_sessions WHERE station = ? AND transaction_id = ? ORDER BY id DESC LIMIT 1'
    const [found] = this.#sessionsOf(sql, [stationId, transaction])
    if (found !== undefined) remember(this.#latest, name, found.id)
    return found
  }

  unsettled({ stationId, connectorId }: Partial<ChargingPlace>): readonly SessionState[] {
    const conditions = [
      'settled = 0',
      ...(stationId === undefined ? [] : ['station = ?']),
      ...(connectorId === undefined ? [] : ['connector = ?']),
    ]
    return this.#sessionsOf(
      `SELECT id FROM charging_sessions WHERE ${conditions.join(' AND ')} ORDER BY +id`,
      [stationId, connectorId].filter((one) => one !== undefined),
    )
  }

  writeSession(session: SessionState): void {
    const { id } = session
    const before = this.#sessions.get(id)
    if (before === undefined || !hasSameState(before, session)) this.#writeState(session)
    if (before === undefined) {
      this.#store
        .sql('INSERT INTO charging_progress VALUES (?, ?) ON CONFLICT (session) DO UPDATE SET state = excluded.state')
        .run(id, formatProgress(session))
    } else if (!hasSameProgress(before, session)) {
      this.#store.sql('UPDATE charging_progress SET state = ? WHERE session = ?').run(formatProgress(session), id)
    }
    remember(this.#sessions, id, session)
    const name = `${session.transaction}/${session.stationId}`
    if (id > (this.#latest.get(name) ?? id)) this.#latest.set(name, id)
  }

  #writeState(session: SessionState): void {
    const { id, stationId, connectorId, transaction, startKey, isSettled, begunAt } = session
    this.#store
      .sql(
        `INSERT INTO charging_sessions (id, station, connector, transaction_id, start_key, settled, begun_at, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET settled = excluded.settled, begun_at = excluded.begun_at, state = excluded.state`,
      )
      .run(
        id,
        stationId,
        connectorId,
        transaction ?? null,
        startKey ?? null,
        isSettled ? 1 : 0,
        begunAt.takenAt,
        formatState(session),
      )
  }

  readPlace({ stationId, connectorId }: ChargingPlace): PlaceState | undefined {
    const known = this.#places.get(`${connectorId}/${stationId}`)
    if (known !== undefined) return { ...known }
    const sql = 'SELECT state AS json FROM charging_places WHERE station = ? AND connector = ?'
    return this.#one(placeShape, sql, [stationId, connectorId])
  }

  writePlace({ stationId, connectorId }: ChargingPlace, state: PlaceState): void {
    const name = `${connectorId}/${stationId}`
    const before = this.#places.get(name)
    if (before !== undefined && before.register === state.register && before.endedWh === state.endedWh) return
    const sql =
      before === undefined
        ? `INSERT INTO charging_places (state, station, connector) VALUES (?, ?, ?)
           ON CONFLICT (station, connector) DO UPDATE SET state = excluded.state`
        : 'UPDATE charging_places SET state = ? WHERE station = ? AND connector = ?'
    this.#store.sql(sql).run(formatPlace(state), stationId, connectorId)
    remember(this.#places, name, state)
  }

  readClock(stationId: string): StationClock | undefined {
    if (this.#clocks.has(stationId)) return this.#clocks.get(stationId)
    const sql = 'SELECT state AS json FROM charging_clocks WHERE station = ?'
    const clock = this.#one(stationClockShape, sql, [stationId])
    remember(this.#clocks, stationId, clock)
    return clock
  }

  writeClock(stationId: string, clock: StationClock): void {
    const json = JSON.stringify(clock)
    this.#store
      .sql('INSERT INTO charging_clocks VALUES (?, ?) ON CONFLICT (station) DO UPDATE SET state = excluded.state')
      .run(stationId, json)
    remember(this.#clocks, stationId, clock)
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
    const found = this.#all(chargingEventShape, `SELECT event AS json ${where} ORDER BY frame`, [
      stationId,
      transaction,
    ])
    if (found.length > 0) this.#store.sql(`DELETE ${where}`).run(stationId, transaction)
    return found
  }

  find(id: number): SessionState | undefined {
    return this.#sessionsOf('SELECT id FROM charging_sessions WHERE id = ?', [id])[0]
  }

  /** The latest sessions, newest first. */
  latest(most: number): readonly SessionState[] {
    return this.#sessionsOf('SELECT id FROM charging_sessions ORDER BY id DESC LIMIT ?', [most])
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
  prune(limits: SessionPruneLimits): number {
    const count = this.#prune(limits)
    if (count > 0) this.#forget()
    return count
  }

  #prune({ beforeMs, most, chunk }: SessionPruneLimits): number {
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

  #forget(): void {
    this.#sessions.clear()
    this.#latest.clear()
    this.#places.clear()
    this.#clocks.clear()
  }

  #sessionsOf(sql: string, values: readonly unknown[]): SessionState[] {
    const ids = this.#store
      .sql(sql)
      .pluck()
      .all(...values)
    return ids.map((found) => {
      const id = decodeWith(idShape, found, this.#store.path, 'storage/corrupt')
      const known = this.#sessions.get(id)
      if (known !== undefined) return { ...known }
      return this.#read(sessionShape, this.#store.sql(selectSession).get(id))
    })
  }

  #one<T extends v.GenericSchema>(shape: T, sql: string, values: readonly unknown[]): v.InferOutput<T> | undefined {
    const row = this.#store.sql(sql).get(...values)
    return row === undefined ? undefined : this.#read(shape, row)
  }

  #all<T extends v.GenericSchema>(shape: T, sql: string, values: readonly unknown[]): readonly v.InferOutput<T>[] {
    return this.#store
      .sql(sql)
      .all(...values)
      .map((row) => this.#read(shape, row))
  }

  #read<T extends v.GenericSchema>(shape: T, row: unknown): v.InferOutput<T> {
    const source = `${this.#store.path}: charging`
    const { json } = decodeWith(jsonRow, row, source, 'storage/corrupt')
    return decodeWith(shape, JSON.parse(json), source, 'storage/corrupt')
  }

  #count(sql: string, values: readonly unknown[]): number {
    return decodeWith(countRow, this.#store.sql(sql).get(...values), this.#store.path, 'storage/corrupt').count
  }
}

// Whoever makes up stations must not fill the memory.
function remember<TKey, TValue>(known: Map<TKey, TValue>, key: TKey, value: TValue): void {
  if (known.size >= mostKnown && !known.has(key)) known.clear()
  known.set(key, value)
}

function formatEvent(event: ChargingEvent): string {
  return JSON.stringify({ ...event, values: event.values.map(({ wh, ...value }) => ({ ...value, wh: String(wh) })) })
}
