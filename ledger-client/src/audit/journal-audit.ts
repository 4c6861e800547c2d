import { driverOf, parseOcmfText, type Registers, roles, WattError, type Wh } from '@wattline/protocol'
import * as v from 'valibot'
import { accountOf, isWithinBounds } from '../ledger/accounts.ts'
import { findBreach, findImbalance, meterKinds, sumByAsset } from '../ledger/entry-kinds.ts'
import { type Entry, genesisHash, hashEntry, type Posting, toPostings } from '../ledger/journal.ts'
import { storageKind } from '../ledger/storage.ts'
import { type Place, type Terms, toPointId } from '../points/registry.ts'
import type { Database, Statement } from '../store/database.ts'
import type { Faults } from './report.ts'
import { StorageAudit } from './storage-audit.ts'
import { TransferAudit } from './transfer-audit.ts'

/** Terms and key as one enrolment entry states them. */
export interface StatedTerms {
  readonly entry: number
  readonly point: string
  readonly terms: Terms
  readonly key: string
  /** Set where an order has waited: its entry, the place that it names, and the first record that it counts for. */
  readonly order?: { readonly entry: number; readonly after: Place; readonly at: Place }
}

interface EntryRow extends Omit<Entry, 'postings'> {
  readonly previous_hash: string
  readonly hash: string
}

/**
 * Checks the journal by itself: its chain, its sums, its balances and their bounds, and that each entry moves what its
 * kind's rule says, each booking with a record behind it.
 */
export class JournalAudit {
  readonly #db: Database
  readonly #faults: Faults
  readonly #points: ReadonlyMap<string, number>
  readonly #record: Statement<[number, number, number], { id: number; terms: number }>
  readonly #text: Statement<[number], { text: string }>
  readonly #balances = new Map<string, Wh>()
  /** By the entry that states the terms: what is settled late is booked by those of its record. */
  readonly #owners = new Map<number, { readonly point: string | null; readonly owner: string }>()
  readonly #transfers: TransferAudit
  readonly #storages = new StorageAudit()
  readonly #checkWord: (entry: Entry, hash: string) => void

  /** `checkWord` throws a WattError where an entry rests on nobody's word that counts. */
  constructor(db: Database, faults: Faults, checkWord: (entry: Entry, hash: string) => void) {
    this.#db = db
    this.#faults = faults
    this.#checkWord = checkWord
    const points = db.prepare<[], { id: number; name: string }>('SELECT id, name FROM point').all()
    this.#points = new Map(points.map(({ id, name }) => [name, id]))
    this.#record = db.prepare('SELECT id, terms FROM record WHERE point = ? AND epoch = ? AND sequence = ?')
    this.#text = db.prepare('SELECT text FROM record WHERE id = ?')
    this.#transfers = new TransferAudit(db, (account) => this.#balances.get(account) ?? 0n)
  }

