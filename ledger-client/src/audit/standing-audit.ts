import {
  formatPublicKey,
  isEquivocation,
  parseCertificate,
  parseOcmfText,
  parsePublicKey,
  type SignatureVerifier,
  WattError,
} from '@wattline/protocol'
import { isAfter, type Place, type Point } from '../points/registry.ts'
import { formatPlace } from '../reports.ts'
import type { Database } from '../store/database.ts'
import { readNote, type StatedTerms } from './journal-audit.ts'
import type { Faults } from './report.ts'

interface NoteRow {
  readonly id: number
  readonly point: string
  readonly kind: string
  readonly note: string
}

interface ProofRow {
  readonly name: string
  readonly epoch: number
  readonly sequence: number
  readonly key: string
  readonly first: string
  readonly second: string
  readonly entry: number
}

/** Checks what the points' rows say of terms, keys, freezes and certificates against what the journal states. */
export class StandingAudit {
  readonly #db: Database
  readonly #verifier: SignatureVerifier
  readonly #faults: Faults
  readonly #stated: ReadonlyMap<string, readonly StatedTerms[]>

  constructor(
    parts: { readonly db: Database; readonly verifier: SignatureVerifier },
    stated: ReadonlyMap<number, StatedTerms>,
    faults: Faults,
  ) {
    this.#db = parts.db
    this.#verifier = parts.verifier
    this.#faults = faults
    this.#stated = Map.groupBy(stated.values(), ({ point }) => point)
  }

