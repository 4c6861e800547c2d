import type { Moment, SessionState } from '../src/sessions/session-state.ts'

/** For tests: a moment of which everything agrees. */
export const moment = (at: number): Moment => ({ claimedAt: at, arrivedAt: at, takenAt: at, clockStatus: 'S' })

/** For tests: a session at CP1 that has begun and not ended. */
export function makeSession(id: number, connectorId: number, transaction: string): SessionState {
  return {
    id,
    stationId: 'CP1',
    connectorId,
    version: 'ocpp1.6',
    transaction,
    startKey: `start ${id}`,
    isStarted: true,
    begunAt: moment(1),
    heardAt: moment(1),
    beginWh: 0n,
    isBeginTold: true,
    isSettled: false,
    isBeginSigned: false,
    isAvailable: false,
    sequence: { runs: [], isUseless: false },
    doubts: [],
    notes: [],
  }
}
