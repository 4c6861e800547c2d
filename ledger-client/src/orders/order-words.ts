import { formatKwh, type Give, type Settle, type TransferAsset } from '@wattline/protocol'

/** An amount as people read it. */
export function formatAmount(amount: bigint, asset: TransferAsset): string {
  return `${asset === 'WATT' ? formatKwh(amount) : amount} ${asset}`
}

/** What an order asks for, in words. */
export function describeAct(act: Give | Settle): string {
  if ('to' in act) {
    const what = `${formatAmount(act.amount, act.asset)} to ${act.to}`
    return act.heldUntil === undefined
      ? `pay ${what}`
      : `reserve ${what} until ${new Date(act.heldUntil).toISOString()}`
  }
  const reservation = `reservation ${act.reservation}`
  if (act.kind === 'void') return `let go ${reservation}`
  return act.amount === undefined ? `take all of ${reservation}` : `take ${act.amount} base units of ${reservation}`
}
