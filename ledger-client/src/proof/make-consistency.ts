import { consistencyPath, formatAnchor, parseAnchor, type Signer, WattError } from '@wattline/protocol'
import type { Database } from '../store/database.ts'
import { readAnchors, readFacts } from './anchors.ts'
import { Archive, SqliteTiles, type Trees } from './archive.ts'
import { checkConsistency } from './check-consistency.ts'
import { formatConsistency, formatPath } from './proof-file.ts'

/** What is to be shown. */
export interface ConsistencyRequest {
  /** The earlier anchor: its day, or its text. */
  readonly from: string
  /** The later one. Left out: a head, made now; or the last anchor, where the key is not here. */
  readonly to?: string
  readonly signer: Signer | undefined
}

/** Makes the file that shows that one anchor extends another, and checks it before it is handed out (SPEC-185). */
export function makeConsistency(db: Database, { from, to, signer }: ConsistencyRequest): string {
  return db.read(() => {
    const trees = new Archive(db).openTrees({
      records: new SqliteTiles(db, 'records'),
      entries: new SqliteTiles(db, 'entries'),
    })
    const texts = [findAnchor(db, from), to === undefined ? latest(db, trees, signer) : findAnchor(db, to)] as const
    const [earlier, later] = texts.map((text) => parseAnchor(text))
    if (earlier === undefined || later === undefined) throw new WattError('anchor/invalid', 'two anchors expected')
    const path = (tree: keyof Trees) => {
      const [before, after, size] = [earlier[tree].count, later[tree].count, trees[tree].size]
      if (before > after || after > size) {
        throw new WattError('proof/unavailable', `${tree}: ${before} and ${after} are told, ${size} are here`)
      }
      return formatPath(consistencyPath(trees[tree], before, after))
    }
    const content = formatConsistency({
      wattline: 'consistency',
      v: 1,
      from: texts[0],
      to: texts[1],
      records: path('records'),
      entries: path('entries'),
    })
    const fault = checkConsistency(content).findings.find(({ ok }) => !ok)
    if (fault === undefined) return content
    throw new WattError('proof/unavailable', `${fault.subject}: ${fault.text} (${fault.code})`)
  })
}

function findAnchor(db: Database, name: string): string {
  if (name.startsWith('WATT-ANCHOR|')) return name
  const found = readAnchors(db).find(({ day }) => day === name)
  if (found === undefined) throw new WattError('anchor/invalid', `no anchor of '${name}'`)
  return found.text
}

function latest(db: Database, trees: Trees, signer: Signer | undefined): string {
  const counts = { records: trees.records.size, entries: trees.entries.size }
  if (signer !== undefined) return formatAnchor(readFacts(db, trees, counts), signer)
  const last = readAnchors(db).at(-1)
  if (last === undefined) throw new WattError('proof/unavailable', 'there is no anchor yet, and no key to sign a head')
  return last.text
}
