import type { Give, Transfer, Withdraw } from '@wattline/protocol'
import type { ReservationOrder, TransferOrder } from '../ledger/transfer-order.ts'

/**
 * What the journal is told to do for a wallet's order that gives: WATT and money pay, EEA is only handed on (SPEC-88). A
 * withdrawal is held for the operator, who pays it outside.
 */
export function toJournalOrder(order: Transfer & (Give | Withdraw)): TransferOrder | ReservationOrder {
  const { id, account: from, nonce, asset, amount, heldUntil } = order
  if ('payout' in order) {
    const note = { nonce, payout: order.payout }
    return { id, asset, from, to: from, amount, kind: 'withdrawal', note, expiresAt: order.heldUntil }
  }
  const kind = asset === 'EEA' ? 'transfer' : 'payment'
  const given = { id, asset, from, to: order.to, amount, kind, note: { nonce } } as const
  return heldUntil === undefined ? given : { ...given, expiresAt: heldUntil }
}
