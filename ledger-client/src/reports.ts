import { type Currency, formatKwh, formatPublicKey, isCurrency, type Wh } from '@wattline/protocol'
import { accountOf, accountsFor } from './ledger/accounts.ts'
import { type Place, type Point, type PointState, Registry, stateOf } from './points/registry.ts'
import type { Database } from './store/database.ts'
import type { QuarantineRow } from './store/quarantine.ts'

/** One owner's accounts, in base units. */
export interface OwnerBalance {
  readonly owner: string
  /** What may be used. */
  readonly wattWh: Wh
  /** What is put aside by reservations that are open. */
  readonly reservedWh: Wh
  /** The shortfall, at or below zero. */
  readonly gridWh: Wh
  /** The right to store, what is reserved of it included. */
  readonly eea: bigint
  /** Of each currency that the owner has or had, in minor units: what may be used, and what is reserved. */
  readonly money: readonly { readonly currency: Currency; readonly units: bigint; readonly reservedUnits: bigint }[]
}

/** All money of one currency, in minor units. */
export interface MoneyBalance {
  readonly currency: Currency
  /** What was brought from outside, and what was paid out there. */
  readonly addedUnits: bigint
  readonly removedUnits: bigint
  /** The sum of all owners' accounts, reserved or not. */
  readonly supplyUnits: bigint
}

/** One metering point's bookings. */
export interface PointBalance {
  readonly point: string
  readonly owner: string
  readonly role: string
  readonly behind: string | null
  readonly state: PointState
  readonly epoch: number
  readonly sequence: number
  readonly records: number
  readonly mintedWh: Wh
  readonly burnedWh: Wh
  /** Remainder above zero, not booked. */
  readonly carriedWh: Wh
  /** Counted in a session that has not ended, to be booked with its end. */
  readonly openWh: Wh
  /** Readings that wait for the points below. */
  readonly unsettled: number
}

/** One storage's energy since counting began, as its meter told it; no WATT. */
export interface StorageBalance {
  readonly point: string
  /** What devices put in. */
  readonly chargedWh: Wh
  /** What it gave back. */
  readonly dischargedWh: Wh
  /** The difference: losses stay in it, and what it held before is not known. */
  readonly storedWh: Wh
}

/** What there is and where it came from. */
export interface Balances {
  readonly owners: readonly OwnerBalance[]
  readonly points: readonly PointBalance[]
  /** Metering points in role `storage`. */
  readonly storages: readonly StorageBalance[]
  readonly mintedWh: Wh
  /** By metering points, and given up by owners. */
  readonly burnedWh: Wh
  /** The sum of all owners' WATT, reserved or not, and grid accounts. */
  readonly supplyWh: Wh
  /** All EEA there is: 700,000,000 once it is issued. */
  readonly eeaSupply: bigint
  readonly money: readonly MoneyBalance[]
  /** Whether minted − burned is the supply, and of each currency added − removed. */
  readonly balanced: boolean
}

