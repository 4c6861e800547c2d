import { type PublicKey, type SignatureVerifier, WattError } from '@wattline/protocol'
import type { Entry } from '../ledger/journal.ts'
import { type Point, Registry } from '../points/registry.ts'
import { auditAnchors } from '../proof/anchor-audit.ts'
import type { Database } from '../store/database.ts'
import { JournalAudit, readStatedTerms } from './journal-audit.ts'
import { OperatorAudit } from './operator-audit.ts'
import { OrderAudit } from './order-audit.ts'
import { checkPoints } from './point-audit.ts'
import { RecordAudit } from './record-audit.ts'
import { type AuditReport, Faults } from './report.ts'
import { SealAudit } from './seal-audit.ts'
import { SignatureAudit } from './signature-audit.ts'
import { StandingAudit } from './standing-audit.ts'
import { checkWitnesses, noWitnesses, type Witnesses } from './witness.ts'

/** How much is checked. */
export interface AuditOptions {
  /** Checks the signature of each record, also where a later one and a seal show that it is authentic. */
  readonly everySignature?: boolean
  /** What the ledger has signed once, and must still hold. */
  readonly witnesses?: Witnesses
  /** Must have signed the anchors. */
  readonly ledgerKey?: PublicKey | undefined
}

/**
 * Checks everything again that the ledger claims: nothing is taken from a stored result that can be worked out. Records
 * and entries are read one at a time; what is kept in memory grows with the metering points, accounts and certificates,
 * and by the hash of each record and entry.
 */
export function auditLedger(db: Database, verifier: SignatureVerifier, options: AuditOptions = {}): AuditReport {
  const { everySignature = false, witnesses = noWitnesses, ledgerKey } = options
  return db.read(() => {
    const [file, chain, journal, booking] = [new Faults(), new Faults(), new Faults(), new Faults()]
    const problem = db.quickCheck()
    if (problem !== undefined) file.add('file', 'storage/corrupt', problem)
    const registry = new Registry(db)
    const points = readPoints(registry, file)
    const stated = readStatedTerms(db)
    const late = new Faults()
    const seals = new SealAudit(db, witnesses.seals, late)
    const signatures = new SignatureAudit({ db, verifier, seals }, { every: everySignature })
    const audit = new RecordAudit({ db, registry, signatures }, stated)
    let records = 0
    for (const point of points) records += audit.check(point, { chain, booking })
    checkPoints(db, points, journal)
    checkStrays(db, chain)
    new StandingAudit({ db, verifier }, stated, journal).check(points)
    const operators = new OperatorAudit(db, verifier)
    const checkWord = (entry: Entry, hash: string) => operators.check(entry, hash)
    const { entries, accounts } = new JournalAudit(db, journal, checkWord).check()
    new OrderAudit(db, verifier, booking).check()
    checkWitnesses(db, witnesses, late)
    const anchors = auditAnchors(db, { verifier, ledgerKey }, late)
    for (const { first, last } of seals.broken) {
      late.add('records', 'storage/corrupt', `rows ${first} to ${last}: not the texts that were sealed`)
    }
    // The chain's faults come first: they are the cause, what does not fit the journal and the seals follows from them.
    const faults = [file, chain, journal, booking, late].flatMap(({ found }) => found).slice(0, 100)
    const witnessed = witnesses.seals.length + witnesses.receipts.length
    const checks = { signatures: signatures.signatures, byHash: signatures.byHash, witnesses: witnessed }
    return {
      ok: faults.length === 0,
      faults,
      counts: { points: points.length, records, entries, accounts, anchors },
      operator: operators.report(),
      checks,
    }
  })
}

// A row that cannot be read at all is a fault like any other.
function readPoints(registry: Registry, faults: Faults): readonly Point[] {
  try {
    return registry.all()
  } catch (error) {
    if (!(error instanceof RangeError) && !(error instanceof WattError)) throw error
    faults.add('points', 'storage/corrupt', error.message)
    return []
  }
}

function checkStrays(db: Database, faults: Faults): void {
  const strays = db.prepare<[], { id: number }>('SELECT id FROM record WHERE point NOT IN (SELECT id FROM point)')
  for (const { id } of strays.iterate())
    faults.add(`record row ${id}`, 'chain/foreign', 'it belongs to no enrolled point')
}