  /** Gives the number of entries and accounts. */
  check(): { readonly entries: number; readonly accounts: number } {
    let previous = { id: 0, hash: genesisHash }
    for (const { entry, hash, previousHash } of readEntries(this.#db)) {
      this.#checkLink(entry, { hash, previousHash }, previous)
      this.#checkPostings(entry)
      this.#attempt(entry, hash)
      previous = { id: entry.id, hash }
      if (this.#faults.isFull) return { entries: previous.id, accounts: this.#balances.size }
    }
    this.#checkClaims()
    return { entries: previous.id, accounts: this.#checkBalances() }
  }

  // A claim is booked once. Not by the word of the index that should see to it: whoever holds the file can leave it out.
  #checkClaims(): void {
    const twice = this.#db.prepare<[], { id: number; claim: string }>(
      `SELECT max(id) AS id, claim FROM entry NOT INDEXED WHERE claim IS NOT NULL
       GROUP BY claim HAVING count(*) > 1 LIMIT 100`,
    )
    for (const { id, claim } of twice.all()) {
      this.#faults.add(`entry ${id}`, 'journal/broken', `claim '${claim}' is booked more than once`)
    }
  }

  #checkLink(entry: Entry, row: { hash: string; previousHash: string }, previous: { id: number; hash: string }): void {
    const place = `entry ${entry.id}`
    if (entry.id !== previous.id + 1) {
      this.#faults.add(
        `entry ${previous.id + 1}`,
        'journal/broken',
        `entry ${previous.id + 1} is missing, ${entry.id} follows`,
      )
    } else if (row.previousHash !== previous.hash) {
      const expected = previous.hash.slice(0, 8)
      this.#faults.add(
        place,
        'journal/broken',
        `names ${row.previousHash.slice(0, 8)} as its predecessor, ${expected} expected`,
      )
    }
    const hash = hashEntry(row.previousHash, entry)
    if (hash !== row.hash) {
      this.#faults.add(
        place,
        'journal/broken',
        `its content hashes to ${hash.slice(0, 8)}, it says ${row.hash.slice(0, 8)}`,
      )
    }
  }

  #checkPostings(entry: Entry): void {
    const place = `entry ${entry.id}`
    const imbalance = findImbalance(entry.postings)
    if (imbalance !== undefined) {
      this.#faults.add(place, 'journal/unbalanced', `its ${imbalance.asset} postings sum to ${imbalance.sum}`)
    }
    const breach = findBreach(entry.kind, entry.postings)
    if (breach !== undefined) this.#faults.add(place, 'journal/broken', breach)
    if (statesTerms(entry)) this.#owners.set(entry.id, { point: entry.point, owner: ownerIn(entry.note) })
    if (meterKinds.some((kind) => kind === entry.kind)) this.#checkBooking(entry, place)
    else if (entry.kind === storageKind) this.#checkStorage(entry, place)
    else this.#checkOther(entry, place)
    for (const { account, amount } of entry.postings) {
      const after = (this.#balances.get(account) ?? 0n) + amount
      this.#balances.set(account, after)
      if (!isWithinBounds(account, after)) {
        this.#faults.add(place, 'journal/broken', `'${account}' holds ${after} after it`)
      }
    }
  }

  #checkOther(entry: Entry, place: string): void {
    this.#tryExpect(place, entry, () => {
      if (entry.kind === 'storage-start') this.#storages.checkStart(entry)
      return this.#transfers.expect(entry)
    })
  }

  #checkStorage(entry: Entry, place: string): void {
    if (this.#recordOf(entry, place) === undefined) return
    this.#tryExpect(place, entry, () => this.#storages.expect(entry, entry.point ?? ''))
  }

  #tryExpect(place: string, entry: Entry, expect: () => readonly Posting[]): void {
    try {
      this.#compare(place, expect(), entry.postings)
    } catch (error) {
      if (!(error instanceof WattError || error instanceof SyntaxError)) throw error
      this.#faults.add(place, 'journal/broken', error.message)
    }
  }

  #attempt(entry: Entry, hash: string): void {
    try {
      this.#checkWord(entry, hash)
    } catch (error) {
      if (!(error instanceof WattError || error instanceof SyntaxError)) throw error
      this.#faults.add(`entry ${entry.id}`, error instanceof WattError ? error.code : 'journal/broken', error.message)
    }
  }

  /** The record that a claim names; a fault where there is none. */
  #recordOf({ claim, point }: Entry, place: string): { id: number; terms: number } | undefined {
    const named = /^(.+)#(\d+)\/(\d+)$/.exec(claim ?? '')
    const [epoch, sequence] = [Number(named?.[2]), Number(named?.[3])]
    // One record has one name: spelled otherwise, it could be booked again.
    if (named?.[1] !== point || claim !== `${point}#${epoch}/${sequence}`) {
      this.#faults.add(place, 'journal/broken', `claim '${claim}' of '${point}' names no record`)
      return undefined
    }
    const record = this.#record.get(this.#points.get(point ?? '') ?? 0, epoch, sequence)
    if (record === undefined) this.#faults.add(place, 'journal/broken', `claim '${claim}': there is no such record`)
    return record
  }

  #checkBooking(entry: Entry, place: string): void {
    const record = this.#recordOf(entry, place)
    if (record === undefined) return
    const point = entry.point ?? ''
    // Who pays for a session stands in the signed text; that it is one, the audit of the records shows.
    const driver = entry.kind === 'session' ? driverIn(this.#text.get(record.id)?.text ?? '') : undefined
    const stated = this.#owners.get(record.terms)
    const owner = driver ?? (stated?.point === point ? stated.owner : '')
    const amountOf = (account: string) => entry.postings.find((posting) => posting.account === account)?.amount ?? 0n
    const mintWh = -amountOf(accountOf.minted(point))
    const burnWh = amountOf(accountOf.burned(point))
    const balance = this.#balances.get(accountOf.owner(owner)) ?? 0n
    const expected = toPostings({ point: toPointId(point), owner, mintWh, burnWh }, balance)
    this.#compare(place, expected, entry.postings)
  }

  #compare(place: string, expected: readonly Posting[], got: readonly Posting[]): void {
    const [wanted, found] = [expected, got].map(formatPostings)
    if (wanted !== found) this.#faults.add(place, 'journal/broken', `postings ${wanted} expected, got ${found}`)
  }

  #checkBalances(): number {
    const rows = this.#db.prepareWide<[], Posting>('SELECT account, amount FROM balance ORDER BY account').all()
    const stored = new Map(rows.map(({ account, amount }) => [account, amount]))
    for (const account of new Set([...this.#balances.keys(), ...stored.keys()])) {
      const expected = this.#balances.get(account) ?? 0n
      const got = stored.get(account) ?? 0n
      if (expected === got) continue
      this.#faults.add(`account ${account}`, 'journal/unbalanced', `${expected} expected by the journal, got ${got}`)
    }
    for (const [asset, sum] of sumByAsset(rows)) {
      if (sum === 0n) continue
      this.#faults.add('journal', 'journal/unbalanced', `${asset}: what was made less what is gone differs by ${sum}`)
    }
    this.#transfers.finish(this.#faults)
    return stored.size
  }
}