/** All balances at one moment. */
export function readBalances(db: Database): Balances {
  return db.read(() => {
    const accounts = db
      .prepareWide<[], { account: string; amount: bigint }>('SELECT account, amount FROM balance')
      .all()
    const sumOf = (prefix: string) =>
      accounts.reduce((sum, { account, amount }) => (account.startsWith(prefix) ? sum + amount : sum), 0n)
    const amounts = new Map(accounts.map(({ account, amount }) => [account, amount]))
    const money = accounts.flatMap(({ account }): MoneyBalance[] => {
      const currency = /^money-added:(.*)$/s.exec(account)?.[1] ?? ''
      if (!isCurrency(currency)) return []
      const addedUnits = -(amounts.get(account) ?? 0n)
      const removedUnits = amounts.get(accountOf.moneyRemoved(currency)) ?? 0n
      const supplyUnits = sumOf(`money:${currency}:`) + sumOf(`money-held:${currency}:`)
      return [{ currency, addedUnits, removedUnits, supplyUnits }]
    })
    const moneyOf = (owner: string) =>
      money.flatMap(({ currency }) => {
        const { free, held } = accountsFor(currency)
        const [units, reservedUnits] = [amounts.get(free(owner)), amounts.get(held(owner)) ?? 0n]
        return units === undefined ? [] : [{ currency, units, reservedUnits }]
      })
    const classes = /^(?:owner|held|grid|eea|eea-held|money:[A-Z]{3}|money-held:[A-Z]{3}):(.+)$/s
    const names = accounts.flatMap(({ account }) => classes.exec(account)?.[1] ?? [])
    const owners = [...new Set(names)].toSorted().map((owner) => ({
      owner,
      wattWh: amounts.get(`owner:${owner}`) ?? 0n,
      reservedWh: amounts.get(`held:${owner}`) ?? 0n,
      gridWh: amounts.get(`grid:${owner}`) ?? 0n,
      eea: (amounts.get(`eea:${owner}`) ?? 0n) + (amounts.get(`eea-held:${owner}`) ?? 0n),
      money: moneyOf(owner),
    }))
    const mintedWh = -sumOf('minted:')
    const burnedWh = sumOf('burned:') + sumOf('retired:')
    const supplyWh = sumOf('owner:') + sumOf('held:') + sumOf('grid:')
    const eeaSupply = sumOf('eea:') + sumOf('eea-held:')
    const isSound = money.every((each) => each.addedUnits - each.removedUnits === each.supplyUnits)
    const balanced = mintedWh - burnedWh === supplyWh && isSound
    const points = readPointBalances(db)
    const storages = points.filter(({ role }) => role === 'storage').map(({ point }) => toStorage(point, amounts))
    return { owners, points, storages, mintedWh, burnedWh, supplyWh, eeaSupply, money, balanced }
  })
}

function toStorage(point: string, amounts: ReadonlyMap<string, Wh>): StorageBalance {
  const amountOf = (account: string) => amounts.get(account) ?? 0n
  return {
    point,
    chargedWh: -amountOf(accountOf.charged(point)),
    dischargedWh: amountOf(accountOf.discharged(point)),
    storedWh: amountOf(accountOf.stored(point)),
  }
}

function readPointBalances(db: Database): readonly PointBalance[] {
  const unsettled = db.prepare<[number], { rows: number }>(
    'SELECT count(*) AS rows FROM record WHERE point = ? AND booked_wh IS NULL',
  )
  return new Registry(db).all().map((point) => ({
    point: point.id,
    owner: point.terms.owner,
    role: point.terms.role,
    behind: point.terms.behind ?? null,
    state: stateOf(point),
    epoch: point.head?.epoch ?? 0,
    sequence: point.head?.sequence ?? 0,
    records: point.records,
    mintedWh: point.mintedWh,
    burnedWh: point.burnedWh,
    carriedWh: point.carriedWh,
    openWh: point.session?.countedWh ?? 0n,
    unsettled: unsettled.get(point.rowId)?.rows ?? 0,
  }))
}

/** What is enrolled of one metering point. */
export interface PointReport {
  readonly point: string
  readonly state: PointState
  readonly owner: string
  readonly role: string
  readonly behind: string | null
  readonly maxPowerW: number | null
  readonly rolloverWh: Wh | null
  /** Oldest first; a revoked key is valid up to `last`. */
  readonly keys: readonly {
    readonly publicKeySpki: string
    readonly last: { epoch: number; sequence: number } | null
  }[]
  /** The key that speaks for the owner; null where an operator does. */
  readonly ownerKeySpki: string | null
  /** An order that waits for its place, by its journal entry. */
  readonly pending: { readonly entry: number; readonly after: Place } | null
  readonly termsEntry: number
  readonly frozenEntry: number | null
  readonly held: number
}

/** All enrolled metering points. */
export function readPoints(db: Database): readonly PointReport[] {
  const held = db.prepare<[number], { rows: number }>('SELECT count(*) AS rows FROM held WHERE point = ?')
  return db.read(() => new Registry(db).all().map((point) => toPointReport(point, held.get(point.rowId)?.rows ?? 0)))
}

function toPointReport(point: Point, held: number): PointReport {
  const { terms } = point
  return {
    point: point.id,
    state: stateOf(point),
    owner: terms.owner,
    role: terms.role,
    behind: terms.behind ?? null,
    maxPowerW: terms.maxPowerW ?? null,
    rolloverWh: terms.rolloverWh ?? null,
    keys: point.keys.map(({ key, last }) => ({ publicKeySpki: formatPublicKey(key), last: last ?? null })),
    ownerKeySpki: terms.ownerKey ?? null,
    pending: point.pending === undefined ? null : { entry: point.pending.entry, after: point.pending.after },
    termsEntry: point.termsEntry,
    frozenEntry: point.frozen ?? null,
    held,
  }
}

