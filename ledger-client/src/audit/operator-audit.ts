import {
  formatPublicKey,
  parseAct,
  parseCertificate,
  parseDocument,
  type SignatureVerifier,
  WattError,
} from '@wattline/protocol'
import type { Entry } from '../ledger/journal.ts'
import { isOperatorsAct, type Office, readOffice } from '../ledger/operator.ts'
import { isWalletsOrder } from '../ledger/transfer-rules.ts'
import { termsOf } from '../points/registry.ts'
import type { Database, Statement } from '../store/database.ts'
import { readNote } from './journal-audit.ts'
import type { OperatorReport } from './report.ts'

/**
 * SPEC-157: from the first key of an operator on, everything that rests on the operator's word carries its signature;
 * what else is written of accounts and points shows on whose word it rests, and that document is here.
 */
export class OperatorAudit {
  readonly #verifier: SignatureVerifier
  readonly #act: Statement<[number], { text: string }>
  readonly #order: Statement<[string], unknown>
  readonly #certificate: Statement<[string, string], { text: string }>
  /** Points that were enrolled, and whether their power was told. */
  readonly #enrolled = new Map<string, boolean>()
  #office: Office | undefined
  #signed = 0
  #unsigned = 0

  constructor(db: Database, verifier: SignatureVerifier) {
    this.#verifier = verifier
    this.#act = db.prepare('SELECT text FROM operator_act WHERE entry = ?')
    this.#order = db.prepare('SELECT 1 FROM signed_order WHERE id = ?')
    this.#certificate = db.prepare('SELECT text FROM certificate WHERE point = ? AND hash = ?')
  }

  /** Throws a WattError where an entry rests on no word that counts. Entries come in their order. */
  check(entry: Entry, hash: string): void {
    // Only these show in their note on whose word they rest: the others are not worth reading.
    const isOfPoint = entry.kind === 'enrolment' || entry.kind === 'revocation'
    const note = isOfPoint ? readNote(entry.note) : {}
    const deed = { kind: entry.kind, claim: entry.claim, note }
    const known = this.#enrolled.get(entry.point ?? '')
    if (entry.kind === 'enrolment') this.#enrolled.set(entry.point ?? '', note['maxPowerW'] !== undefined)
    if (isOperatorsAct(deed)) this.#checkAct(entry, hash)
    else if (this.#office === undefined) return
    else if (isWalletsOrder(entry.claim)) this.#checkOrder(entry)
    else if (entry.kind === 'enrolment') this.#checkEnrolment(entry, note, known)
    else if (entry.kind === 'revocation') demandOrder(note)
  }

  /** Who the operator is, and how much carries that signature. */
  report(): OperatorReport {
    return { key: this.#office?.key ?? null, signedActs: this.#signed, unsignedActs: this.#unsigned }
  }

  #checkAct(entry: Entry, hash: string): void {
    const office = entry.kind === 'operator' ? readOffice(entry) : this.#office
    const key = this.#office?.key ?? office?.key
    if (key === undefined) {
      this.#unsigned++
      return
    }
    const text = this.#act.get(entry.id)?.text
    if (text === undefined) throw unsigned(`'${entry.kind}' is the operator's word, and the operator has not signed it`)
    const act = parseAct(text, this.#verifier)
    if (act.entry !== entry.id || act.hash !== hash)
      throw unsigned(`the operator has signed entry ${act.entry} as another`)
    const signer = formatPublicKey(act.key)
    if (signer !== key) {
      throw new WattError(
        'operator/wrong-key',
        `signed by ...${signer.slice(-16)}, the operator is ...${key.slice(-16)}`,
      )
    }
    this.#signed++
    if (entry.kind !== 'operator' || office === undefined) return
    const expected = (this.#office?.number ?? 0) + 1
    if (office.number !== expected)
      throw new WattError('journal/broken', `office ${office.number}, ${expected} expected`)
    this.#office = office
  }

  #checkOrder({ claim }: Entry): void {
    const id = claim?.slice('order:'.length) ?? ''
    if (this.#order.get(id) === undefined) {
      throw new WattError('transfer/forbidden', `order ${id.slice(0, 16)} is not here: nobody has signed it`)
    }
  }

  // What an owner's order or a waiting one says, the audit of points checks.
  #checkEnrolment({ point }: Entry, note: Readonly<Record<string, unknown>>, known: boolean | undefined): void {
    if (note['documents'] !== undefined) demandOrder(note, known === undefined ? 'accept' : undefined)
    else if (note['order'] === undefined) this.#checkSeen(point ?? '', note, known)
    else if (note['after'] === undefined || note['at'] === undefined) {
      throw unsigned('terms change by an order that names no place')
    }
  }

  // Where enrolment is open a device's certificate enrols it; where its power was left out, it tells that later.
  #checkSeen(point: string, note: Readonly<Record<string, unknown>>, known: boolean | undefined): void {
    const text = this.#certificate.get(point, String(note['certificate']))?.text
    if (text === undefined) throw unsigned('terms are stated by a certificate that is not here')
    const certificate = parseCertificate(text)
    const isOpen = known === undefined && this.#office?.enrolment === 'open'
    if (!isOpen && known !== false) {
      throw unsigned(
        `enrolment is ${this.#office?.enrolment}, and nobody but the device's own certificate has asked for it`,
      )
    }
    const { first, ...terms } = termsOf(certificate)
    // The other terms stay, or the audit of points would tell.
    const told = isOpen ? terms : { maxPowerW: terms.maxPowerW, rolloverWh: terms.rolloverWh }
    for (const [name, value] of Object.entries({ ...told, first: formatFirst(first) })) {
      const got = name === 'first' ? formatFirst(note['first'] ?? {}) : note[name]
      if (String(got) !== String(value)) throw unsigned(`${name} '${got}', the certificate says '${value}'`)
    }
    if (note['key'] !== formatPublicKey(certificate.key)) throw unsigned('the certificate is of another key')
  }
}

// Whose order it is and what it says, the audit of points checks: here only that the entry rests on one.
function demandOrder({ documents }: Readonly<Record<string, unknown>>, action?: string): void {
  const texts: readonly unknown[] = Array.isArray(documents) ? documents : []
  const order = texts.find((text) => typeof text === 'string' && text.startsWith('WATT-ORDER|'))
  if (typeof order !== 'string') throw unsigned('it keeps no order, and the operator has not signed it')
  const { content } = parseDocument('WATT-ORDER', order, 'order/invalid')
  const named = field(field(content, 'action'), 'do')
  if (action === undefined || named === action) return
  throw unsigned(`the order that it keeps is '${String(named)}', '${action}' expected`)
}

function field(content: unknown, name: string): unknown {
  return typeof content === 'object' && content !== null ? Reflect.get(content, name) : undefined
}

function formatFirst(first: unknown): string {
  return `${field(first, 'import')} ${field(first, 'export')}`
}

function unsigned(message: string): WattError {
  return new WattError('operator/unsigned', message)
}
