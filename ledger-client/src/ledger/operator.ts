import { existsSync } from 'node:fs'
import {
  decodeWith,
  formatPublicKey,
  integerBetween,
  makeSigner,
  type Signer,
  signAct,
  WattError,
} from '@wattline/protocol'
import * as v from 'valibot'
import { makeKeyFile, readKeyFile } from '../ledger-key.ts'
import { type EnrolmentMode, enrolmentModes } from '../points/enrolment.ts'
import type { Database, Statement } from '../store/database.ts'
import type { Entry } from './journal.ts'
import { isWalletsOrder } from './transfer-rules.ts'

// SPEC-157: what rests on nobody's word but the operator's carries a signature of the operator's key. The journal pins
// that key; the rule of what needs it is one for the writer and for the audit.

/** What an `operator` entry states: the key that signs from then on, and how points are enrolled. */
export interface Office {
  /** Counts up by one from 1. */
  readonly number: number
  readonly key: string
  readonly enrolment: EnrolmentMode
}

const shape = v.strictObject({
  number: integerBetween(1, 1_000_000),
  key: v.pipe(v.string(), v.regex(/^[0-9A-F]+$/)),
  enrolment: v.picklist(enrolmentModes),
})

/** The claim of the entry that states an office. */
export const claimOfOffice = (number: number): string => `operator:${number}`

/** The office that an entry states; throws where it states none. */
export function readOffice({ id, claim, note: text }: Pick<Entry, 'id' | 'claim' | 'note'>): Office {
  const office = decodeWith(shape, JSON.parse(text), `entry ${id}`, 'journal/broken')
  if (claim === claimOfOffice(office.number)) return office
  throw new WattError('journal/broken', `entry ${id}: claim '${claim}' is not that of office ${office.number}`)
}

type Deed = Pick<Entry, 'kind' | 'claim'> & { readonly note: object }

/**
 * Whether an entry is the operator's own act. Not those that a record, a device's certificate or key, an owner's or a
 * wallet's signature stands behind: the audit looks for these, each at its place.
 */
export function isOperatorsAct({ kind, claim, note }: Deed): boolean {
  switch (kind) {
    case 'operator':
    case 'correction':
    case 'limit':
    case 'wallet':
    case 'issue':
    case 'deposit':
    case 'withdrawal':
      return true
    case 'transfer':
    case 'payment':
    case 'fee':
    case 'burn':
    case 'reserve':
    case 'post':
    case 'void':
      return !isWalletsOrder(claim)
    case 'enrolment':
      return !('documents' in note || 'certificate' in note || 'order' in note)
    case 'revocation':
      return !('documents' in note)
    default:
      return false
  }
}

/** The operator's key as this program has it, and what the journal says of it. */
export class Operator {
  readonly #signer: Signer | undefined
  readonly #file: string
  readonly #offices: Statement<[], { id: number; claim: string; note: string }>
  readonly #insert: Statement<[number, string], unknown>

  /** The file is made where the journal has pinned no key yet; afterwards it may lie anywhere until it is needed. */
  constructor(db: Database, file: string | undefined) {
    // By the index of claims, not backwards through the journal.
    this.#offices = db.prepare(
      `SELECT id, claim, note FROM entry WHERE claim >= 'operator:' AND claim < 'operator;' ORDER BY +id DESC LIMIT 1`,
    )
    this.#insert = db.prepare('INSERT INTO operator_act (entry, text) VALUES (?, ?)')
    this.#file = file ?? 'the file of its key'
    if (file === undefined) return
    if (!existsSync(file) && this.office() === undefined) makeKeyFile(file)
    if (existsSync(file)) this.#signer = makeSigner(readKeyFile(file))
  }

  /** Whose key counts now; undefined where none was ever pinned. */
  office(): Office | undefined {
    const row = this.#offices.get()
    return row === undefined ? undefined : readOffice(row)
  }

  /** The key that is at hand, as SPKI. */
  get key(): string | undefined {
    return this.#signer && formatPublicKey(this.#signer.publicKey)
  }

  /** Throws where an act needs a key that is not at hand. Before the first key was pinned, nothing does. */
  demand(what: string): void {
    const office = this.office()
    if (office === undefined || office.key === this.key) return
    const pinned = `the operator's key ...${office.key.slice(-16)}`
    if (this.key === undefined) {
      throw new WattError('operator/unsigned', `${what}: ${pinned} must sign it, and ${this.#file} is not there`)
    }
    throw new WattError('operator/wrong-key', `${what}: ${pinned} must sign it, ${this.#file} is another`)
  }

  /** Signs an entry, in the transaction that writes it. */
  sign(entry: number, hash: string): void {
    if (this.#signer !== undefined) this.#insert.run(entry, signAct({ entry, hash }, this.#signer))
  }
}
