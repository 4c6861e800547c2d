import {
  type Address,
  addressOf,
  type Clock,
  type Inquiry,
  inquiryLifeMs,
  parseInquiry,
  type SignatureVerifier,
  type Signer,
  signStatement,
  WattError,
} from '@wattline/protocol'
import type { Bindings } from './bindings.ts'
import { type History, type HistoryLine, historyLength } from './history.ts'
import { type AnsweredOrder, type OrderStore, pageLength } from './order-store.ts'

/** What questions are answered with. */
export interface StatementParts {
  readonly clock: Clock
  readonly verifier: SignatureVerifier
  /** The ledger's own key: its address is the ledger that questions name. */
  readonly signer: Signer
  readonly bindings: Bindings
  readonly history: History
  readonly store: OrderStore
}

/** What is told of an account. */
export type Told =
  | { readonly statement: string; readonly lines: readonly HistoryLine[] }
  | { readonly account: string; readonly orders: readonly AnsweredOrder[]; readonly more: boolean }

/** Answers who asks for an account and speaks for it (SPEC-155, SPEC-156). */
export class Statements {
  readonly #parts: StatementParts
  readonly #address: Address

  constructor(parts: StatementParts) {
    this.#parts = parts
    this.#address = addressOf(parts.signer.publicKey)
  }

  /** Gives what was asked for; throws where the question is none that this ledger answers. */
  take(text: string): Told {
    const inquiry = parseInquiry(text, this.#parts.verifier)
    this.#admit(inquiry)
    const { account, kind, from } = inquiry
    if (kind !== 'orders') return this.#state(inquiry)
    const orders = this.#parts.store.page(account, from)
    return { account, orders, more: orders.length === pageLength }
  }

  #admit({ ledger, account, signer, expiresAt }: Inquiry): void {
    const now = this.#parts.clock.now()
    if (ledger !== this.#address) {
      throw new WattError('inquiry/forbidden', `inquiry for '${account}': is for ${ledger}, this is ${this.#address}`)
    }
    if (expiresAt <= now || expiresAt > now + inquiryLifeMs) {
      const bounds = `between now, ${now}, and ${inquiryLifeMs} ms later`
      throw new WattError('inquiry/expired', `inquiry for '${account}': good until ${expiresAt}, ${bounds} expected`)
    }
    if (this.#parts.bindings.addressOf(account) !== signer) {
      throw new WattError('inquiry/forbidden', `inquiry for '${account}': ${signer} does not speak for it here`)
    }
  }

  #state({ id: inquiry, account, kind, from }: Inquiry): Told {
    const { clock, signer, history, store } = this.#parts
    const limit = kind === 'balance' ? 0 : historyLength
    const { holdings, head, lines, more } = history.read(account, { before: from, limit })
    const [entries, journal] = head
    const orders = store.lastNonce(account)
    const names = lines.map(({ name }) => name)
    const facts = { inquiry, account, at: clock.now(), holdings, orders, entries, journal, from, lines: names, more }
    return { statement: signStatement(facts, signer), lines: lines.map(({ name: _name, ...line }) => line) }
  }
}
