import { decodeWith, integerBetween, type Timestamp } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

const profile = v.picklist([0, 1, 2, 3])
const settingsShape = v.array(v.strictObject({ name: v.string(), value: v.string() }))
const rowShape = v.object({
  station: v.string(),
  profile,
  next_profile: v.nullable(profile),
  password_hash: v.nullable(v.string()),
  next_password_hash: v.nullable(v.string()),
  settings: v.string(),
  adopted_at: integerBetween(0, Number.MAX_SAFE_INTEGER),
})

export type SecurityProfile = v.InferOutput<typeof profile>

/** One setting that a station has taken: the key of OCPP 1.6, or `Component.Variable`. */
export type TakenSetting = v.InferOutput<typeof settingsShape>[number]

/** A station that the installer has let in by command. */
export interface AdoptedStation {
  readonly id: string
  /** What it must show. */
  readonly profile: SecurityProfile
  /** What it must show from the moment on at which it has first shown it. */
  readonly nextProfile: SecurityProfile | undefined
  /** SHA-256 in hex. The password itself is nowhere but in the station. */
  readonly passwordHash: string | undefined
  readonly nextPasswordHash: string | undefined
  readonly settings: readonly TakenSetting[]
}

/** The stations that were adopted. They survive a restart as the configuration does. */
export class AdoptedStations {
  readonly #store: Store
  readonly #rows: Map<string, AdoptedStation>

  constructor(store: Store) {
    this.#store = store
    const rows = store.sql('SELECT * FROM adopted_stations').all()
    const decoded = decodeWith(v.array(rowShape), rows, `${store.path}: adopted_stations`, 'storage/corrupt')
    this.#rows = new Map(decoded.map((row) => [row.station, toStation(row, store.path)]))
  }

  get size(): number {
    return this.#rows.size
  }

  find(id: string): AdoptedStation | undefined {
    return this.#rows.get(id)
  }

  /** Lets a station in as it is, where it is not adopted yet. */
  add(id: string, at: Timestamp): AdoptedStation {
    const known = this.#rows.get(id)
    if (known !== undefined) return known
    this.#store.write(() =>
      this.#store
        .sql("INSERT INTO adopted_stations (station, profile, settings, adopted_at) VALUES (?, 0, '[]', ?)")
        .run(id, at),
    )
    const added = {
      id,
      profile: 0,
      nextProfile: undefined,
      passwordHash: undefined,
      nextPasswordHash: undefined,
      settings: [],
    } as const
    this.#rows.set(id, added)
    return added
  }

  /** What a station shall show from now on, or once it has first shown it. Stored before the station is told. */
  change(id: string, change: Partial<Omit<AdoptedStation, 'id'>>): void {
    const before = this.#rows.get(id)
    if (before === undefined) throw new Error(`${id} is not adopted`)
    const after = { ...before, ...change }
    this.#store.write(() =>
      this.#store
        .sql(
          `UPDATE adopted_stations SET profile = ?, next_profile = ?, password_hash = ?, next_password_hash = ?, settings = ?
           WHERE station = ?`,
        )
        .run(
          after.profile,
          after.nextProfile ?? null,
          after.passwordHash ?? null,
          after.nextPasswordHash ?? null,
          JSON.stringify(after.settings),
          id,
        ),
    )
    this.#rows.set(id, after)
  }

  /** Gives whether there was one. */
  remove(id: string): boolean {
    const { changes } = this.#store.write(() =>
      this.#store.sql('DELETE FROM adopted_stations WHERE station = ?').run(id),
    )
    this.#rows.delete(id)
    return changes > 0
  }
}

function toStation(row: v.InferOutput<typeof rowShape>, path: string): AdoptedStation {
  return {
    id: row.station,
    profile: row.profile,
    nextProfile: row.next_profile ?? undefined,
    passwordHash: row.password_hash ?? undefined,
    nextPasswordHash: row.next_password_hash ?? undefined,
    settings: decodeWith(
      settingsShape,
      JSON.parse(row.settings),
      `${path}: adopted_stations ${row.station}`,
      'storage/corrupt',
    ),
  }
}