/** Entries that are in memory at once: a statement for each would cost more than all that is checked of it. */
const chunk = 1000

function* readEntries(db: Database): Generator<{ entry: Entry; hash: string; previousHash: string }> {
  const entries = db.prepare<[number, number], EntryRow>(
    `SELECT id, at, kind, claim, point, note, previous_hash, hash FROM entry WHERE id > ? ORDER BY id LIMIT ?`,
  )
  const postings = db.prepareWide<[number, number], Posting & { entry: bigint }>(
    'SELECT entry, account, amount FROM posting WHERE entry BETWEEN ? AND ? ORDER BY entry, line',
  )
  for (let last = Number.MIN_SAFE_INTEGER; ; ) {
    const rows = entries.all(last, chunk)
    const [first, end] = [rows[0], rows.at(-1)]
    if (first === undefined || end === undefined) return
    const of = Map.groupBy(postings.all(first.id, end.id), ({ entry }) => Number(entry))
    for (const { hash, previous_hash: previousHash, ...fields } of rows) {
      const moved = (of.get(fields.id) ?? []).map(({ account, amount }) => ({ account, amount }))
      yield { entry: { ...fields, postings: moved }, hash, previousHash }
    }
    last = end.id
  }
}

function formatPostings(postings: readonly Posting[]): string {
  return postings.map(({ account, amount }) => `${account} ${amount}`).join(', ')
}

function driverIn(text: string): string | undefined {
  try {
    return driverOf(parseOcmfText(text).record.user)
  } catch (error) {
    if (error instanceof WattError) return undefined // a damaged text is a fault of its own
    throw error
  }
}

function statesTerms({ kind }: { readonly kind: string }): boolean {
  return kind === 'enrolment' || kind === 'rotation'
}

function ownerIn(note: string): string {
  return readTerms(note).owner
}

/** What a note says; nothing where it is damaged, which the entry's hash shows. */
export function readNote(note: string): Readonly<Record<string, unknown>> {
  try {
    const content: unknown = JSON.parse(note)
    return typeof content === 'object' && content !== null ? { ...content } : {}
  } catch {
    return {} // no JSON
  }
}

/** Every terms that were ever in force, by the entry that states them. */
export function readStatedTerms(db: Database): ReadonlyMap<number, StatedTerms> {
  const rows = db
    .prepare<[], { id: number; point: string; note: string }>(
      `SELECT id, point, note FROM entry WHERE kind IN ('enrolment', 'rotation') ORDER BY id`,
    )
    .all()
  return new Map(rows.map(({ id, point, note }) => [id, toStatedTerms(id, point, note)]))
}

const text = v.optional(v.string())
const whole = v.optional(
  v.pipe(
    v.string(),
    v.regex(/^\d{1,18}$/),
    v.transform((digits) => BigInt(digits)),
  ),
)
const place = v.object({ epoch: v.number(), sequence: v.number() })
const noteShape = v.object({
  owner: v.optional(v.string(), ''),
  role: v.optional(v.fallback(v.picklist(roles), 'storage'), 'storage'), // an unknown role moves no WATT
  behind: text,
  maxPowerW: v.optional(v.number()),
  rolloverWh: whole,
  ownerKey: text,
  first: v.optional(v.object({ import: whole, export: whole })),
  key: v.optional(v.string(), ''),
  order: v.optional(v.number()),
  after: v.optional(place),
  at: v.optional(place),
})

// A note that was damaged states nothing, and moves no WATT; the entry's hash tells of it.
function readTerms(note: string): v.InferOutput<typeof noteShape> {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), noteShape), note)
  return result.success ? result.output : { owner: '', role: 'storage', key: '' }
}

function toStatedTerms(entry: number, point: string, note: string): StatedTerms {
  const { key, order, after, at, ...stated } = readTerms(note)
  const { behind, maxPowerW, rolloverWh, ownerKey, first } = stated
  return {
    entry,
    point,
    key,
    ...(order === undefined || after === undefined || at === undefined ? {} : { order: { entry: order, after, at } }),
    terms: {
      owner: stated.owner,
      role: stated.role,
      ...(behind === undefined ? {} : { behind: toPointId(behind) }),
      ...(maxPowerW === undefined ? {} : { maxPowerW }),
      ...(rolloverWh === undefined ? {} : { rolloverWh }),
      ...(ownerKey === undefined ? {} : { ownerKey }),
      ...(first === undefined ? {} : { first: compact(first) }),
    },
  }
}

function compact(first: { readonly import?: bigint | undefined; readonly export?: bigint | undefined }): Registers {
  return {
    ...(first.import === undefined ? {} : { import: first.import }),
    ...(first.export === undefined ? {} : { export: first.export }),
  }
}
