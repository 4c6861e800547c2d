import type { Give, Transfer } from '@wattline/protocol'
import type { ReservationOrder, TransferOrder } from '../ledger/transfer-order.ts'

/** What the journal is told to do for a wallet's order that gives: WATT pays, EEA is only handed on (SPEC-88). */
export function toJournalOrder({ id, account, nonce, ...give }: Transfer & Give): TransferOrder | ReservationOrder {
  const { to, asset, amount, heldUntil } = give
  const kind = asset === 'WATT' ? 'payment' : 'transfer'
  const order = { id, asset, from: account, to, amount, kind, note: { nonce } } as const
  return heldUntil === undefined ? order : { ...order, expiresAt: heldUntil }
}
