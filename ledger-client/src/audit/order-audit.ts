import {
  isAddress,
  parseTransfer,
  parseTransferAnswer,
  type SignatureVerifier,
  type Transfer,
  WattError,
} from '@wattline/protocol'
import { claimOfOrder, noteOfOrder, orderIdOf, readClosing } from '../ledger/transfer-rules.ts'
import { toJournalOrder } from '../orders/journal-order.ts'
import type { Database, Statement } from '../store/database.ts'
import { readNote } from './journal-audit.ts'
import type { Faults } from './report.ts'

interface OrderRow {
  readonly id: string
  readonly account: string
  readonly nonce: number
  readonly text: string
  readonly answer: string
}

interface EntryRow {
  readonly id: number
  readonly kind: string
  readonly claim: string | null
  readonly note: string
}

interface Binding {
  readonly entry: number
  readonly address: string
}

/** Kinds that only the owner of an account may order. A fee is the operator's, and names what it is for. */
const ownersKinds = `'transfer', 'payment', 'burn', 'withdrawal', 'reserve'`

/**
 * Checks the orders of wallets again: signatures, nonces without gaps, that each answer's entry does what the order
 * says, and that nothing left a wallet's account without an order of its key.
 */
export class OrderAudit {
  readonly #db: Database
  readonly #verifier: SignatureVerifier
  readonly #faults: Faults
  readonly #entry: Statement<[number], EntryRow>
  readonly #reserved: Statement<[string], { note: string }>
  readonly #bindings = new Map<string, Binding[]>()

  constructor(db: Database, verifier: SignatureVerifier, faults: Faults) {
    this.#db = db
    this.#verifier = verifier
    this.#faults = faults
    this.#entry = db.prepare('SELECT id, kind, claim, note FROM entry WHERE id = ?')
    this.#reserved = db.prepare(`SELECT note FROM entry WHERE claim = ? AND kind = 'reserve'`)
  }

  check(): void {
    this.#readBindings()
    const rows = this.#db.prepare<[], OrderRow>(
      'SELECT id, account, nonce, text, answer FROM signed_order ORDER BY account, nonce',
    )
    let last = { account: '', nonce: 0 }
    for (const row of rows.iterate()) {
      const place = `order ${row.nonce} of ${row.account}`
      const expected = row.account === last.account ? last.nonce + 1 : 1
      if (row.nonce !== expected) this.#faults.add(place, 'transfer/nonce', `nonce ${expected} expected`)
      try {
        this.#checkOrder(row)
      } catch (error) {
        if (!(error instanceof WattError || error instanceof SyntaxError)) throw error
        this.#faults.add(place, error instanceof WattError ? error.code : 'journal/broken', error.message)
      }
      last = row
    }
    this.#checkUnordered()
  }

  #checkOrder(row: OrderRow): void {
    const order = parseTransfer(row.text, this.#verifier)
    const answer = parseTransferAnswer(row.answer, this.#verifier)
    if (order.id !== row.id || order.account !== row.account || order.nonce !== row.nonce) {
      throw broken(`its text is order ${order.nonce} of '${order.account}'`)
    }
    if (answer.transfer !== order.id) throw broken(`its answer is to ${answer.transfer.slice(0, 16)}`)
    if (!('entry' in answer)) return
    const entry = this.#entry.get(answer.entry)
    if (entry?.claim !== claimOfOrder(order.id))
      throw broken(`its answer names entry ${answer.entry}, which is of another`)
    if (!doesAsOrdered(entry, order)) throw broken(`entry ${entry.id} is '${entry.kind}' ${entry.note}`)
    this.#checkReceiver(order)
    const speaker = isAddress(order.account) ? order.signer : this.#speakerAt(order.account, entry.id)
    if (speaker === order.signer) return
    throw new WattError('transfer/forbidden', `signed by ${order.signer}; ${speaker ?? 'nobody'} spoke for the account`)
  }

  // Who reserves for another must not get it back by an order of their own.
  #checkReceiver(order: Transfer): void {
    if (!('reservation' in order)) return
    const receiver = field(JSON.parse(this.#reserved.get(claimOfOrder(order.reservation))?.note ?? '{}'), 'to')
    if (receiver === order.account) return
    throw new WattError('transfer/forbidden', `reservation ${order.reservation.slice(0, 16)} is for '${receiver}'`)
  }

  #speakerAt(owner: string, entry: number): string | undefined {
    return this.#bindings.get(owner)?.findLast((binding) => binding.entry < entry)?.address
  }

  #readBindings(): void {
    const rows = this.#db.prepare<[], { id: number; note: string }>(
      `SELECT id, note FROM entry WHERE kind = 'wallet' ORDER BY id`,
    )
    for (const { id, note } of rows.iterate()) {
      const content = readNote(note)
      const [owner, address] = [field(content, 'owner'), field(content, 'address')]
      this.#bindings.set(owner, [...(this.#bindings.get(owner) ?? []), { entry: id, address }])
    }
    const stored = this.#db
      .prepare<[], { owner: string; address: string }>('SELECT owner, address FROM wallet_binding')
      .all()
    const told = new Map(stored.map(({ owner, address }) => [owner, address]))
    for (const owner of new Set([...told.keys(), ...this.#bindings.keys()])) {
      const expected = this.#bindings.get(owner)?.at(-1)?.address ?? 'none'
      const got = told.get(owner) ?? 'none'
      if (got === expected) continue
      this.#faults.add(`account owner:${owner}`, 'journal/broken', `wallet ${expected} expected, got ${got}`)
    }
  }

  // An address is its key: without its order nothing may leave it.
  #checkUnordered(): void {
    const known = this.#db.prepare<[string], unknown>('SELECT 1 FROM signed_order WHERE id = ?')
    const rows = this.#db.prepare<[], EntryRow>(
      `SELECT id, kind, claim, note FROM entry WHERE kind IN (${ownersKinds}) ORDER BY id`,
    )
    for (const { id, claim, note } of rows.iterate()) {
      const from = senderIn(note)
      if (!isAddress(from) || known.get(orderIdOf(claim) ?? '') !== undefined) continue
      this.#faults.add(`entry ${id}`, 'transfer/forbidden', `moves what is ${from}'s, and there is no order of its key`)
    }
  }
}

function doesAsOrdered({ kind, note }: EntryRow, order: Transfer): boolean {
  if (!('reservation' in order)) {
    const wanted = toJournalOrder(order)
    return kind === ('expiresAt' in wanted ? 'reserve' : wanted.kind) && note === JSON.stringify(noteOfOrder(wanted))
  }
  const { reservation, amount } = readClosing({ id: 0, at: 0, kind, claim: null, point: null, note, postings: [] })
  return kind === order.kind && reservation === order.reservation && (order.amount ?? amount) === amount
}

function senderIn(note: string): string {
  try {
    return field(JSON.parse(note), 'from')
  } catch {
    return '' // no JSON: the audit of the journal tells it
  }
}

function field(content: unknown, name: string): string {
  const value: unknown = typeof content === 'object' && content !== null ? Reflect.get(content, name) : undefined
  return typeof value === 'string' ? value : ''
}

function broken(message: string): WattError {
  return new WattError('journal/broken', message)
}
