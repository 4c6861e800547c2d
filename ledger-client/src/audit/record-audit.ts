import {
  formatPublicKey,
  makeClaim,
  type OcmfRecord,
  type ParsedOcmf,
  type PublicKey,
  parseCertificate,
  parseOcmfText,
  WattError,
} from '@wattline/protocol'
import { accountOf, type Booking } from '../ledger/ledger.ts'
import { storageKind } from '../ledger/storage.ts'
import { readStorageStart } from '../ledger/storage-start.ts'
import { type Count, chargeRecord, claimedWh, countRecord } from '../mint.ts'
import { isAfter, type Place, type Point, type Registry, type Terms } from '../points/registry.ts'
import { BookedBelow, settleRemainder } from '../points/tree.ts'
import { formatPlace } from '../reports.ts'
import type { Database, Statement } from '../store/database.ts'
import { tagOf } from '../store/records.ts'
import type { StatedTerms } from './journal-audit.ts'
import type { Faults } from './report.ts'
import type { SignatureAudit } from './signature-audit.ts'
import { TreeAudit } from './tree-audit.ts'
import { type Accepted, checkHead, checkSums, type EntryLine, FoundFault, type Row, type Walk } from './walk.ts'

interface Parts {
  readonly db: Database
  readonly registry: Registry
  readonly signatures: SignatureAudit
}

/** Checks every record: authenticity, place in the chain, and that it was booked for exactly what it counts. */
export class RecordAudit {
  readonly #parts: Parts
  readonly #keysOf: ReadonlyMap<string, ReadonlySet<string>>
  readonly #terms: ReadonlyMap<number, StatedTerms>
  readonly #below: BookedBelow
  readonly #storageStart: bigint
  readonly #tree: TreeAudit
  readonly #rows: Statement<[number], Row>
  readonly #entry: Statement<[string], EntryLine>
  readonly #epochs: Statement<[number], { epoch: bigint; key: string }>
  readonly #named: Statement<[number, number, string, bigint], unknown>
  readonly #certificate: Statement<[string, string], { text: string }>
  readonly #overtaken: Statement<[number, bigint, bigint, bigint], unknown>

