import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Anchor,
  currenciesIn,
  formatPublicKey,
  namesIn,
  type PointId,
  type PublicKey,
  parseAnchor,
  parseReceipt,
  parseStatement,
  type SignatureVerifier,
  type Statement,
  samePublicKey,
  toHoldings,
  WattError,
} from '@wattline/protocol'
import { headFile, parseHead } from '../head.ts'
import { OwnersMoney, ofOwners } from '../orders/history.ts'
import { Archive, SqliteTiles, type Trees } from '../proof/archive.ts'
import type { Database } from '../store/database.ts'
import type { Faults } from './report.ts'
import type { SeenSeal } from './seal-audit.ts'

/** What the ledger has signed once, and must still hold: heads, anchors, receipts and statements (SPEC-54). */
export interface Witnesses {
  readonly seals: readonly SeenSeal[]
  readonly entries: readonly { readonly entries: number; readonly hash: string; readonly witness: string }[]
  /** As they were published: those that the ledger stores could be made anew, with its key. */
  readonly anchors: readonly { readonly anchor: Anchor; readonly witness: string }[]
  readonly receipts: readonly {
    readonly point: PointId
    readonly epoch: number
    readonly sequence: number
    readonly hash: string
    readonly witness: string
  }[]
  /** What owners were told of their accounts (SPEC-155). */
  readonly statements: readonly { readonly statement: Statement; readonly witness: string }[]
}

export const noWitnesses: Witnesses = { seals: [], entries: [], anchors: [], receipts: [], statements: [] }

/** Gathers the head beside the database, and every head, anchor and receipt that stands on a line of one of the files. */
export function readWitnesses(dataDir: string, files: readonly string[], verifier: SignatureVerifier): Witnesses {
  const own = join(dataDir, headFile)
  const found = {
    seals: [...noWitnesses.seals],
    entries: [...noWitnesses.entries],
    anchors: [...noWitnesses.anchors],
    receipts: [...noWitnesses.receipts],
    statements: [...noWitnesses.statements],
  }
  let ledger: PublicKey | undefined
  for (const path of [...(existsSync(own) ? [own] : []), ...files]) {
    for (const [index, line] of readLines(path).entries()) {
      const witness = `${path}:${index + 1}`
      // All must come from one ledger: a witness that somebody else made would accuse a sound one.
      ledger = takeLine(line, witness, { found, ledger, verifier }) ?? ledger
    }
  }
  return found
}

interface Taking {
  readonly found: { -readonly [Kind in keyof Witnesses]: Witnesses[Kind][number][] }
  readonly ledger: PublicKey | undefined
  readonly verifier: SignatureVerifier
}

function takeLine(line: string, witness: string, { found, ledger, verifier }: Taking): PublicKey | undefined {
  const text = line.trim()
  try {
    if (text.startsWith('WATT-HEAD|')) {
      const head = parseHead(text, ledger, verifier)
      found.seals.push({ records: head.records, seal: head.seal, witness })
      found.entries.push({ entries: head.entries, hash: head.journal, witness })
      return head.ledger
    }
    if (text.startsWith('WATT-ANCHOR|')) {
      const anchor = parseAnchor(text, ledger, verifier)
      found.entries.push({ entries: anchor.entries.count, hash: anchor.entries.head, witness })
      found.anchors.push({ anchor, witness })
      return anchor.ledger
    }
    if (text.startsWith('WATT-STATEMENT|')) return takeStatement(text, witness, { found, ledger, verifier })
    if (!text.startsWith('WATT-RECEIPT|')) return undefined
    const receipt = parseReceipt(text, ledger, verifier)
    if (receipt.sequence > 0) found.receipts.push({ ...receipt, witness })
    return receipt.ledger
  } catch (cause) {
    if (!(cause instanceof WattError)) throw cause
    const known = ledger === undefined ? '' : ` (the others are by ...${formatPublicKey(ledger).slice(-16)})`
    throw new WattError('receipt/invalid', `${witness}: ${cause.message}${known}`, { cause })
  }
}

function takeStatement(text: string, witness: string, { found, ledger, verifier }: Taking): PublicKey {
  const statement = parseStatement(text, verifier)
  if (ledger !== undefined && !samePublicKey(statement.ledger, ledger)) {
    throw new WattError('receipt/invalid', `statement of '${statement.account}': of another ledger`)
  }
  found.statements.push({ statement, witness })
  found.entries.push({ entries: statement.entries, hash: statement.journal, witness })
  for (const [entries, hash] of statement.lines) found.entries.push({ entries, hash, witness })
  return statement.ledger
}

