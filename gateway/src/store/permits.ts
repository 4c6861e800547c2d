import { decodeWith, integerBetween, type OneTimeCodeKey } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

const number = integerBetween(0, Number.MAX_SAFE_INTEGER)
const rowShape = v.array(
  v.object({
    number,
    kind: v.picklist(['reservation', 'start']),
    station: v.string(),
    connector: number,
    expires_at: number,
    id_token: v.string(),
    group_token: v.string(),
    driver: v.nullable(v.string()),
    driver_group: v.nullable(v.string()),
    secret: v.nullable(v.string()),
    validity_seconds: number,
    code_length: number,
    state: v.picklist(['open', 'used', 'cancelled']),
    at_station: number,
    station_number: v.nullable(number),
    request: v.nullable(v.string()),
  }),
)
const requestShape = v.record(v.string(), v.unknown())

/** Leave to begin one session at one place. */
export interface Permit {
  readonly number: number
  readonly kind: 'reservation' | 'start'
  readonly stationId: string
  /** 0 for the whole station. */
  readonly connectorId: number
  readonly expiresAtMs: number
  /** What the station knows its holder by. Made here, and not to be guessed. */
  readonly idToken: string
  readonly groupToken: string
  readonly driver?: string
  readonly group?: string
  /** Opens it with one-time codes. */
  readonly code?: OneTimeCodeKey
  /** Where an operator upstream asked for it. `idToken` and `groupToken` are then of his choice, and prove nothing. */
  readonly passedOn?: PassedOn
  readonly state: 'open' | 'used' | 'cancelled'
  readonly atStation: boolean
}

/** A reservation of upstream as its station knows it. */
export interface PassedOn {
  readonly number: number
  /** ReserveNow. */
  readonly request: Readonly<Record<string, unknown>>
}

/** What the station calls a reservation. */
export function numberAtStation({ number, passedOn }: Permit): number {
  return passedOn?.number ?? number
}

export type NewPermit = Omit<Permit, 'number' | 'state' | 'atStation'>

/** How a code came: typed at the station, or told to the gateway. */
export type CodeWay = 'station' | 'remote'

/** Permits in the database. What is changed here counts once the transaction that it is part of is committed. */
export class PermitStore {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  add(permit: NewPermit): number {
    const { lastInsertRowid } = this.#store
      .sql(
        `INSERT INTO permits (kind, station, connector, expires_at, id_token, group_token, driver, driver_group, secret,
           validity_seconds, code_length, station_number, request, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open')`,
      )
      .run(
        permit.kind,
        permit.stationId,
        permit.connectorId,
        permit.expiresAtMs,
        permit.idToken,
        permit.groupToken,
        permit.driver ?? null,
        permit.group ?? null,
        permit.code?.secret ?? null,
        permit.code?.validitySeconds ?? 0,
        permit.code?.length ?? 0,
        permit.passedOn?.number ?? null,
        permit.passedOn === undefined ? null : JSON.stringify(permit.passedOn.request),
      )
    return Number(lastInsertRowid)
  }

  /** Those of a station, or of all, that are neither used nor over; the oldest first. */
  open(nowMs: number, stationId?: string): readonly Permit[] {
    if (stationId === undefined) return this.#select("state = 'open' AND expires_at > ?", nowMs)
    return this.#select("state = 'open' AND station = ? AND expires_at > ?", stationId, nowMs)
  }

  /** Those that a station may hold, whatever has become of them. */
  atStation(stationId: string): readonly Permit[] {
    return this.#select('at_station = 1 AND station = ?', stationId)
  }

  find(permit: number): Permit | undefined {
    return this.#select('number = ?', permit)[0]
  }

  /** The one of upstream that is in force under its number at the station. */
  findPassedOn(stationId: string, numberThere: number): Permit | undefined {
    return this.#select("state = 'open' AND station = ? AND station_number = ?", stationId, numberThere)[0]
  }

  /** The one that was used by a start. */
  usedBy(start: string): Permit | undefined {
    return this.#select("state = 'used' AND used_by = ?", start)[0]
  }

  end(permit: number, state: 'used' | 'cancelled', start = ''): void {
    this.#store
      .sql("UPDATE permits SET state = ?, used_by = ? WHERE number = ? AND state = 'open'")
      .run(state, start, permit)
  }

  /** What was cancelled is in force again. */
  reopen(permit: number): void {
    this.#store.sql("UPDATE permits SET state = 'open' WHERE number = ? AND state = 'cancelled'").run(permit)
  }

  setAtStation(permit: number, isThere: boolean): void {
    this.#store.sql('UPDATE permits SET at_station = ? WHERE number = ?').run(isThere ? 1 : 0, permit)
  }

  /** Lets it last until a moment at least. */
  prolong(permit: number, untilMs: number): void {
    this.#store.sql('UPDATE permits SET expires_at = max(expires_at, ?) WHERE number = ?').run(untilMs, permit)
  }

  /** Takes a code; false where it was taken before. */
  spend(permit: number, slot: number, way: CodeWay): boolean {
    const statement = this.#store.sql('INSERT INTO spent_codes VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
    return statement.run(permit, slot, way).changes === 1
  }

  /** The intervals whose codes were taken, and how. */
  spent(permit: number): ReadonlyMap<number, CodeWay> {
    const rows = this.#store.sql('SELECT slot, way FROM spent_codes WHERE permit = ? ORDER BY slot').all(permit)
    const decoded = decodeWith(spentShape, rows, `${this.#store.path}: spent_codes`, 'storage/corrupt')
    return new Map(decoded.map(({ slot, way }) => [slot, way]))
  }

  /** Forgets what was over by a moment: after that no station sends a start of it again. At most `chunk` at once. */
  prune(beforeMs: number, chunk: number): number {
    const over = 'SELECT number FROM permits WHERE expires_at < ? AND at_station = 0 ORDER BY number LIMIT ?'
    return this.#store.write(() => {
      this.#store.sql(`DELETE FROM spent_codes WHERE permit IN (${over})`).run(beforeMs, chunk)
      return this.#store.sql(`DELETE FROM permits WHERE number IN (${over})`).run(beforeMs, chunk).changes
    })
  }

  #select(where: string, ...values: (string | number)[]): readonly Permit[] {
    const rows = this.#store.sql(`SELECT * FROM permits WHERE ${where} ORDER BY number`).all(...values)
    const source = `${this.#store.path}: permits`
    return decodeWith(rowShape, rows, source, 'storage/corrupt').map((row) => toPermit(row, source))
  }
}

const spentShape = v.array(v.object({ slot: number, way: v.picklist(['station', 'remote']) }))

function toPermit(row: v.InferOutput<typeof rowShape>[number], source: string): Permit {
  const { station_number: numberThere, request } = row
  const passedOn =
    numberThere === null || request === null
      ? undefined
      : { number: numberThere, request: decodeWith(requestShape, JSON.parse(request), source, 'storage/corrupt') }
  const { secret, validity_seconds: validitySeconds, code_length: length } = row
  return {
    number: row.number,
    kind: row.kind,
    stationId: row.station,
    connectorId: row.connector,
    expiresAtMs: row.expires_at,
    idToken: row.id_token,
    groupToken: row.group_token,
    ...(row.driver === null ? {} : { driver: row.driver }),
    ...(row.driver_group === null ? {} : { group: row.driver_group }),
    ...(secret === null ? {} : { code: { secret, validitySeconds, length } }),
    ...(passedOn === undefined ? {} : { passedOn }),
    state: row.state,
    atStation: row.at_station === 1,
  }
}