  constructor(parts: Parts, terms: ReadonlyMap<number, StatedTerms>) {
    const { db, registry } = parts
    this.#parts = parts
    const byPoint = Map.groupBy(terms.values(), ({ point }) => point)
    this.#keysOf = new Map([...byPoint].map(([point, stated]) => [point, new Set(stated.map(({ key }) => key))]))
    this.#terms = terms
    this.#below = new BookedBelow(db, registry)
    this.#storageStart = BigInt(readStorageStart(db))
    this.#tree = new TreeAudit(db, registry, terms)
    this.#rows = db.prepareWide(
      `SELECT id, epoch, sequence, hash, tag, text, taken_at, terms, outcome, base_at, net_wh, booked_wh, settled
       FROM record WHERE point = ? ORDER BY epoch, sequence`,
    )
    this.#epochs = db.prepareWide(
      'SELECT epoch, point_key.key FROM epoch JOIN point_key ON point_key.id = epoch.key WHERE epoch.point = ?',
    )
    this.#entry = db.prepareWide(
      'SELECT id, kind, account, amount FROM entry LEFT JOIN posting ON posting.entry = id WHERE claim = ?',
    )
    this.#named = db.prepareWide('SELECT 1 FROM record WHERE point = ? AND tag = ? AND hash = ? AND id < ?')
    this.#certificate = db.prepare('SELECT text FROM certificate WHERE point = ? AND hash = ?')
    this.#overtaken = db.prepare(
      'SELECT 1 FROM record WHERE point = ? AND (epoch, sequence) > (?, ?) AND taken_at < ? LIMIT 1',
    )
  }

  /** Walks one point's records; gives how many there were. Chain faults and booking faults are told apart. */
  check(point: Point, faults: { readonly chain: Faults; readonly booking: Faults }): number {
    const walk: Walk = {
      point,
      keys: this.#keysByEpoch(point),
      previous: undefined,
      base: undefined,
      terms: 0n,
      netWh: 0n,
      bookedWh: 0n,
      mintedWh: 0n,
      burnedWh: 0n,
      carriedWh: 0n,
      session: undefined,
      records: 0,
      unsettled: false,
    }
    this.#parts.signatures.begin(point.rowId)
    let place = `point ${point.id}`
    let kind: 'chain' | 'booking' = 'chain'
    try {
      for (const { row, attempt } of this.#readAhead(walk)) {
        place = formatPlace(point.id, { epoch: Number(row.epoch), sequence: Number(row.sequence) })
        kind = 'chain'
        const { parsed, spki } = this.#checkRecord(walk, row, attempt)
        kind = 'booking'
        this.#checkBooking(walk, row, parsed)
        walk.previous = { ...row, parsed, spki }
        walk.records++
      }
      place = `point ${point.id}`
      kind = 'chain'
      checkHead(walk)
      kind = 'booking'
      checkSums(walk)
    } catch (error) {
      if (!(error instanceof FoundFault)) throw error
      faults[kind].add(error.place ?? place, error.code, error.message)
    }
    return walk.records
  }

  // A key counts only where the journal says that it was enrolled, too.
  #keysByEpoch(point: Point): ReadonlyMap<bigint, PublicKey> {
    const enrolled = new Map(point.keys.map(({ key }) => [formatPublicKey(key), key]))
    const epochs = this.#epochs.all(point.rowId).flatMap(({ epoch, key: spki }) => {
      const key = this.#keysOf.get(point.id)?.has(spki) === true ? enrolled.get(spki) : undefined
      return key === undefined ? [] : [[epoch, key] as const]
    })
    return new Map(epochs)
  }

  // Records are parsed some ahead of the walk, so that their signatures can be checked several at once.
  *#readAhead({ point, keys }: Walk): Generator<{ readonly row: Row; readonly attempt: Attempt }> {
    for (const rows of inChunks(this.#rows.iterate(point.rowId), aheadRecords)) {
      const attempts = rows.map((row) => ({ row, attempt: tryParse(row.text) }))
      this.#parts.signatures.foresee(
        attempts.flatMap(({ row, attempt }) => {
          const key = keys.get(row.epoch)
          return attempt instanceof FoundFault || key === undefined ? [] : [[row, attempt, key] as const]
        }),
      )
      yield* attempts
    }
  }

  #checkRecord(walk: Walk, row: Row, parsed: Attempt): { readonly parsed: ParsedOcmf; readonly spki: PublicKey } {
    if (parsed instanceof FoundFault) throw parsed
    const { record, hash } = parsed
    const columns = [row.epoch, row.sequence, row.taken_at, row.hash, Number(row.tag)].join()
    if (columns !== [record.epoch, record.sequence, record.takenAt, hash, tagOf(hash)].join()) {
      throw new FoundFault(
        'storage/corrupt',
        `the row says ${columns}, the text ${record.epoch}/${record.sequence}, ${hash}`,
      )
    }
    const key = walk.keys.get(row.epoch)
    if (key === undefined) throw new FoundFault('record/wrong-key', `no key is enrolled for epoch ${row.epoch}`)
    this.#checkLink(walk, row, parsed)
    const verdict = this.#parts.signatures.check(row, parsed, key)
    if (!verdict.ok) throw new FoundFault(verdict.code, verdict.message)
    return { parsed, spki: key }
  }

  #checkLink(walk: Walk, row: Row, { record }: ParsedOcmf): void {
    const { point, previous } = walk
    if (previous !== undefined && previous.id >= row.id) {
      throw new FoundFault('chain/reordered', `accepted as number ${row.id}, its predecessor as ${previous.id}`)
    }
    if (previous?.epoch === row.epoch) {
      const expected = previous.sequence + 1n
      if (row.sequence !== expected) throw new FoundFault('chain/missing', `sequence ${expected} is missing before it`)
      if (record.previousHash !== previous.hash) {
        this.#checkItself(point, previous)
        throw new FoundFault(
          'chain/inserted',
          `names ${record.previousHash.slice(0, 8)}, ${previous.hash.slice(0, 8)} stands before it`,
        )
      }
      return
    }
    if (previous?.hash === record.previousHash) return
    if (this.#named.get(point.rowId, tagOf(record.previousHash), record.previousHash, row.id) !== undefined) return
    const certificate = this.#certificate.get(point.id, record.previousHash)
    if (certificate === undefined) {
      throw new FoundFault('chain/missing', `what it names, ${record.previousHash.slice(0, 8)}, is not here`)
    }
    try {
      if (parseCertificate(certificate.text).hash === record.previousHash) return
    } catch (error) {
      if (!(error instanceof WattError)) throw error
    }
    throw new FoundFault('certificate/invalid', `the certificate ${record.previousHash.slice(0, 8)} is damaged`)
  }

  // Of two that do not fit, one is wrong: the signature of the one before may show that it is that one.
  #checkItself(point: Point, { parsed, spki, epoch, sequence }: Accepted): void {
    const verdict = this.#parts.signatures.verify(parsed, spki)
    const place = formatPlace(point.id, { epoch: Number(epoch), sequence: Number(sequence) })
    if (!verdict.ok) throw new FoundFault(verdict.code, verdict.message, place)
  }

  #checkBooking(walk: Walk, row: Row, { record }: ParsedOcmf): void {
    const { point } = walk
    const stated = this.#terms.get(Number(row.terms))
    if (stated?.point !== point.id || row.terms < walk.terms) {
      throw new FoundFault('journal/broken', `entry ${row.terms} states no terms for it`)
    }
    if (row.terms !== walk.terms) checkOrder(walk, row, stated)
    walk.terms = row.terms
    const count = countRecord(walk.base, record, stated.terms)
    checkBaseTime(walk, row, count)
    walk.base = count.base
    walk.netWh += count.energy.export - count.energy.import
    if (count.outcome !== row.outcome || walk.netWh !== row.net_wh) {
      const got = `${row.outcome} up to ${row.net_wh} Wh`
      throw new FoundFault('storage/corrupt', `counts as ${count.outcome} up to ${walk.netWh} Wh, the row says ${got}`)
    }
    const claim = makeClaim(point.id, stated.terms.role, record, count.energy)
    const expected = this.#expectedBooking(walk, row, { record, count, terms: stated.terms })
    this.#checkEntry(point, claim.id, expected)
    walk.mintedWh += expected.mintWh
    walk.burnedWh += expected.burnWh
    walk.bookedWh += expected.mintWh - expected.burnWh
    const claimed = claimedWh(walk)
    if (row.booked_wh !== null && row.booked_wh !== claimed) {
      throw new FoundFault('storage/corrupt', `booked ${claimed} Wh up to here, the row says ${row.booked_wh}`)
    }
  }

  #expectedBooking(walk: Walk, row: Row, { record, count, terms }: Judged): Booked {
    const asParent = row.booked_wh === null || row.settled !== null
    this.#tree.checkBooker(walk.point, { record: row.id, asParent })
    if (asParent) walk.session = undefined
    if (row.booked_wh === null) {
      walk.unsettled = true
      return nothing
    }
    if (walk.unsettled) throw new FoundFault('storage/corrupt', 'it is settled, one before it is not')
    const counts = row.outcome === 'counted' || row.outcome === 'base'
    if (row.settled === null) {
      if (terms.role === 'charger') {
        const { open, burnWh, bill } = chargeRecord(walk.session, record, count)
        walk.session = open
        return { ...nothing, burnWh, kind: bill === undefined ? 'claim' : 'session' }
      }
      const { import: importWh, export: exportWh } = count.energy
      if (terms.role !== 'storage') return { ...nothing, mintWh: exportWh, burnWh: importWh }
      return row.id > this.#storageStart ? { ...nothing, inWh: importWh, outWh: exportWh, kind: storageKind } : nothing
    }
    if (row.settled === 0n) {
      const overtaken = this.#overtaken.get(walk.point.rowId, row.epoch, row.sequence, row.taken_at) !== undefined
      if (counts && terms.role !== 'storage' && !overtaken)
        throw new FoundFault('journal/broken', 'its remainder was passed over')
      return nothing
    }
    this.#tree.checkWaited(walk.point, { record: row.id, at: row.taken_at, mark: row.settled })
    const restarts = this.#below.restarts(walk.point, row.epoch, row.sequence)
    const childrenWh = this.#below.sum(walk.point, { at: row.taken_at, restarts, mark: row.settled })
    const { burnWh, carriedWh } = settleRemainder(walk.bookedWh, row.net_wh, childrenWh)
    walk.carriedWh = carriedWh
    return { ...nothing, burnWh, kind: 'remainder' }
  }

  #checkEntry(point: Point, claim: string, expected: Booked): void {
    const lines = this.#entry.all(claim)
    const [entry] = lines
    const amountOf = (account: string) => lines.find((line) => line.account === account)?.amount ?? 0n
    const found = {
      mintWh: -amountOf(accountOf.minted(point.id)),
      burnWh: amountOf(accountOf.burned(point.id)),
      inWh: -amountOf(accountOf.charged(point.id)),
      outWh: amountOf(accountOf.discharged(point.id)),
    }
    const { mintWh, burnWh, inWh, outWh, kind } = expected
    if (entry !== undefined && kind !== 'remainder') this.#tree.checkOwnBooking(point, entry.id)
    const moves = mintWh > 0n || burnWh > 0n || inWh > 0n || outWh > 0n
    const isRight = entry === undefined ? !moves : moves && entry.kind === kind
    const isExact = found.mintWh === mintWh && found.burnWh === burnWh && found.inWh === inWh && found.outWh === outWh
    if (isExact && isRight) return
    const where = entry && `entry ${entry.id} of kind '${entry.kind}' says ${describeMoves(found)}`
    const wanted = `${describeMoves(expected)} as '${kind}'`
    throw new FoundFault('journal/broken', `claim ${claim}: ${wanted}, ${where ?? 'no entry books it'}`)
  }
}