/** One accepted record. */
export interface RecordReport {
  readonly point: string
  readonly epoch: number
  readonly sequence: number
  /** `<point>@<epoch>/<sequence>`, as `trace` takes it. */
  readonly place: string
  readonly hash: string
  /** ms since 1970. */
  readonly takenAt: number
  readonly acceptedAt: number
  /** `counted`, `base`, `kept`, or the code that refused the energy. */
  readonly outcome: string
  /** The journal entry that booked it, if it moved anything, its kind, and which accounts it moved. */
  readonly entry: number | null
  readonly kind: string | null
  readonly postings: readonly { readonly account: string; readonly amount: number }[]
  readonly text: string
}

/** Which records are asked for. */
export interface RecordFilter {
  readonly point?: string
}

/** Accepted records in the order of their acceptance, or of one point in its own order; one at a time. */
export function* readRecords(db: Database, { point }: RecordFilter): Generator<RecordReport> {
  const rows = db.prepare<[string | null, string | null], Omit<RecordReport, 'place' | 'postings'> & { moved: string }>(
    `SELECT point.name AS point, record.epoch, record.sequence, record.hash, taken_at AS takenAt,
            accepted_at AS acceptedAt, outcome, entry.id AS entry, entry.kind AS kind, text,
            (SELECT json_group_array(json_object('account', account, 'amount', amount))
             FROM posting WHERE posting.entry = entry.id) AS moved
     FROM record JOIN point ON point.id = record.point
     LEFT JOIN entry ON entry.claim = point.name || '#' || record.epoch || '/' || record.sequence
     WHERE ? IS NULL OR point.name = ? ORDER BY record.id`,
  )
  for (const row of rows.iterate(point ?? null, point ?? null)) {
    const { moved, ...shown } = row
    yield { ...shown, postings: JSON.parse(moved), place: formatPlace(row.point, row) }
  }
}

/** How records are named on the command line. */
export function formatPlace(point: string, { epoch, sequence }: { epoch: number; sequence: number }): string {
  return `${point}@${epoch}/${sequence}`
}

/** What is in quarantine, and how much more was only counted. */
export interface QuarantineReport {
  readonly messages: readonly {
    readonly id: number
    readonly gateway: string
    readonly topic: string
    readonly code: string
    readonly reason: string
    readonly count: number
    readonly firstAt: number
    readonly lastAt: number
    readonly length: number
    readonly sha256: string
    /** The bytes in hex; absent where they were too long to be kept. */
    readonly payload: string | null
  }[]
  readonly countedOnly: readonly { readonly gateway: string; readonly code: string; readonly count: number }[]
  readonly total: number
}

/** The whole quarantine. */
export function readQuarantine(db: Database): QuarantineReport {
  return db.read(() => {
    const rows = db.prepare<[], QuarantineRow>('SELECT * FROM quarantine ORDER BY id').all()
    const countedOnly = db
      .prepare<[], { gateway: string; code: string; count: number }>('SELECT * FROM quarantine_overflow')
      .all()
    const messages = rows.map(({ first_at, last_at, digest, payload, ...row }) => ({
      ...row,
      firstAt: first_at,
      lastAt: last_at,
      sha256: digest,
      payload: payload?.toString('hex') ?? null,
    }))
    const total = messages.length + countedOnly.reduce((sum, { count }) => sum + count, 0)
    return { messages, countedOnly, total }
  })
}

/** JSON with bigints as whole numbers: watt-hours of a lifetime fit a double exactly. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => {
    if (typeof each !== 'bigint') return each
    const number = Number(each)
    return Number.isSafeInteger(number) ? number : each.toString()
  })
}

/** A table in plain text; numbers of Wh as kWh. */
export function formatTable(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = [head, ...rows.map((row) => row.map(formatCell))]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return cells.map((row) => `${line(row)}\n`).join('')
}

function formatCell(cell: unknown): string {
  if (typeof cell === 'bigint') return formatKwh(cell)
  return cell === null || cell === undefined ? '-' : String(cell)
}
