import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Certificate,
  formatTopic,
  makeSigner,
  type PointId,
  type PublicKey,
  parseCertificate,
  parsePointId,
  parsePublicKey,
  type Role,
  WattError,
} from '@wattline/protocol'
import { auditLedger } from './audit/audit.ts'
import { auditChains } from './audit/chain-audit.ts'
import type { AuditReport } from './audit/report.ts'
import { readWitnesses } from './audit/witness.ts'
import type { LedgerConfig } from './config.ts'
import { type LedgerEngine, openLedger } from './engine.ts'
import { headFile } from './head.ts'
import type { Limit } from './ledger/bounds.ts'
import { type CorrectionOrder, correct } from './ledger/corrections.ts'
import { handOver } from './ledger/office.ts'
import type { Office } from './ledger/operator.ts'
import { readKeyFile, readLedgerPublicKey } from './ledger-key.ts'
import { type Terms, termsOf, toPointId } from './points/registry.ts'
import { type Database, openDatabase } from './store/database.ts'
import { systemClock } from './system-clock.ts'
import { pickVerifier } from './verifiers/pick.ts'
import { startVerifier } from './verifiers/two-threads.ts'

// What the command line does besides running: looking, while a ledger runs or not, and changing who is enrolled.
// Changes are transactions of the same database; a running ledger notices them within a second.

/** Runs a look at the data; nothing is changed. */
export function look<T>(config: LedgerConfig, work: (db: Database) => T): T {
  const db = openDatabase(config.ledger.dataDir, { readonly: true })
  try {
    return work(db)
  } finally {
    db.close()
  }
}

/** How much `verify` is told to check. */
export interface VerifyOptions {
  readonly everySignature?: boolean
  readonly chains?: boolean
  readonly first?: boolean
  /** Threads that check signatures, 1 or 2. */
  readonly threads?: number
  /** Files with signed heads, receipts and statements, one a line. */
  readonly witness?: readonly string[]
}

/** Checks everything again. */
export async function verifyLedger(
  config: LedgerConfig,
  options: VerifyOptions = {},
  lost: (error: WattError) => void = () => undefined,
): Promise<AuditReport> {
  const { verifier: name, dataDir } = config.ledger
  const { everySignature = false, first = false, witness = [], threads = 1 } = options
  const { verifier, close } = await startVerifier(name, threads, lost)
  try {
    if (options.chains === true) return look(config, (db) => auditChains(db, verifier))
    // A running ledger goes on: the head must not be younger than the view of the tables.
    const witnesses = readWitnesses(dataDir, witness, verifier)
    const ledgerKey = readLedgerPublicKey(dataDir)
    return look(config, (db) => auditLedger(db, verifier, { everySignature, first, witnesses, ledgerKey }))
  } finally {
    await close()
  }
}

/** The signed head that a running ledger keeps beside its database. */
export function readHead(config: LedgerConfig): string {
  const path = join(config.ledger.dataDir, headFile)
  if (!existsSync(path)) throw new WattError('config/unreadable', `${path}: the ledger must run once first`)
  return readFileSync(path, 'latin1').trim()
}

/** Changes what is enrolled, in one transaction of the same database. */
export async function change<T>(config: LedgerConfig, work: (engine: LedgerEngine) => T): Promise<T> {
  const { dataDir, enrolment, operatorKeyFile } = config.ledger
  const verifier = await pickVerifier(config.ledger.verifier)
  const engine = openLedger({ dataDir, clock: systemClock, verifier, enrolment, operatorKeyFile })
  try {
    return engine.db.write(() => work(engine))
  } finally {
    engine.close()
  }
}

/** What `enrol` is told. What is left out stays as it is, or is as the certificate says. */
export interface EnrolOptions {
  readonly point: string
  readonly key?: string
  readonly certificate?: string
  readonly owner?: string
  readonly role?: Role
  readonly behind?: string
  readonly maxPower?: number
}

/** Enrols a point or changes an enrolled one; what was held back for it is processed again. */
export function enrol(
  config: LedgerConfig,
  options: EnrolOptions,
): Promise<{ readonly point: string; readonly entry: number }> {
  const id = toPointId(options.point)
  const papers = options.certificate === undefined ? undefined : readPapers(options.certificate, id)
  return change(config, ({ enrolment, orders, registry, quarantine, remainders }) => {
    const known = registry.get(id)
    // Whoever is met for the first time begins with its first key, and goes on as the keys themselves say (SPEC-95).
    const certificate = known === undefined ? papers?.certificates[0] : papers?.certificates.at(-1)
    const key = options.key === undefined ? (certificate?.key ?? known?.keys.at(-1)?.key) : parsePublicKey(options.key)
    if (key === undefined)
      throw new WattError('point/unknown', `'${id}' is not enrolled: --key or --certificate expected`)
    const stated = known?.terms ?? (certificate === undefined ? undefined : termsOf(certificate))
    enrolment.enrol({ point: id, key, terms: mergeTerms(id, stated, options), ...matching(certificate, key) })
    const verdict = papers && orders.takeRotations(id, known === undefined ? papers.words : '')
    if (verdict?.kind === 'refused') throw new WattError(verdict.code, verdict.message)
    const ids = parsePointId(id)
    quarantine.release({
      certificate: formatTopic({ kind: 'certificate', ...ids }),
      record: formatTopic({ kind: 'record', ...ids }),
    })
    remainders.settleAll()
    return { point: id, entry: registry.get(id)?.termsEntry ?? 0 }
  })
}

