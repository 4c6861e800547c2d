import { type PublicKey, type SignatureVerifier, WattError } from '@wattline/protocol'
import type { Entry } from '../ledger/journal.ts'
import { isStorageStartDue } from '../ledger/storage-start.ts'
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
  /** Ends as soon as it is certain which fault comes first, and gives that one. */
  readonly first?: boolean
  /** What the ledger has signed once, and must still hold. */
  readonly witnesses?: Witnesses
  /** Must have signed the anchors. */
  readonly ledgerKey?: PublicKey | undefined
}

/** SPEC-55: faults are told by what they are of, causes before what follows from them. */
const kinds = ['file', 'chain', 'journal', 'booking', 'late'] as const
type FaultKind = (typeof kinds)[number]

/** A part of the check, and the first kind of fault that it may find. */
type Part = readonly [kind: FaultKind, check: () => unknown]

/**
 * Checks everything again that the ledger claims: nothing is taken from a stored result that can be worked out. Records
 * and entries are read one at a time; what is kept in memory grows with the metering points, accounts and certificates,
 * and by the hash of each record and entry.
 */
export function auditLedger(db: Database, verifier: SignatureVerifier, options: AuditOptions = {}): AuditReport {
  return db.read(() => new Audit(db, verifier, options).run())
}

class Audit {
  readonly #db: Database
  readonly #verifier: SignatureVerifier
  readonly #options: AuditOptions
  readonly #faults: Readonly<Record<FaultKind, Faults>>
  readonly #counts = { points: 0, records: 0, entries: 0, accounts: 0, anchors: 0 }
  readonly #checks = { signatures: 0, byHash: 0, witnesses: 0 }
  readonly #operators: OperatorAudit

  constructor(db: Database, verifier: SignatureVerifier, options: AuditOptions) {
    this.#db = db
    this.#verifier = verifier
    this.#options = options
    this.#operators = new OperatorAudit(db, verifier)
    const make = () => new Faults(options.first === true ? 1 : 100)
    this.#faults = { file: make(), chain: make(), journal: make(), booking: make(), late: make() }
  }

  run(): AuditReport {
    const parts = this.#parts()
    for (const [at, [, check]] of parts.entries()) {
      check()
      if (this.#options.first === true && this.#isSettled(parts.slice(at + 1))) break
    }
    const found = kinds.flatMap((kind) => this.#faults[kind].found)
    const faults = found.slice(0, this.#options.first === true ? 1 : 100)
    const [counts, checks, operator] = [this.#counts, this.#checks, this.#operators.report()]
    return { ok: faults.length === 0, faults, counts, operator, checks }
  }

  // Whether nothing that is left to check could find a fault that is told before the first one here.
  #isSettled(left: readonly Part[]): boolean {
    const first = kinds.findIndex((kind) => this.#faults[kind].found.length > 0)
    return first >= 0 && left.every(([kind]) => kinds.indexOf(kind) >= first)
  }

  #parts(): readonly Part[] {
    const { everySignature = false, witnesses = noWitnesses, ledgerKey } = this.#options
    const [db, verifier, counts, checks] = [this.#db, this.#verifier, this.#counts, this.#checks]
    const { file, chain, journal, booking, late } = this.#faults
    this.#checkFile()
    if (isStorageStartDue(db)) throw new WattError('storage/newer', `${db.path}: the ledger must run once first`)
    const registry = new Registry(db)
    const points = readPoints(registry, file)
    counts.points = points.length
    checks.witnesses = witnesses.seals.length + witnesses.receipts.length + witnesses.statements.length
    const stated = readStatedTerms(db)
    const seals = new SealAudit(db, witnesses.seals, late)
    const signatures = new SignatureAudit({ db, verifier, seals }, { every: everySignature })
    const audit = new RecordAudit({ db, registry, signatures }, stated)
    const checkPoint = (point: Point) => {
      counts.records += audit.check(point, { chain, booking })
      Object.assign(checks, { signatures: signatures.signatures, byHash: signatures.byHash })
    }
    const checkWord = (entry: Entry, hash: string) => this.#operators.check(entry, hash)
    return [
      ...points.map((point): Part => ['chain', () => checkPoint(point)]),
      ['chain', () => checkStrays(db, chain)],
      ['journal', () => checkPoints(db, points, journal)],
      ['journal', () => new StandingAudit({ db, verifier }, stated, journal).check(points)],
      ['journal', () => Object.assign(counts, new JournalAudit(db, journal, checkWord).check())],
      ['booking', () => new OrderAudit(db, verifier, booking).check()],
      ['late', () => checkWitnesses(db, witnesses, late)],
      ['late', () => Object.assign(counts, { anchors: auditAnchors(db, { verifier, ledgerKey }, late) })],
      ['late', () => tellBroken(seals, late)],
    ]
  }

  #checkFile(): void {
    const problem = this.#db.quickCheck()
    if (problem !== undefined) this.#faults.file.add('file', 'storage/corrupt', problem)
  }
}

function tellBroken(seals: SealAudit, faults: Faults): void {
  for (const { first, last } of seals.broken) {
    faults.add('records', 'storage/corrupt', `rows ${first} to ${last}: not the texts that were sealed`)
  }
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
