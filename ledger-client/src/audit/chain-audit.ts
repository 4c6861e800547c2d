import { formatPublicKey, type PublicKey, type SignatureVerifier } from '@wattline/protocol'
import { type Point, Registry } from '../points/registry.ts'
import { formatPlace } from '../reports.ts'
import type { Database, Statement } from '../store/database.ts'
import { authenticateRange } from '../verifiers/range.ts'
import { readStatedTerms } from './journal-audit.ts'
import { type AuditReport, Faults } from './report.ts'

interface Row {
  readonly epoch: number
  readonly sequence: number
  readonly text: string
  readonly key: string | null
}

/** Records that one signature authenticates at most: they are in memory at once. */
const rangeRecords = 4096

/**
 * The quick check: whether each record is authentic and stands where its chain wants it. It rests on one signature a
 * range, does not look at a record's own signature otherwise, and at no booking.
 */
export function auditChains(db: Database, verifier: SignatureVerifier): AuditReport {
  return db.read(() => {
    const audit = new ChainAudit(db, verifier)
    const points = new Registry(db).all()
    for (const point of points) audit.check(point)
    const { faults, records, signatures } = audit
    const counts = { points: points.length, records, entries: 0, accounts: 0, anchors: 0 }
    const checks = { signatures, byHash: records - signatures, witnesses: 0 }
    return { ok: faults.length === 0, faults, counts, checks }
  })
}

class ChainAudit {
  readonly #verifier: SignatureVerifier
  readonly #rows: Statement<[number], Row>
  readonly #stated: ReadonlyMap<string, ReadonlySet<string>>
  readonly #faults = new Faults()
  records = 0
  signatures = 0

  constructor(db: Database, verifier: SignatureVerifier) {
    this.#verifier = verifier
    this.#rows = db.prepare(
      `SELECT record.epoch, sequence, text, point_key.key AS key FROM record
       LEFT JOIN epoch ON epoch.point = record.point AND epoch.epoch = record.epoch
       LEFT JOIN point_key ON point_key.id = epoch.key
       WHERE record.point = ? ORDER BY record.epoch, sequence`,
    )
    const byPoint = Map.groupBy(readStatedTerms(db).values(), ({ point }) => point)
    this.#stated = new Map([...byPoint].map(([point, terms]) => [point, new Set(terms.map(({ key }) => key))]))
  }

  get faults() {
    return this.#faults.found
  }

  check(point: Point): void {
    const before = this.records
    let range: Row[] = []
    let hash = ''
    for (const row of this.#rows.iterate(point.rowId)) {
      const last = range.at(-1)
      const follows = last?.epoch === row.epoch
      if (follows && row.sequence !== last.sequence + 1) {
        this.#faults.add(
          formatPlace(point.id, row),
          'chain/missing',
          `sequence ${last.sequence + 1} is missing before it`,
        )
      }
      if (last !== undefined && (!follows || range.length >= rangeRecords)) {
        // The next range of the same epoch begins with the record that ends this one.
        hash = this.#authenticate(point, range)
        range = follows ? [last] : []
      }
      range.push(row)
      this.records++
    }
    if (range.length > 0) hash = this.#authenticate(point, range)
    const here = this.records - before
    if (hash !== (point.head?.hash ?? '') || here !== point.records) {
      const expected = `${point.records} records up to ${point.head?.epoch ?? 0}/${point.head?.sequence ?? 0}`
      this.#faults.add(`point ${point.id}`, 'chain/missing', `${expected} expected, ${here} are here`)
    }
  }

  #authenticate(point: Point, range: readonly Row[]): string {
    const [first] = range
    const key = this.#keyOf(point, first?.key ?? '')
    if (first === undefined || key === undefined) {
      const place = first === undefined ? `point ${point.id}` : formatPlace(point.id, first)
      this.#faults.add(place, 'record/wrong-key', `no key is enrolled for epoch ${first?.epoch}`)
      return ''
    }
    const texts = range.map(({ text }) => text)
    const { faults, signatures, lastHash } = authenticateRange(texts, key, this.#verifier)
    this.signatures += signatures
    for (const { index, code, message } of faults) {
      this.#faults.add(formatPlace(point.id, range[index] ?? first), code, message)
    }
    return lastHash
  }

  // A key counts only where the journal says that it was enrolled, too.
  #keyOf(point: Point, spki: string): PublicKey | undefined {
    if (this.#stated.get(point.id)?.has(spki) !== true) return undefined
    return point.keys.find(({ key }) => formatPublicKey(key) === spki)?.key
  }
}
