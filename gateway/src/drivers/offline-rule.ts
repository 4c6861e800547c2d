import type { DriversConfig } from './drivers-config.ts'
import type { ListAnswer } from './list-keeper.ts'

/** What a list's answer comes to while the ledger cannot be reached. Nobody is told why; the log of the gateway is. */
export function applyOfflineRule(
  answer: ListAnswer,
  { whenOffline, offlineGroups }: Pick<DriversConfig, 'whenOffline' | 'offlineGroups'>,
): ListAnswer {
  const isIn = (group: string | undefined) =>
    group !== undefined && offlineGroups.some((one) => one.toLowerCase() === group.toLowerCase())
  switch (whenOffline) {
    case 'list':
      return answer
    case 'groups':
      return answer.status === 'Accepted' && !isIn(answer.group) ? { status: 'Blocked' } : answer
    case 'nobody':
      return answer.status === 'Accepted' ? { status: 'Blocked' } : answer
    case 'anyone':
      // Whoever is on the list and shut out stays so.
      return answer.status === 'Invalid' ? { status: 'Accepted' } : answer
  }
}
