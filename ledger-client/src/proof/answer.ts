import { WattError } from '@wattline/protocol'
import type { Database } from '../store/database.ts'
import { Archive, archiveLeaf, SqliteTiles } from './archive.ts'
import { type Challenge, challengedIndices, formatAnswer } from './challenge.ts'
import { formatPath } from './proof-file.ts'
import { MemoryTiles, MerkleTiles } from './tiles.ts'

/**
 * The keeper's part of a possession audit (SPEC-182): each record that is asked for, as it was signed, with its path. A
 * record that is gone, or is not what it was, is left out: its neighbours' paths need only its hash. One line each.
 */
export function* answerChallenge(db: Database, challenge: Challenge): Generator<string> {
  const { records } = challenge.anchor
  const tiles = openTiles(db, records.count)
  if (tiles.root(records.count) !== records.root) {
    throw new WattError('proof/unavailable', 'the challenge names an anchor that is not of this archive')
  }
  const find = db.prepare<[number], { point: string; text: string }>(
    'SELECT name AS point, text FROM record JOIN point ON point.id = record.point WHERE record.id = ?',
  )
  for (const index of challengedIndices(challenge)) {
    const row = find.get(index + 1)
    if (row === undefined) continue
    const { point, text } = row
    if (!tiles.leaf(index).every((byte, at) => byte === archiveLeaf(point, text)[at])) continue
    yield formatAnswer({ index, point, text, path: formatPath(tiles.path(index, records.count)) })
  }
}

// What is stored of the tree is enough for every anchor; only a head may be further on.
function openTiles(db: Database, size: number): MerkleTiles {
  const stored = new SqliteTiles(db, 'records')
  const tiles = new MerkleTiles(new MemoryTiles(stored))
  if (tiles.size < size) {
    const archive = new Archive(db)
    for (let leaves = archive.next('records', tiles.size, 4096); leaves.length > 0; ) {
      tiles.append(leaves.map(({ hash }) => hash))
      leaves = archive.next('records', tiles.size, 4096)
    }
  }
  if (tiles.size < size) {
    throw new WattError('proof/unavailable', `the anchor counts ${size} records, ${tiles.size} are here`)
  }
  return tiles
}
