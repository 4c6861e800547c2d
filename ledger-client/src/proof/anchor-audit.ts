import {
  type Anchor,
  noHash,
  type PublicKey,
  parseAnchor,
  type SignatureVerifier,
  sameBytes,
  WattError,
} from '@wattline/protocol'
import type { Faults } from '../audit/report.ts'
import type { Database } from '../store/database.ts'
import { type AnchorRow, readAnchors } from './anchors.ts'
import { Archive, SqliteTiles, type TreeName, type Trees, treeNames } from './archive.ts'

/**
 * Checks every anchor again: its signature, its place in the chain of anchors and in the journal, and both roots against
 * the records and entries as they are here now. So whatever was changed since an anchor was signed is found, even where
 * every hash in the database was made anew. Gives the number of anchors.
 */
export function auditAnchors(
  db: Database,
  { verifier, ledgerKey }: { readonly verifier: SignatureVerifier; readonly ledgerKey?: PublicKey | undefined },
  faults: Faults,
): number {
  const rows = readAnchors(db)
  const trees = openTrees(db, faults)
  if (trees !== undefined) checkTiles(db, trees, faults)
  let previous: { readonly row: AnchorRow; readonly anchor: Anchor } | undefined
  let key = ledgerKey
  for (const row of rows) {
    try {
      const anchor = parseAnchor(row.text, key, verifier)
      key ??= anchor.ledger // without a key at hand, one ledger must have signed them all
      checkRow(row, anchor)
      checkOrder(anchor, previous)
      if (trees !== undefined) checkRoots(db, anchor, trees)
      previous = { row, anchor }
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      faults.add(`anchor ${row.day}`, error.code, error.message)
      break // what follows rests on it
    }
  }
  checkNotes(db, rows, faults)
  return rows.length
}

function openTrees(db: Database, faults: Faults): Trees | undefined {
  try {
    return new Archive(db).openTrees({ records: undefined, entries: undefined })
  } catch (error) {
    if (!(error instanceof WattError)) throw error
    faults.add('archive', error.code, error.message)
    return undefined
  }
}

// The stored tiles serve proofs; the trees here are made anew from the records and entries themselves.
function checkTiles(db: Database, trees: Trees, faults: Faults): void {
  for (const name of treeNames) {
    const tiles = db
      .prepare<[string], { level: number; number: number; hashes: Buffer }>(
        'SELECT level, number, hashes FROM merkle_tile WHERE tree = ? ORDER BY level, number',
      )
      .all(name)
    const size = new SqliteTiles(db, name).size()
    for (const { level, number, hashes } of tiles) {
      const at = firstDifference(trees, name, { level, number, hashes })
      if (at === undefined) continue
      const what = level === 0 ? `${name} number ${at + 1}` : `${name}, tile ${level}/${number}`
      faults.add(what, 'storage/corrupt', `its hash is not the one in the tree of ${size}`)
      break
    }
  }
}

function firstDifference(
  trees: Trees,
  name: TreeName,
  { level, number, hashes }: { level: number; number: number; hashes: Buffer },
): number | undefined {
  const tree = trees[name]
  for (let slot = 0; slot < hashes.length / 32; slot++) {
    const index = number * 256 + slot
    const isThere = level >= 0 && index >= 0 && (index + 1) * 256 ** level <= tree.size
    const stored = hashes.subarray(slot * 32, slot * 32 + 32)
    if (!isThere || !sameBytes(tree.node(8 * level, index), stored)) return index
  }
  return undefined
}

function checkRow(row: AnchorRow, { day, hash, records, entries }: Anchor): void {
  const told = [row.day, row.hash, row.records, row.entries].join()
  const found = [day, hash, records.count, entries.count].join()
  if (told !== found) throw new WattError('anchor/invalid', `the row says ${told}, the text ${found}`)
}

function checkOrder(
  { day = '', previous, records, entries }: Anchor,
  before: { readonly row: AnchorRow; readonly anchor: Anchor } | undefined,
): void {
  const expected = before?.anchor.hash ?? noHash
  if (previous !== expected) {
    const message = `names ${previous.slice(0, 8)} as the anchor before it, ${expected.slice(0, 8)} expected`
    throw new WattError('anchor/invalid', message)
  }
  if (before === undefined) return
  if (day <= before.row.day) throw new WattError('anchor/invalid', `it follows the anchor of ${before.row.day}`)
  if (records.count < before.row.records || entries.count < before.row.entries) {
    throw new WattError('anchor/invalid', `it counts less than the anchor of ${before.row.day}`)
  }
}

function checkRoots(db: Database, anchor: Anchor, trees: Trees): void {
  for (const name of treeNames) {
    const { count, root } = anchor[name]
    if (count > trees[name].size) {
      throw new WattError('chain/missing', `${count} ${name} expected, ${trees[name].size} are here`)
    }
    const found = trees[name].root(count)
    if (found === root) continue
    const message = `the first ${count} ${name} hash to ${found.slice(0, 8)}, ${root.slice(0, 8)} was signed`
    throw new WattError('anchor/invalid', message)
  }
  const { count, head } = anchor.entries
  const entry = db.prepare<[number], { hash: string }>('SELECT hash FROM entry WHERE id = ?').get(count)
  if ((entry?.hash ?? noHash) !== head) throw new WattError('anchor/invalid', `entry ${count} is not the one it names`)
}

// One note for each anchor and one anchor for each note: neither can be taken away alone.
function checkNotes(db: Database, rows: readonly AnchorRow[], faults: Faults): void {
  const notes = db
    .prepare<[], { id: number; note: string }>(`SELECT id, note FROM entry WHERE kind = 'anchor' ORDER BY id`)
    .all()
  for (const [at, { id, note }] of notes.entries()) {
    const row = rows[at]
    const expected = row === undefined ? 'none' : JSON.stringify({ day: row.day, hash: row.hash })
    if (row?.entry === id && note === expected) continue
    faults.add(`entry ${id}`, 'anchor/invalid', `it notes the anchor ${note}, ${expected} is stored`)
    return
  }
  const more = rows[notes.length]
  if (more !== undefined) faults.add(`anchor ${more.day}`, 'anchor/invalid', 'no journal entry notes it')
}
