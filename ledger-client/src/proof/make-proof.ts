import {
  formatAnchor,
  parseAnchor,
  parseOcmfText,
  type SignatureVerifier,
  type Signer,
  WattError,
} from '@wattline/protocol'
import { formatEntry, type Posting } from '../ledger/journal.ts'
import type { Database, Statement } from '../store/database.ts'
import { readAnchors, readFacts } from './anchors.ts'
import { Archive, SqliteTiles, type TreeName, type Trees } from './archive.ts'
import { checkProof } from './check-proof.ts'
import { parseEntryContent } from './entry-content.ts'
import { type EntryProof, formatPath, formatProof, type ProofFile, type RecordProof } from './proof-file.ts'

/** Records between the two that are put into the file; where there are more, only if the booking cannot be told without. */
const betweenLimit = 8
const betweenMost = 10_000

/** What is asked for: a claim or record as `<point>#<epoch>/<sequence>`, or the number of a journal entry. */
export function parseProofSubject(text: string): ProofSubject {
  if (/^[1-9]\d{0,14}$/.test(text)) return { entry: Number(text) }
  const match = /^([^#@]+)[#@](\d{1,15})\/(\d{1,15})$/.exec(text)
  if (match === null) {
    throw new WattError('point/unknown', `'${text}': <gateway>/<meter>#<epoch>/<sequence> or a journal entry expected`)
  }
  return { point: match[1] ?? '', epoch: Number(match[2]), sequence: Number(match[3]) }
}

export type ProofSubject =
  | { readonly entry: number }
  | { readonly point: string; readonly epoch: number; readonly sequence: number }

/** How a proof is made. */
export interface ProofOptions {
  /** Signs a head where no anchor covers the subject yet. */
  readonly signer: Signer | undefined
  readonly verifier: SignatureVerifier
}

interface RecordRow {
  readonly id: number
  readonly point: number
  readonly epoch: number
  readonly sequence: number
  readonly text: string
  readonly terms: number
}

const entryColumns = 'id, at, kind, claim, point, note, previous_hash'

interface EntryRow {
  readonly id: number
  readonly at: number
  readonly kind: string
  readonly claim: string | null
  readonly point: string | null
  readonly note: string
  readonly previous_hash: string
}

/** Everything that a proof is made of, before it has a tree to stand in. */
interface Material {
  readonly point?: string
  readonly record?: RecordRow
  readonly from?: RecordRow
  readonly between: readonly string[]
  readonly entry?: EntryRow
  readonly terms?: EntryRow
  /** What was stated of the point before. */
  readonly earlier?: readonly EntryRow[]
}

/** Makes the proof of a booking, a record or a journal entry, and checks it before it is handed out (SPEC-180). */
export function makeProof(db: Database, subject: ProofSubject, options: ProofOptions): string {
  return db.read(() => {
    const maker = new ProofMaker(db, options)
    const content = maker.make(subject, betweenLimit)
    if (checkProof(content, {}, options.verifier).ok) return content
    // Counting began anew on the way, or a clock was put right: then only all records together tell the energy.
    const whole = maker.make(subject, betweenMost)
    const { ok, findings } = checkProof(whole, {}, options.verifier)
    if (ok) return whole
    const fault = findings.find((finding) => !finding.ok)
    throw new WattError('proof/unavailable', `${fault?.subject}: ${fault?.text} (${fault?.code})`)
  })
}

function keyIn({ note }: EntryRow): unknown {
  const content: unknown = JSON.parse(note)
  return typeof content === 'object' && content !== null ? Reflect.get(content, 'key') : undefined
}

class ProofMaker {
  readonly #db: Database
  readonly #options: ProofOptions
  readonly #trees: Trees
  readonly #entryBy: Readonly<Record<'id' | 'claim', Statement<[number | string], EntryRow>>>
  readonly #recordAt: Statement<[string, number, number], RecordRow>

  constructor(db: Database, options: ProofOptions) {
    this.#db = db
    this.#options = options
    this.#trees = new Archive(db).openTrees({
      records: new SqliteTiles(db, 'records'),
      entries: new SqliteTiles(db, 'entries'),
    })
    this.#entryBy = {
      id: db.prepare(`SELECT ${entryColumns} FROM entry WHERE id = ?`),
      claim: db.prepare(`SELECT ${entryColumns} FROM entry WHERE claim = ?`),
    }
    this.#recordAt = db.prepare(
      `SELECT id, point, epoch, sequence, text, terms FROM record
       WHERE point = (SELECT id FROM point WHERE name = ?) AND epoch = ? AND sequence = ?`,
    )
  }

  make(subject: ProofSubject, most: number): string {
    const material = 'entry' in subject ? this.#ofEntry(subject.entry, most) : this.#ofRecord(subject, most)
    const { point, record, from, between, entry, terms, earlier = [] } = material
    const anchor = this.#findAnchor(material)
    const { records, entries } = parseAnchor(anchor)
    const content: ProofFile = {
      wattline: 'proof',
      v: 1,
      anchor,
      ...(entry === undefined ? {} : { entry: this.#proveEntry(entry, entries.count) }),
      ...(terms === undefined ? {} : { terms: this.#proveEntry(terms, entries.count) }),
      ...(earlier.length === 0 ? {} : { earlier: earlier.map((row) => this.#proveEntry(row, entries.count)) }),
      ...(point === undefined ? {} : { point }),
      ...(record === undefined ? {} : { record: this.#proveRecord(record, records.count) }),
      ...(from === undefined ? {} : { from: this.#proveRecord(from, records.count) }),
      ...(between.length === 0 ? {} : { between: [...between] }),
      ...(point === undefined ? {} : { certificates: this.#certificates(point, [from, record]) }),
    }
    return formatProof(content)
  }

  #ofEntry(id: number, most: number): Material {
    const entry = this.#entryBy.id.get(id)
    if (entry === undefined) throw new WattError('point/unknown', `journal entry ${id}: there is none`)
    const match = /^(.+)#(\d+)\/(\d+)$/.exec(entry.claim ?? '')
    const [, point = '', epoch, sequence] = match ?? []
    const record = this.#recordAt.get(point, Number(epoch), Number(sequence))
    return record === undefined ? { entry, between: [] } : this.#ofBooked(point, record, entry, most)
  }

  #ofRecord(subject: { point: string; epoch: number; sequence: number }, most: number): Material {
    const { point, epoch, sequence } = subject
    const record = this.#recordAt.get(point, epoch, sequence)
    if (record === undefined)
      throw new WattError('point/unknown', `record ${point}#${epoch}/${sequence}: there is none`)
    const entry = this.#entryBy.claim.get(`${point}#${epoch}/${sequence}`)
    return entry === undefined ? this.#ofKept(point, record) : this.#ofBooked(point, record, entry, most)
  }

  // A record that moved nothing is proven to be kept, with the terms that name its key.
  #ofKept(point: string, record: RecordRow): Material {
    const terms = this.#entryBy.id.get(record.terms)
    if (terms === undefined) return { point, record, between: [] }
    return { point, record, between: [], terms, earlier: this.#findEarlier(terms, [record]) }
  }

  // Terms change on the way, and a key's records may come after its successor was named: then whatever states a key
  // that has signed here, what followed it, and the terms that counting went on from stand in the file as well.
  #findEarlier(terms: EntryRow, rows: readonly RecordRow[]): readonly EntryRow[] {
    const keys = new Set<unknown>(rows.map((row) => this.#keyOf(row)))
    if (rows.every((row) => row.terms === terms.id) && keys.size === 1 && keys.has(keyIn(terms))) return []
    const stated = this.#db
      .prepare<[string | null, number], EntryRow>(
        `SELECT ${entryColumns} FROM entry WHERE point = ? AND id < ? AND kind IN ('enrolment', 'rotation') ORDER BY id`,
      )
      .all(terms.point, terms.id)
    const needed = new Set(rows.map((row) => row.terms))
    for (const key of keys) {
      const told = keyIn(terms) === key ? undefined : stated.findLast((row) => keyIn(row) === key)
      if (told !== undefined) needed.add(told.id)
    }
    const first = Math.min(...needed)
    return stated.filter(({ id, kind }) => needed.has(id) || (id > first && kind === 'rotation'))
  }

  #keyOf({ point, text }: RecordRow): string | undefined {
    return this.#db
      .prepare<[number, number], string>(
        'SELECT point_key.key FROM epoch JOIN point_key ON point_key.id = epoch.key WHERE epoch.point = ? AND epoch = ?',
      )
      .pluck()
      .get(point, parseOcmfText(text).record.epoch)
  }

  #ofBooked(point: string, record: RecordRow, entry: EntryRow, most: number): Material {
    const from = this.#findFrom(point, record, entry)
    const between = from === undefined ? [] : this.#textsBetween(from, record, most)
    const kept = this.#ofKept(point, record)
    if (from === undefined || kept.terms === undefined) return { ...kept, entry, between }
    return { ...kept, entry, between, from, earlier: this.#findEarlier(kept.terms, [from, record]) }
  }

  // A session, and what a session without an end left, began at its mark; anything else at the last sound register.
  #findFrom(point: string, record: RecordRow, { note }: EntryRow): RecordRow | undefined {
    const told: unknown = JSON.parse(note)
    const begin: unknown = typeof told === 'object' && told !== null ? Reflect.get(told, 'begin') : undefined
    const place = /^(\d+)\/(\d+)$/.exec(typeof begin === 'string' ? begin : '')
    if (place !== null) return this.#recordAt.get(point, Number(place[1]), Number(place[2]))
    return this.#db
      .prepare<[number, number, number], RecordRow>(
        `SELECT id, point, epoch, sequence, text, terms FROM record WHERE point = ? AND (epoch, sequence) < (?, ?)
         AND outcome IN ('counted', 'base') ORDER BY epoch DESC, sequence DESC LIMIT 1`,
      )
      .get(record.point, record.epoch, record.sequence)
  }

  #textsBetween(from: RecordRow, to: RecordRow, most: number): readonly string[] {
    const rows = this.#db
      .prepare<[number, number, number, number, number, number], { text: string }>(
        `SELECT text FROM record WHERE point = ? AND (epoch, sequence) > (?, ?) AND (epoch, sequence) < (?, ?)
         ORDER BY epoch, sequence LIMIT ?`,
      )
      .all(from.point, from.epoch, from.sequence, to.epoch, to.sequence, most + 1)
    return rows.length > most ? [] : rows.map(({ text }) => text)
  }

  // The first anchor that covers all of it: the one that has been published longest. Else a head, made now.
  #findAnchor({ record, from, entry, terms }: Material): string {
    const [records, entries] = [Math.max(record?.id ?? 0, from?.id ?? 0), Math.max(entry?.id ?? 0, terms?.id ?? 0)]
    const anchor = readAnchors(this.#db).find((row) => row.records >= records && row.entries >= entries)
    if (anchor !== undefined) return anchor.text
    const { signer } = this.#options
    if (signer === undefined) {
      throw new WattError('proof/unavailable', 'no anchor covers it yet, and the key to sign a head with is not here')
    }
    const counts: Record<TreeName, number> = { records: this.#trees.records.size, entries: this.#trees.entries.size }
    return formatAnchor(readFacts(this.#db, this.#trees, counts), signer)
  }

  #proveEntry(row: EntryRow, size: number): EntryProof {
    const postings = this.#db
      .prepareWide<[number], Posting>('SELECT account, amount FROM posting WHERE entry = ? ORDER BY line')
      .all(row.id)
    const content = formatEntry({ ...row, postings })
    const path = formatPath(this.#trees.entries.path(parseEntryContent(content).id - 1, size))
    return { content, previous: row.previous_hash, path }
  }

  #proveRecord({ id, text }: RecordRow, size: number): RecordProof {
    return { index: id - 1, text, path: formatPath(this.#trees.records.path(id - 1, size)) }
  }

  // One certificate for each key that signed.
  #certificates(point: string, rows: readonly (RecordRow | undefined)[]): string[] {
    const find = this.#db.prepare<[string, number, number], { text: string; hash: string }>(
      `SELECT certificate.text, certificate.hash FROM certificate
       JOIN point_key ON point_key.key = certificate.key
       JOIN epoch ON epoch.key = point_key.id
       WHERE certificate.point = ? AND epoch.point = ? AND epoch.epoch = ? ORDER BY received_at, hash LIMIT 1`,
    )
    const texts = rows.flatMap((row) => {
      if (row === undefined) return []
      // The chain's first record names the certificate that it begins with: that one, where it is there.
      return find.get(point, row.point, parseOcmfText(row.text).record.epoch)?.text ?? []
    })
    return [...new Set(texts)]
  }
}
