import type { SessionStore } from '../store/sessions.ts'
import { completeness, sessionWh } from './session-state.ts'

/** One session as `/status` shows it. Energy is in Wh, as decimal text. Whose it is, is nobody's affair there. */
export interface SessionView {
  readonly id: number
  readonly station: string
  readonly connector: number
  /** ms since 1970. */
  readonly begunAt: number
  readonly endedAt?: number
  readonly wh: string
  readonly completeness: string
  readonly isSettled: boolean
}

const most = 8

/** The latest sessions, oldest first, from the database: what is not stored has not happened. */
export function viewSessions(store: Pick<SessionStore, 'latest'>): readonly SessionView[] {
  return store
    .latest(most)
    .toReversed()
    .map((session) => ({
      id: session.id,
      station: session.stationId,
      connector: session.connectorId,
      begunAt: session.begunAt.takenAt,
      ...(session.end === undefined ? {} : { endedAt: session.end.at.takenAt }),
      wh: sessionWh(session).toString(),
      completeness: completeness(session),
      isSettled: session.isSettled,
    }))
}
