import { parsePublicKey } from '@wattline/protocol'
import type { Database } from '../store/database.ts'
import type { Lane, Place } from './relayer.ts'

/** Reads the lanes of a ledger: for each key that ever opened an epoch, what the ledger has counted of its records. */
export function prepareLanes(db: Database): () => readonly Lane[] {
  const keys = db.prepare<[], { id: number; key: string }>('SELECT id, key FROM point_key ORDER BY id')
  const after = db.prepare<[number, number, number, number], { text: string }>(
    `SELECT record.text FROM epoch
     JOIN record ON record.point = epoch.point AND record.epoch = epoch.epoch
     WHERE epoch.key = ? AND (record.epoch, record.sequence) > (?, ?) AND record.outcome IN ('counted', 'base')
     ORDER BY record.epoch, record.sequence LIMIT ?`,
  )
  const toLane = ({ id, key }: { id: number; key: string }): Lane => ({
    publicKey: parsePublicKey(key),
    after: ({ epoch, sequence }: Place, limit) =>
      db.read(() => after.all(id, epoch, sequence, limit).map(({ text }) => text)),
  })
  return () => db.read(() => keys.all().map(toLane))
}
