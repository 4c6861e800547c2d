import {
  type Address,
  addressOf,
  type Clock,
  parseTransfer,
  type SignatureVerifier,
  type Signer,
  signTransferAnswer,
  type Transfer,
  type TransferOutcome,
  WattError,
} from '@wattline/protocol'
import type { Receipt, Transfers } from '../ledger/transfers.ts'
import type { Database } from '../store/database.ts'
import type { Bindings } from './bindings.ts'
import { toJournalOrder } from './journal-order.ts'
import type { OrderStore } from './order-store.ts'

/** What an order is judged with. */
export interface OrderParts {
  readonly db: Database
  readonly clock: Clock
  readonly verifier: SignatureVerifier
  /** The ledger's own key: its address is the ledger that orders name. */
  readonly signer: Signer
  readonly transfers: Transfers
  readonly bindings: Bindings
  readonly store: OrderStore
}

/** Takes the orders of wallets (SPEC-152, SPEC-153). */
export class Orders {
  readonly address: Address
  readonly #parts: OrderParts

  constructor(parts: OrderParts) {
    this.#parts = parts
    this.address = addressOf(parts.signer.publicKey)
  }

  /**
   * Carries an order out, or refuses it, and gives the signed answer; what was answered before gets that answer again.
   * Throws where the order is none that this ledger answers: nothing is then stored.
   */
  take(text: string): string {
    const { db, verifier, store } = this.#parts
    const order = parseTransfer(text, verifier)
    if (order.ledger !== this.address) {
      throw new WattError(
        'transfer/foreign',
        `${describe(order)}: is for ledger ${order.ledger}, this is ${this.address}`,
      )
    }
    // One transaction: the booking, the nonce that it takes and the answer are there together or not at all.
    return db.write(() => {
      const known = store.find(order.id)
      if (known !== undefined) return known.answer
      this.#admit(order)
      return this.#answer(order)
    })
  }

  #admit(order: Transfer): void {
    const { bindings, clock, store } = this.#parts
    const { account, nonce, signer, expiresAt } = order
    const now = clock.now()
    if (expiresAt <= now) {
      throw new WattError('transfer/expired', `${describe(order)}: was good until ${expiresAt}, it is ${now}`)
    }
    if (bindings.addressOf(account) !== signer) {
      throw new WattError('transfer/forbidden', `${describe(order)}: ${signer} does not speak for '${account}' here`)
    }
    const expected = store.lastNonce(account) + 1
    if (nonce !== expected) {
      const taken = nonce < expected ? ': another order has taken this nonce' : ''
      throw new WattError('transfer/nonce', `${describe(order)}: nonce ${expected} expected${taken}`)
    }
  }

  #answer(order: Transfer): string {
    const { clock, signer, store } = this.#parts
    const other = this.#otherOf(order)
    const outcome = this.#carryOut(order, other)
    // Whoever never had anything here has no row either: strangers cannot fill the table with refusals.
    if ('refused' in outcome && order.nonce === 1) throw new WattError(outcome.refused, outcome.message)
    const { id: transfer, account, nonce } = order
    const answer = signTransferAnswer({ transfer, account, nonce, at: clock.now(), ...outcome }, signer)
    store.add(order, other ?? '', answer)
    return answer
  }

  // The other side: who gets, or who had reserved. Of a withdrawal there is none here.
  #otherOf(order: Transfer): string | undefined {
    if ('payout' in order) return undefined
    return 'to' in order ? order.to : this.#parts.store.find(order.reservation)?.account
  }

  #carryOut(order: Transfer, other: string | undefined): TransferOutcome {
    try {
      return { entry: this.#book(order, other).entry }
    } catch (error) {
      // A refusal has written nothing; anything else takes the whole transaction back.
      if (error instanceof WattError && error.code.startsWith('transfer/')) {
        return { refused: error.code, message: error.message }
      }
      throw error
    }
  }

  #book(order: Transfer, other: string | undefined): Receipt {
    const { transfers, bindings, store } = this.#parts
    if ('reservation' in order) {
      const { id, reservation, amount } = order
      if (other === undefined) throw new WattError('transfer/unknown', `reservation ${reservation}: there is none`)
      if (store.find(reservation)?.other !== order.account) {
        throw new WattError('transfer/forbidden', `reservation ${reservation}: is not for '${order.account}'`)
      }
      if (order.kind === 'void') return transfers.void(id, { reservation })
      return transfers.post(id, { reservation, ...(amount === undefined ? {} : { amount }) })
    }
    if ('to' in order && !bindings.isKnown(order.to)) {
      throw new WattError('transfer/unknown', `account '${order.to}': nobody here has that name`)
    }
    const wanted = toJournalOrder(order)
    return 'expiresAt' in wanted ? transfers.reserve(wanted) : transfers.transfer(wanted)
  }
}

function describe({ account, nonce }: Transfer): string {
  return `order ${nonce} of '${account}'`
}
