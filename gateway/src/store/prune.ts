import { decodeWith, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

/** How much of the past is kept. */
export interface Retention {
  /** Records taken before this moment may go, in ms since 1970. */
  readonly beforeMs: number
  readonly maxBytes: number
}

/** Rows per metering point that one transaction looks at: readings must not wait for the tidying. */
const chunk = 500

const count = integerBetween(0, Number.MAX_SAFE_INTEGER)
const pointShape = v.object({ number: count, acknowledged_epoch: count, acknowledged_sequence: count })
type PointPlace = v.InferOutput<typeof pointShape>

/**
 * Deletes one chunk of old records: by age what is confirmed or rejected, by size what is confirmed. What waits for a
 * receipt is never deleted, nor is the last confirmed record of a point, from which a new epoch would go on. Returns
 * how many were deleted; whoever calls comes again until there is nothing more.
 */
export function pruneChunk(store: Store, { beforeMs, maxBytes }: Retention): number {
  return store.write(() => {
    const points = store
      .sql('SELECT number, acknowledged_epoch, acknowledged_sequence FROM points')
      .all()
      .map((row) => decodeWith(pointShape, row, `${store.path}: points`, 'storage/corrupt'))
    const aged = deleteOldest(store, points, `taken_at < ${Math.floor(beforeMs)}`, 'true')
    return aged > 0 || usedBytes(store) <= maxBytes ? aged : deleteOldest(store, points, 'true', 'rejected IS NULL')
  })
}

// Looks at the oldest records only, found by the index: the table may have millions.
function deleteOldest(store: Store, points: readonly PointPlace[], condition: string, candidates: string): number {
  const statement = store.sql(
    `DELETE FROM records WHERE number IN (SELECT number FROM (
       SELECT number, taken_at FROM records
       WHERE point = ? AND (epoch, sequence) < (?, ?) AND ${candidates} ORDER BY epoch, sequence LIMIT ${chunk}
     ) WHERE ${condition})`,
  )
  return points.reduce(
    (sum, point) => sum + statement.run(point.number, point.acknowledged_epoch, point.acknowledged_sequence).changes,
    0,
  )
}

/** What the database holds, without the room that deleted records left behind in its file. */
export function usedBytes(store: Store): number {
  const [pages, free, size] = ['page_count', 'freelist_count', 'page_size'].map((name) =>
    Number(store.db.pragma(name, { simple: true })),
  )
  return ((pages ?? 0) - (free ?? 0)) * (size ?? 0)
}
