import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  type Clock,
  decodeWith,
  formatPublicKey,
  isSignedBy,
  type PublicKey,
  parseDocument,
  parsePublicKey,
  type SignatureVerifier,
  type Signer,
  samePublicKey,
  signDocument,
  WattError,
} from '@wattline/protocol'
import * as v from 'valibot'
import { genesisHash } from './ledger/journal.ts'
import type { Database, Statement } from './store/database.ts'
import { emptySeal, type SealBlock } from './store/seal.ts'

/** The file beside the database that says how far the ledger had come. */
export const headFile = 'ledger.head'

/** SPEC-53: how far the ledger had come at a moment. Whoever keeps one sees when the end is cut off later. */
export interface LedgerHead {
  readonly ledger: PublicKey
  /** ms since 1970. */
  readonly at: number
  /** Records under seals, and the seal of the last one. */
  readonly records: number
  readonly seal: string
  /** Journal entries, and the hash of the last one. */
  readonly entries: number
  readonly journal: string
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const digest = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
const headShape = v.strictObject({
  v: v.literal(1),
  ledger: v.string(),
  at: count,
  records: count,
  seal: digest,
  entries: count,
  journal: digest,
})

/** Parses a signed head and checks that the key it names has signed it, and that this is the trusted one. */
export function parseHead(text: string, trusted: PublicKey | undefined, verifier?: SignatureVerifier): LedgerHead {
  const document = parseDocument('WATT-HEAD', text, 'receipt/invalid')
  const { v: _version, ...content } = decodeWith(headShape, document.content, 'head', 'receipt/invalid')
  const ledger = parsePublicKey(content.ledger)
  if (trusted !== undefined && !samePublicKey(ledger, trusted)) {
    throw new WattError('receipt/invalid', `head of ${content.at}: not from the ledger that is trusted here`)
  }
  if (!isSignedBy(document, ledger, verifier)) {
    throw new WattError('receipt/invalid', `head of ${content.at}: not signed by the key it names`)
  }
  return { ...content, ledger }
}

/** Keeps the signed head of a running ledger in a file, outside of the tables that it speaks of. */
export class HeadFile {
  readonly #path: string
  readonly #parts: { readonly signer: Signer; readonly clock: Clock }
  readonly #seal: Statement<[], SealBlock>
  readonly #entry: Statement<[], { id: number; hash: string }>
  readonly #entryAt: Statement<[number], { hash: string }>
  #written = ''

  constructor(db: Database, parts: { readonly signer: Signer; readonly clock: Clock }) {
    this.#path = join(dirname(db.path), headFile)
    this.#parts = parts
    this.#seal = db.prepare('SELECT * FROM seal ORDER BY block DESC LIMIT 1')
    this.#entry = db.prepare('SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1')
    this.#entryAt = db.prepare('SELECT hash FROM entry WHERE id = ?')
  }

  /** Writes where the ledger stands, if it has moved. The name always has a whole head behind it. */
  write(): void {
    const { signer, clock } = this.#parts
    const facts = this.#stands()
    const told = JSON.stringify(facts)
    if (told === this.#written) return
    const content = { v: 1, ledger: formatPublicKey(signer.publicKey), at: clock.now(), ...facts }
    writeDurably(this.#path, `${signDocument('WATT-HEAD', content, signer)}\n`)
    this.#written = told
  }

  /**
   * Where the file says more than the database holds, or something else, the database is older than its past: a
   * restored backup, or a cut tail. The file is then kept under another name, as proof; gives that name.
   */
  keepIfAhead(): string | undefined {
    if (!existsSync(this.#path)) return undefined
    const told = parseHead(readFileSync(this.#path, 'utf8').trim(), undefined)
    const { records, entries } = this.#stands()
    const journal = told.entries === 0 ? genesisHash : this.#entryAt.get(told.entries)?.hash
    if (told.records <= records && told.entries <= entries && told.journal === journal) return undefined
    const kept = `${this.#path}.${told.at}`
    renameSync(this.#path, kept)
    return kept
  }

  #stands(): Pick<LedgerHead, 'records' | 'seal' | 'entries' | 'journal'> {
    const { records = 0, digest: seal = emptySeal } = this.#seal.get() ?? {}
    const { id: entries, hash: journal } = this.#entry.get() ?? { id: 0, hash: genesisHash }
    return { records, seal, entries, journal }
  }
}

function writeDurably(path: string, text: string): void {
  const draft = `${path}.new`
  const file = openSync(draft, 'w', 0o644)
  writeSync(file, text)
  fsyncSync(file)
  closeSync(file)
  renameSync(draft, path)
  const folder = openSync(dirname(path), 'r')
  fsyncSync(folder)
  closeSync(folder)
}
