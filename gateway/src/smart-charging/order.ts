import type { Command } from './controller.ts'
import type { ProfileOrder } from './profile.ts'
import type { Site } from './site.ts'

/** A command with all that its message needs; undefined where the station has gone meanwhile. */
export function toOrder(
  { charger, purpose, style, limitA, phases }: Command,
  site: Site,
  { nowMs, stationNowMs }: { readonly nowMs: number; readonly stationNowMs: number },
): ProfileOrder | undefined {
  const { version, transaction, setup } = charger
  if (version === undefined) return undefined
  const after = { forSeconds: site.profileSeconds, safeA: charger.compliance.toldAs(site.safeCurrentA) }
  return {
    version,
    connector: setup.connector,
    style,
    limitA,
    ...(purpose === 'active' && { after }),
    transactionId: transaction?.id,
    phases,
    stationNowMs,
    transactionSeconds: transaction === undefined ? 0 : (nowMs - transaction.sinceMs) / 1000,
  }
}