function readLines(path: string): readonly string[] {
  try {
    return readFileSync(path, 'latin1').split('\n')
  } catch (cause) {
    throw new WattError('config/unreadable', `${path}: cannot be read`, { cause })
  }
}

/** Compares entries and receipts with what is here; the seals are compared on the way (SealAudit). */
export function checkWitnesses(
  db: Database,
  { entries, anchors, receipts, statements }: Witnesses,
  faults: Faults,
): void {
  const entry = db.prepare<[number], { hash: string }>('SELECT hash FROM entry WHERE id = ?')
  for (const { entries: id, hash, witness } of entries) {
    if (id === 0) continue
    const found = entry.get(id)?.hash
    const problem =
      found === undefined ? 'it is not here' : `its hash was ${hash.slice(0, 8)}, now ${found.slice(0, 8)}`
    if (found !== hash) faults.add(`entry ${id}`, 'journal/broken', `${witness}: ${problem}`)
  }
  if (anchors.length > 0) checkAnchors(db, anchors, faults)
  const record = db.prepare<[string, number, number], { hash: string }>(
    `SELECT hash FROM record WHERE point = (SELECT id FROM point WHERE name = ?) AND epoch = ? AND sequence = ?`,
  )
  for (const { point, epoch, sequence, hash, witness } of receipts) {
    const found = record.get(point, epoch, sequence)?.hash
    const problem = found === undefined ? 'it is not here' : `it was ${hash.slice(0, 8)}, now ${found.slice(0, 8)}`
    if (found !== hash) faults.add(`${point}@${epoch}/${sequence}`, 'chain/missing', `${witness}: ${problem}`)
  }
  for (const { statement, witness } of statements) checkStatement(db, statement, { witness, faults })
}

// What an account held when the ledger said so, and that it has left out nothing of what it told.
function checkStatement(
  db: Database,
  { account, holdings, entries, from, lines, more }: Statement,
  { witness, faults }: { readonly witness: string; readonly faults: Faults },
): void {
  const sum = db.prepareWide<[string, number], { amount: bigint | null }>(
    `SELECT sum(amount) AS amount FROM posting WHERE account = ? AND entry <= ? AND ${ofOwners}`,
  )
  // Money that it did not tell of counts as none.
  const currencies = [...currenciesIn(holdings), ...new OwnersMoney(db).currenciesOf(account)]
  const stated = toHoldings((name) => holdings[name] ?? 0n, currencies)
  for (const name of namesIn(stated)) {
    const held = sum.get(`${name}:${account}`, entries)?.amount ?? 0n
    if (held === stated[name]) continue
    const problem = `${stated[name]} were stated after entry ${entries}, they were ${held}`
    faults.add(`account ${name}:${account}`, 'journal/unbalanced', `${witness}: ${problem}`)
  }
  const names = namesIn(stated).map((name) => `${name}:${account}`)
  const moved = db.prepare<unknown[], { entry: number }>(
    `SELECT DISTINCT entry FROM posting WHERE account IN (${names.map(() => '?').join()})
     AND entry BETWEEN ? AND ? AND ${ofOwners} ORDER BY entry`,
  )
  const told = new Set(lines.map(([id]) => id))
  const [first, last] = [more ? (lines.at(-1)?.[0] ?? entries + 1) : 1, from === 0 ? entries : from - 1]
  for (const { entry } of moved.iterate(...names, first, last)) {
    if (told.has(entry)) continue
    faults.add(`entry ${entry}`, 'journal/broken', `${witness}: it moved '${account}', and was left out`)
  }
}

// The hash of the last entry names all before it; of the records only the tree tells.
function checkAnchors(db: Database, anchors: Witnesses['anchors'], faults: Faults): void {
  const trees = openTrees(db)
  if (trees === undefined) return
  const { records } = trees
  for (const { anchor, witness } of anchors) {
    const { count, root } = anchor.records
    if (count > records.size)
      faults.add('records', 'chain/missing', `${witness}: ${count} records, ${records.size} are here`)
    else if (records.root(count) !== root) {
      const problem = `the first ${count} records hash to another root than ${root.slice(0, 8)}`
      faults.add('records', 'chain/inserted', `${witness}: ${problem}`)
    }
  }
}

// Stored tiles are compared with the data where the ledger's own anchors are; a gap in the data is told there, too.
function openTrees(db: Database): Trees | undefined {
  try {
    return new Archive(db).openTrees({
      records: new SqliteTiles(db, 'records'),
      entries: new SqliteTiles(db, 'entries'),
    })
  } catch (error) {
    if (error instanceof WattError) return undefined
    throw error
  }
}