  check(points: readonly Point[]): void {
    const byName = new Map<string, Point>(points.map((point) => [point.id, point]))
    for (const point of points) this.#checkTerms(point)
    for (const [name, terms] of this.#stated) {
      const problem = `enrolled by entry ${terms[0]?.entry}, and not here`
      if (!byName.has(name)) this.#faults.add(`point ${name}`, 'journal/broken', problem)
    }
    this.#checkProofs(byName)
    const notes = this.#db.prepare<[], NoteRow>(
      `SELECT id, point, kind, note FROM entry WHERE kind IN ('revocation', 'freeze') ORDER BY id`,
    )
    for (const row of notes.iterate()) {
      const point = byName.get(row.point)
      if (point === undefined) this.#faults.add(`entry ${row.id}`, 'journal/broken', `'${row.point}' is not here`)
      else if (row.kind === 'freeze') this.#checkFreeze(point, row)
      else this.#checkRevocation(point, row)
    }
    this.#checkCertificates(points)
    this.#checkFinalPlaces()
  }

  // The terms in force are the last ones that the journal states.
  #checkTerms(point: Point): void {
    const last = this.#stated.get(point.id)?.at(-1)
    const told = formatTerms({ terms: point.terms, entry: point.termsEntry })
    const expected = last === undefined ? 'none' : formatTerms(last)
    if (told === expected) return
    this.#faults.add(`point ${point.id}`, 'journal/broken', `terms ${expected} expected, got ${told}`)
  }

  // A frozen point stays frozen until another key is enrolled for it, and the proof stays for ever.
  #checkFreeze(point: Point, { id }: NoteRow): void {
    const proof = this.#db.prepare('SELECT 1 FROM equivocation WHERE point = ? AND entry = ?').get(point.rowId, id)
    const place = `point ${point.id}`
    if (proof === undefined) {
      this.#faults.add(place, 'record/equivocation', `frozen by entry ${id}, and the proof is not here`)
    }
    const before = new Set(this.#statedBefore(point, id))
    const released = this.#stated.get(point.id)?.some(({ entry, key }) => entry > id && !before.has(key))
    if (released === true || point.frozen === id) return
    this.#faults.add(place, 'journal/broken', `frozen by entry ${id}, its row says ${point.frozen ?? 'it is not'}`)
  }

  #statedBefore(point: Point, entry: number): readonly string[] {
    return (this.#stated.get(point.id) ?? []).filter((terms) => terms.entry < entry).map(({ key }) => key)
  }

  #checkRevocation(point: Point, { id, note }: NoteRow): void {
    const last = readPlace(note, 'lastEpoch', 'lastSequence')
    const spki = this.#statedBefore(point, id).at(-1)
    const key = point.keys.find((each) => formatPublicKey(each.key) === spki)
    if (last === undefined || key === undefined) return
    const told = key.last === undefined ? 'still' : `up to ${key.last.epoch}/${key.last.sequence}`
    if (key.last?.epoch !== last.epoch || key.last.sequence !== last.sequence) {
      const expected = `entry ${id} revokes its key after ${last.epoch}/${last.sequence}`
      this.#faults.add(`point ${point.id}`, 'journal/broken', `${expected}, its row says that it is valid ${told}`)
      return
    }
    // What was accepted before the revocation stays; receipts are final.
    const head = readPlace(note, 'headEpoch', 'headSequence')
    if (head === undefined) return
    const from = isAfter(head, last) ? head : last
    const late = this.#db
      .prepare<[number, number, number, number], Place>(
        `SELECT epoch, sequence FROM record WHERE point = ? AND (epoch, sequence) > (?, ?)
         AND epoch IN (SELECT epoch FROM epoch WHERE epoch.point = record.point AND key = ?)
         ORDER BY epoch, sequence LIMIT 1`,
      )
      .get(point.rowId, from.epoch, from.sequence, key.rowId)
    if (late === undefined) return
    const problem = `entry ${id} revokes its key after ${last.epoch}/${last.sequence}`
    this.#faults.add(formatPlace(point.id, late), 'point/revoked', problem)
  }

  #checkProofs(points: ReadonlyMap<string, Point>): void {
    const rows = this.#db.prepare<[], ProofRow>(
      `SELECT name, equivocation.epoch, equivocation.sequence, key, first, second, entry
       FROM equivocation JOIN point ON point.id = point`,
    )
    for (const { name, epoch, sequence, key, first, second, entry } of rows.iterate()) {
      const place = formatPlace(name, { epoch, sequence })
      if (!this.#holds({ epoch, sequence, key, first, second })) {
        this.#faults.add(place, 'record/equivocation', 'the stored proof does not hold')
      }
      const stated = this.#stated.get(name)?.some((terms) => terms.key === key && terms.entry < entry)
      if (points.has(name) && stated !== true) {
        this.#faults.add(place, 'record/equivocation', 'the stored proof is of a key that was never enrolled')
      }
    }
  }

  #holds({ epoch, sequence, key, first, second }: Omit<ProofRow, 'name' | 'entry'>): boolean {
    try {
      const { record } = parseOcmfText(first)
      if (record.epoch !== epoch || record.sequence !== sequence) return false
      return isEquivocation({ publicKey: parsePublicKey(key), first, second }, this.#verifier)
    } catch (error) {
      if (error instanceof WattError) return false // the key or the text is damaged
      throw error
    }
  }

  // SPEC-170: receipts are given for these places. The row of no point only says that a chain counts.
  #checkFinalPlaces(): void {
    const rows = this.#db.prepare<[], Place & { point: number; name: string | null }>(
      `SELECT final_place.point, name, final_place.epoch, final_place.sequence FROM final_place
       LEFT JOIN point ON point.id = final_place.point
       LEFT JOIN record ON record.point = final_place.point AND record.epoch = final_place.epoch
         AND record.sequence = final_place.sequence AND record.hash = final_place.hash
       WHERE final_place.point <> 0 AND record.id IS NULL`,
    )
    for (const { point, name, epoch, sequence } of rows.iterate()) {
      const problem = `final up to ${epoch}/${sequence}, where no such record is`
      this.#faults.add(`point ${name ?? `in row ${point}`}`, 'storage/corrupt', problem)
    }
  }

  #checkCertificates(points: readonly Point[]): void {
    const certified = new Set<string>()
    const rows = this.#db.prepare<[], { point: string; hash: string; key: string; text: string }>(
      'SELECT point, hash, key, text FROM certificate',
    )
    for (const { point, hash, key, text } of rows.iterate()) {
      certified.add(point)
      const place = `certificate ${hash.slice(0, 8)} of ${point}`
      try {
        const certificate = parseCertificate(text)
        const told = [certificate.point, certificate.hash, formatPublicKey(certificate.key)].join()
        if (told === [point, hash, key].join()) continue
        this.#faults.add(place, 'certificate/invalid', `it is of '${certificate.point}', ${certificate.hash}`)
      } catch (error) {
        if (!(error instanceof WattError)) throw error
        this.#faults.add(place, 'certificate/invalid', error.message)
      }
    }
    // The point above waits for whoever has a certificate, and for nobody else who has not spoken (SPEC-84).
    for (const { id, certified: told } of points) {
      const expected = certified.has(id)
      const words = `a certificate of it is ${expected ? '' : 'not '}here, its row says otherwise`
      if (told !== expected) this.#faults.add(`point ${id}`, 'storage/corrupt', words)
    }
  }
}

function readPlace(note: string, epochName: string, sequenceName: string): Place | undefined {
  const content = readNote(note)
  const [epoch, sequence] = [content[epochName], content[sequenceName]]
  return typeof epoch === 'number' && typeof sequence === 'number' ? { epoch, sequence } : undefined
}

function formatTerms({ terms, entry }: Pick<StatedTerms, 'terms' | 'entry'>): string {
  const { owner, role, behind = '-', maxPowerW = '-', rolloverWh = '-', ownerKey = '-', first } = terms
  const begin = `from ${first?.import ?? '-'}, ${first?.export ?? '-'}`
  return `${role} of ${owner} ${ownerKey.slice(-16)} behind ${behind}, ${maxPowerW} W, width ${rolloverWh}, ${begin} (entry ${entry})`
}
