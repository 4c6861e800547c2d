import type { ClockStatus } from '@wattline/protocol'
import type { Moment, StationClock } from './session-state.ts'

/** A station that tells of a time before this has no clock. */
const firstBelievableMs = Date.UTC(2020, 0)
/** A message that is no older is live, and its station's clock right. */
const liveMs = 60_000
/** SteVe's tolerance: clocks differ, and a station may write a time down later than it was. */
export const toleranceMs = 300_000

/** What is learned of a station's clock from a message (SPEC-103): nothing can have happened later than it arrived. */
export function learnClock(
  known: StationClock | undefined,
  claimed: readonly number[],
  arrivedAt: number,
): StationClock {
  const latest = Math.max(...claimed)
  if (latest < firstBelievableMs) return known ?? { aheadMs: 0, offsetMs: 0 }
  const offsetMs = latest - arrivedAt
  if (offsetMs > liveMs) return { aheadMs: offsetMs, offsetMs }
  return { aheadMs: offsetMs > -liveMs ? 0 : (known?.aheadMs ?? 0), offsetMs }
}

/** Whether it is worth a write: the delay of messages differs by a little all the time. */
export function isNews(known: StationClock, learned: StationClock): boolean {
  return known.aheadMs !== learned.aheadMs || Math.abs(known.offsetMs - learned.offsetMs) > liveMs
}

/** When something was, put right by what is known of the station's clock. */
export function toMoment(
  claimedAt: number,
  { arrivedAt, clockStatus, aheadMs }: { arrivedAt: number; clockStatus: ClockStatus; aheadMs: number },
): Moment {
  const claimed = Math.max(0, claimedAt)
  if (claimed < firstBelievableMs) return { claimedAt: claimed, arrivedAt, takenAt: arrivedAt, clockStatus: 'U' }
  const takenAt = Math.min(claimed - aheadMs, arrivedAt)
  // A time that our own clock bears out is as good as that.
  const isOurs = aheadMs === 0 && arrivedAt - claimed <= liveMs
  return { claimedAt: claimed, arrivedAt, takenAt, clockStatus: isOurs ? clockStatus : 'I' }
}