// SPEC-84: a parent's remainder leaves out what its children booked between these two times, where its count began anew.
function checkBaseTime({ base }: Walk, { base_at: told }: Row, { outcome }: Count): void {
  const expected = outcome === 'counted' || outcome === 'base' ? base?.takenAt : undefined
  if ((told === null ? undefined : Number(told)) === expected) return
  throw new FoundFault('storage/corrupt', `counts on from the register of ${expected ?? 'none'}, the row says ${told}`)
}

// SPEC-94: an order counts from the first record after its place, or after the session that was open there.
function checkOrder({ previous, session, point }: Walk, row: Row, { order }: StatedTerms): void {
  if (order === undefined) return
  const { after, at } = order
  const [here, before] = [row, previous].map((each) => ({
    epoch: Number(each?.epoch ?? 0),
    sequence: Number(each?.sequence ?? 0),
  })) as [Place, Place]
  const isHere = here.epoch === at.epoch && here.sequence === at.sequence
  const isLate = isAfter(before, after) && point.terms.role !== 'charger'
  if (isHere && isAfter(here, after) && !isLate && session === undefined) return
  const places = `after ${after.epoch}/${after.sequence}, from ${at.epoch}/${at.sequence} on`
  throw new FoundFault('journal/broken', `the order in entry ${order.entry} counts ${places}, not from here`)
}

