import type { Clock, SignatureVerifier, Signer } from '@wattline/protocol'
import type { LedgerEngine } from '../engine.ts'
import { History } from './history.ts'
import type { OrderDesk } from './order-pages.ts'
import { Orders } from './orders.ts'
import { Statements } from './statements.ts'

/** The parts of a ledger that take orders; the key is the ledger's own. */
export function openOrderDesk(
  { db, transfers, bindings, orderStore: store }: LedgerEngine,
  { clock, verifier, signer }: { readonly clock: Clock; readonly verifier: SignatureVerifier; readonly signer: Signer },
): OrderDesk {
  const orders = new Orders({ db, clock, verifier, signer, transfers, bindings, store })
  const history = new History(db, store)
  const statements = new Statements({ clock, verifier, signer, bindings, history, store })
  return { orders, statements, store, publicKey: signer.publicKey }
}
