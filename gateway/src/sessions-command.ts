import { WattError } from '@wattline/protocol'
import type { Output } from './commands.ts'
import type { GatewayConfig } from './config.ts'
import { completeness, type Moment, type SessionState, sessionWh } from './sessions/session-state.ts'
import { sessionWords } from './sessions/session-words.ts'
import { openExistingStore, type Store } from './store/database.ts'
import { findSessionCheck, type SessionCheck } from './store/session-checks.ts'
import { findRecordPlace } from './store/session-records.ts'
import { SessionStore } from './store/sessions.ts'
import { listSignedValues, type StoredSignedValue } from './store/signed-values.ts'

/** `ocpp sessions`: the latest sessions, oldest first; of a running gateway or a stopped one. */
export function listSessions(
  { gateway }: GatewayConfig,
  output: Output,
  { most, asJson }: { readonly most: number; readonly asJson: boolean },
): void {
  const store = openExistingStore(gateway.dataDir, 'read')
  try {
    const sessions = new SessionStore(store).latest(most).toReversed()
    const whole = () => sessions.map((session) => toJson(session, store))
    if (asJson) output.write(`${JSON.stringify(whole(), null, 2)}\n`)
    else if (sessions.length === 0) output.write('no session yet\n')
    else for (const session of sessions) output.write(`${toLine(session)}\n`)
  } finally {
    store.close()
  }
}

/** `ocpp session`: one session, with everything that others have to say of its energy. */
export function showSession(
  { gateway }: GatewayConfig,
  output: Output,
  { id, asJson }: { readonly id: number; readonly asJson: boolean },
): void {
  const store = openExistingStore(gateway.dataDir, 'read')
  try {
    const session = new SessionStore(store).find(id)
    if (session === undefined) throw new WattError('session/unknown', `there is no session ${id}, or not any more`)
    const { stationId, transaction } = session
    const values = transaction === undefined ? [] : listSignedValues(store, stationId, transaction)
    const check = findSessionCheck(store, id)
    const lines = [toLine(session), toFeederLine(check), ...toValueLines(values)]
    const whole = { ...toJson(session, store), feeder: toFeederJson(check), signedValues: values.map(toValueJson) }
    output.write(asJson ? `${JSON.stringify(whole, null, 2)}\n` : `${lines.join('\n')}\n`)
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

function toJson(session: SessionState, store: Store) {
  const { id, stationId, connectorId, version, transaction, driver, begunAt, end, beginWh, lastWh } = session
  const wh = sessionWh(session)
  const recordOf = (mark: 'begin' | 'end') => findRecordPlace(store, id, mark)
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
  return toText(
    `${id} ${stationId}/${connectorId} ${driver}: ${format(begunAt.takenAt)} ${until}, ${figures}${remarks}`,
  )
}

function toFeederLine(check: SessionCheck | undefined): string {
  if (check === undefined) return 'feeder: not compared'
  return toText(`feeder ${check.meter}: ${check.verdict}; ${check.reason}`)
}

function toFeederJson(check: SessionCheck | undefined) {
  if (check === undefined) return undefined
  const { meter, verdict, reason, sessionWh: wh, lowWh, highWh, checkedAt } = check
  const figures = { sessionWh: wh?.toString(), lowWh: lowWh?.toString(), highWh: highWh?.toString() }
  return { meter, verdict, reason, ...figures, checkedAt: format(checkedAt) }
}

const verdictWords: Readonly<Record<StoredSignedValue['verdict'], string>> = {
  valid: 'valid',
  false: 'FALSE',
  unproven: 'unproven',
  repeated: 'REPEATED',
}

function toValueLines(values: readonly StoredSignedValue[]): readonly string[] {
  if (values.length === 0) return ["the station's own meter has signed nothing of it"]
  return values.map(({ sampledAt, context, meter, encoding, verdict, reason }) => {
    const what = `${sampledAt} ${context || 'no context'}, meter ${meter || 'unknown'}, ${encoding}`
    return toText(`${what}: ${verdictWords[verdict]}${reason === '' ? '' : `; ${reason}`}`)
  })
}

function toValueJson({
  frame,
  sampledAt,
  context,
  meter,
  encoding,
  verdict,
  reason,
  publicKey,
  text,
}: StoredSignedValue) {
  return { frame, sampledAt, context, meter, encoding, verdict, reason, publicKey, text }
}

// What strangers sent must not steer a terminal.
function toText(text: string): string {
  return text.replace(/\p{Cc}/gu, '?')
}
