import type { Output } from './commands.ts'
import type { GatewayConfig } from './config.ts'
import { completeness, type Moment, type SessionState, sessionWh } from './sessions/session-state.ts'
import { sessionWords } from './sessions/session-words.ts'
import { openExistingStore } from './store/database.ts'
import { findRecordPlace } from './store/session-records.ts'
import { SessionStore } from './store/sessions.ts'

/** `ocpp sessions`: the latest sessions, oldest first; of a running gateway or a stopped one. */
export function listSessions(
  { gateway }: GatewayConfig,
  output: Output,
  { most, asJson }: { readonly most: number; readonly asJson: boolean },
): void {
  const store = openExistingStore(gateway.dataDir, 'read')
  try {
    const sessions = new SessionStore(store).latest(most).toReversed()
    const show = (session: SessionState) => toJson(session, (mark) => findRecordPlace(store, session.id, mark))
    if (asJson) output.write(`${JSON.stringify(sessions.map(show), null, 2)}\n`)
    else if (sessions.length === 0) output.write('no session yet\n')
    else for (const session of sessions) output.write(`${toLine(session)}\n`)
  } finally {
    store.close()
  }
}

const format = (ms: number) => new Date(ms).toISOString()
const formatMoment = ({ claimedAt, arrivedAt, takenAt, clockStatus }: Moment) => ({
  at: format(takenAt),
  clockStatus,
  claimedAt: format(claimedAt),
  arrivedAt: format(arrivedAt),
})

function toJson(session: SessionState, recordOf: (mark: 'begin' | 'end') => string | undefined) {
  const { id, stationId, connectorId, version, transaction, driver, begunAt, end, beginWh, lastWh } = session
  const wh = sessionWh(session)
  return {
    id,
    station: stationId,
    connector: connectorId,
    version,
    transaction,
    driver,
    /** `record`: what it was signed as, as the ledger's `trace` takes it. */
    begin: { ...formatMoment(begunAt), registerWh: beginWh?.toString(), record: recordOf('begin') },
    ...(end === undefined ? {} : { end: { ...toJsonEnd(end), record: recordOf('end') } }),
    lastRegisterWh: lastWh?.toString(),
    wh: wh.toString(),
    /** What may be billed: nothing where there is a doubt. */
    countedWh: session.doubts.length > 0 ? '0' : wh.toString(),
    completeness: completeness(session),
    isSettled: session.isSettled,
    doubts: session.doubts,
    notes: session.notes,
  }
}

function toJsonEnd({ at, how, reason, wh }: NonNullable<SessionState['end']>) {
  return { ...formatMoment(at), how, reason, registerWh: wh?.toString() }
}

function toLine(session: SessionState): string {
  const { id, stationId, connectorId, driver = 'nobody', begunAt, end, doubts, notes } = session
  const until = end === undefined ? 'running' : `to ${format(end.at.takenAt)}`
  const remarks = [...doubts, ...notes].map((code) => `; ${sessionWords[code]}`).join('')
  const figures = `${sessionWh(session)} Wh, ${completeness(session)}`
  const text = `${id} ${stationId}/${connectorId} ${driver}: ${format(begunAt.takenAt)} ${until}, ${figures}${remarks}`
  // What strangers sent must not steer a terminal.
  return text.replace(/\p{Cc}/gu, '?')
}