/** What an entry must book of a record, or does. */
interface Moves {
  readonly mintWh: bigint
  readonly burnWh: bigint
  /** Into a storage and out of it. */
  readonly inWh: bigint
  readonly outWh: bigint
}

interface Booked extends Moves {
  readonly kind: Booking['kind'] | typeof storageKind
}

function describeMoves({ mintWh, burnWh, inWh, outWh }: Moves): string {
  const stored = inWh === 0n && outWh === 0n ? '' : `, ${inWh} into a storage and ${outWh} out of it`
  return `${mintWh} Wh to mint and ${burnWh} to burn${stored}`
}

/** A record, what it counts, and the terms that were in force. */
interface Judged {
  readonly record: OcmfRecord
  readonly count: Count
  readonly terms: Terms
}

const nothing: Booked = { mintWh: 0n, burnWh: 0n, inWh: 0n, outWh: 0n, kind: 'claim' }

/** Records that are in memory at once. */
const aheadRecords = 256

/** A parsed text, or why it is none. */
type Attempt = ParsedOcmf | FoundFault

function tryParse(text: string): Attempt {
  try {
    return parseOcmfText(text)
  } catch (error) {
    if (error instanceof WattError) return new FoundFault(error.code, error.message)
    throw error
  }
}

function* inChunks<T>(rows: Iterable<T>, size: number): Generator<readonly T[]> {
  let chunk: T[] = []
  for (const row of rows) {
    chunk.push(row)
    if (chunk.length < size) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}

// What the point's own row says must be where the records lead.
