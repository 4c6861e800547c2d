import { isEquivocation, parsePublicKey, type SignatureVerifier } from '@wattline/protocol'
import { type Point, Registry } from '../registry.ts'
import type { Database } from '../store/database.ts'
import { JournalAudit, readStatedTerms, type StatedTerms } from './journal-audit.ts'
import { checkPoints } from './point-audit.ts'
import { RecordAudit } from './record-audit.ts'
import { type AuditReport, Faults } from './report.ts'

/** Checks everything again that the ledger claims: nothing is taken from a stored result that can be worked out. */
export function auditLedger(db: Database, verifier: SignatureVerifier): AuditReport {
  return db.read(() => {
    const [file, chain, journal, booking] = [new Faults(), new Faults(), new Faults(), new Faults()]
    const problem = db.quickCheck()
    if (problem !== undefined) file.add('file', 'storage/corrupt', problem)
    const registry = new Registry(db)
    const stated = readStatedTerms(db)
    const audit = new RecordAudit({ db, registry, verifier }, stated)
    const points = registry.all()
    let records = 0
    for (const point of points) {
      checkTerms(point, stated, journal)
      records += audit.check(point, { chain, booking })
    }
    checkPoints(db, points, journal)
    checkStrays(db, chain)
    checkProofs(db, verifier, booking)
    const { entries, accounts } = new JournalAudit(db, journal).check()
    // The chain's faults come first: they are the cause, what does not fit the journal follows from them.
    const faults = [file, chain, journal, booking].flatMap(({ found }) => found).slice(0, 100)
    return { ok: faults.length === 0, faults, counts: { points: points.length, records, entries, accounts } }
  })
}

// The terms in force are the last ones that the journal states.
function checkTerms(point: Point, stated: ReadonlyMap<number, StatedTerms>, faults: Faults): void {
  const last = [...stated.values()].findLast((terms) => terms.point === point.id)
  const told = formatTerms({ terms: point.terms, entry: point.termsEntry })
  const expected = last === undefined ? 'none' : formatTerms(last)
  if (told !== expected) faults.add(`point ${point.id}`, 'journal/broken', `terms ${expected} expected, got ${told}`)
}

function formatTerms({ terms, entry }: Pick<StatedTerms, 'terms' | 'entry'>): string {
  const { owner, role, behind = '-', maxPowerW = '-', rolloverWh = '-', ownerKey = '-', first } = terms
  const begin = `from ${first?.import ?? '-'}, ${first?.export ?? '-'}`
  return `${role} of ${owner} ${ownerKey.slice(-16)} behind ${behind}, ${maxPowerW} W, width ${rolloverWh}, ${begin} (entry ${entry})`
}

function checkStrays(db: Database, faults: Faults): void {
  const strays = db.prepare<[], { id: number }>('SELECT id FROM record WHERE point NOT IN (SELECT id FROM point)').all()
  for (const { id } of strays) faults.add(`record row ${id}`, 'chain/foreign', 'it belongs to no enrolled point')
}

interface ProofRow {
  readonly name: string
  readonly epoch: number
  readonly sequence: number
  readonly key: string
  readonly first: string
  readonly second: string
}

function checkProofs(db: Database, verifier: SignatureVerifier, faults: Faults): void {
  const rows = db.prepare<[], ProofRow>(
    'SELECT name, equivocation.epoch, equivocation.sequence, key, first, second FROM equivocation JOIN point ON point.id = point',
  )
  for (const { name, epoch, sequence, key, first, second } of rows.all()) {
    if (isEquivocation({ publicKey: parsePublicKey(key), first, second }, verifier)) continue
    faults.add(`${name}@${epoch}/${sequence}`, 'record/equivocation', 'the stored proof does not hold')
  }
}
