import type { TransferAct } from '@wattline/protocol'
import { formatAmount } from './amounts.ts'

/** What an order asks for, in words. */
export function describeAct(act: TransferAct): string {
  if ('reservation' in act) {
    const reservation = `reservation ${act.reservation}`
    if (act.kind === 'void') return `let go ${reservation}`
    return act.amount === undefined ? `take all of ${reservation}` : `take ${act.amount} base units of ${reservation}`
  }
  const what = formatAmount(act.amount, act.asset)
  const until = act.heldUntil === undefined ? '' : ` until ${new Date(act.heldUntil).toISOString()}`
  if ('payout' in act) return `withdraw ${what}, to be paid out to '${act.payout}', held${until}`
  return `${act.kind} ${what} to ${act.to}${until}`
}