function matching(certificate: Certificate | undefined, key: PublicKey): { readonly certificate?: Certificate } {
  if (certificate === undefined) return {}
  if (!Buffer.from(certificate.key).equals(key))
    throw new WattError('key/mismatch', '--key is not the key of --certificate')
  return { certificate }
}

function mergeTerms(id: string, stated: Terms | undefined, options: EnrolOptions): Terms {
  const role = options.role ?? stated?.role
  const owner = options.owner ?? stated?.owner
  if (role === undefined || owner === undefined) {
    throw new WattError('point/unknown', `'${id}' is not enrolled: --owner and --role expected`)
  }
  const behind = options.behind === undefined ? stated?.behind : toPointId(options.behind)
  const maxPowerW = options.maxPower ?? stated?.maxPowerW
  return {
    owner,
    role,
    ...(behind === undefined ? {} : { behind }),
    ...(maxPowerW === undefined ? {} : { maxPowerW }),
    ...(stated?.rolloverWh === undefined ? {} : { rolloverWh: stated.rolloverWh }),
  }
}

/** Reads a point's certificate from a file: the last one there, as gateways print those of earlier keys before it. */
export function readCertificate(path: string, point = ''): Certificate {
  const lines = readLines(path)
  const certificates = lines.filter((line) => line.startsWith('WATT-CERT|'))
  const own = certificates.findLast((line) => line.includes(`"point":"${point}`))
  return parseCertificate(own ?? certificates.at(-1) ?? lines.join('\n'))
}

/** What gateways print of a point: its certificates, oldest first, and what its keys said of their successors. */
function readPapers(path: string, point: PointId) {
  const lines = readLines(path).filter((line) => line.includes(`"point":"${point}"`))
  const certificates = lines.filter((line) => line.startsWith('WATT-CERT|')).map(parseCertificate)
  if (certificates.length === 0) {
    const other = readCertificate(path).point
    throw new WattError('certificate/invalid', `--certificate is of '${other}', not of '${point}'`)
  }
  return { certificates, words: lines.join('\n') }
}

function readLines(path: string): readonly string[] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n')
    return lines.map((line) => line.trim())
  } catch (cause) {
    throw new WattError('certificate/invalid', `${path}: cannot be read`, { cause })
  }
}

/** What `revoke` did. */
export interface Revocation {
  readonly point: string
  readonly lastEpoch: number
  readonly lastSequence: number
  /** Records after the last valid one that were accepted before the revocation; receipts are final, so they stay booked. */
  readonly acceptedAfter: number
}

/** Ends the validity of a point's key after a sequence. */
export function revoke(
  config: LedgerConfig,
  { point, afterSequence, epoch }: { readonly point: string; readonly afterSequence: number; readonly epoch?: number },
): Promise<Revocation> {
  const id = toPointId(point)
  return change(config, ({ db, enrolment, registry, remainders }) => {
    const last = { epoch: epoch ?? registry.get(id)?.head?.epoch ?? 0, sequence: afterSequence }
    enrolment.revoke(id, last)
    remainders.settleAll()
    const row = db
      .prepare<[string, number, number], { rows: number }>(
        `SELECT count(*) AS rows FROM record
         WHERE point = (SELECT id FROM point WHERE name = ?) AND (epoch, sequence) > (?, ?)`,
      )
      .get(id, last.epoch, last.sequence)
    return { point: id, lastEpoch: last.epoch, lastSequence: last.sequence, acceptedAfter: row?.rows ?? 0 }
  })
}

/** Takes back what an entry booked, by an entry of its own. */
export function correctEntry(
  config: LedgerConfig,
  order: CorrectionOrder,
): Promise<{ readonly entry: number; readonly corrects: number }> {
  return change(config, ({ journal }) => ({ ...correct(journal, order), corrects: order.entry }))
}

/** Who the operator is by the journal; with another key's file, that one's holder from now on. */
export function operatorKey(config: LedgerConfig, next?: string): Promise<Office | undefined> {
  const successor = next === undefined ? undefined : makeSigner(readKeyFile(next)).publicKey
  return change(config, (engine) => (successor === undefined ? engine.operator.office() : handOver(engine, successor)))
}

/** Sets or lifts the most that an owner may be sent. */
export function setLimit(config: LedgerConfig, limit: Limit): Promise<{ readonly entry: number }> {
  return change(config, ({ bounds }) => ({ entry: bounds.set(limit) }))
}
