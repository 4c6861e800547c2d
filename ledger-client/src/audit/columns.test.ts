import { join } from 'node:path'
import type { PointId } from '@wattline/protocol'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { makeEveryTable } from '../../test/every-table.ts'
import { appendEntry } from '../../test/forge-entries.ts'
import { fastVerifier, tempDir } from '../../test/rig.ts'
import { toPostings } from '../ledger/journal.ts'
import { Database, databaseFile } from '../store/database.ts'
import { auditLedger } from './audit.ts'

const folders: (() => void)[] = []
const own = { teardown: (fn: () => void) => void folders.push(fn) }
test.after.always(() => {
  for (const remove of folders.toReversed()) remove()
})

const dataDir = tempDir(own)
makeEveryTable(own, dataDir)

/** The first fault that `verify` tells of an edit, which is undone. */
function auditWith(edit: string | ((db: Sqlite.Database) => void)): string {
  const path = join(dataDir, databaseFile)
  const db = new Sqlite(path)
  try {
    db.pragma('foreign_keys = OFF')
    db.exec('BEGIN')
    if (typeof edit === 'string') db.exec(edit)
    else edit(db)
    const [first] = auditLedger(new Database(path, db), fastVerifier).faults
    return first === undefined ? 'sound' : `${first.place}: ${first.code}`
  } finally {
    db.close()
  }
}

const point = (name: string) => `(SELECT id FROM point WHERE name = 'gw-1/${name}')`
const roof = 'point gw-1/roof: storage/corrupt'

// What a row says and nothing else, or what nobody would miss.
const edits: readonly (readonly [name: string, sql: string, fault: string | RegExp])[] = [
  ['nothing', 'SELECT 1', 'sound'],
  ['the place that receipts name', `UPDATE point SET sequence = sequence + 1 WHERE id = ${point('roof')}`, roof],
  ['its epoch', `UPDATE point SET epoch = epoch + 1 WHERE id = ${point('roof')}`, roof],
  ['the time that others wait for', `UPDATE point SET head_at = head_at + 1 WHERE id = ${point('roof')}`, roof],
  ['whether a point is waited for', `UPDATE point SET certified = 0 WHERE id = ${point('roof')}`, roof],
  [
    'where a point is about to stand',
    `UPDATE point SET pending_behind = 'gw-1/house' WHERE id = ${point('gate')}`,
    'point gw-1/gate: journal/broken',
  ],
  [
    'since when a count that began anew had paused',
    `UPDATE record SET base_at = base_at - 60000 WHERE outcome = 'base' AND point = ${point('house')} AND base_at > 0`,
    /^gw-1\/house@\d+\/5: storage\/corrupt$/,
  ],
  [
    'what a producer has counted kept back, as if something stood behind it',
    `UPDATE record SET booked_wh = NULL WHERE point = ${point('twin')} AND sequence = 1`,
    /^gw-1\/twin@\d+\/1: journal\/broken$/,
  ],
  [
    'a remainder settled before a child had spoken',
    `UPDATE record SET settled = settled - 1 WHERE point = ${point('shed')} AND sequence = 2`,
    /^gw-1\/shed@\d+\/2: journal\/broken$/,
  ],
  [
    'a remainder settled before its own reading',
    `UPDATE record SET settled = id - 1 WHERE point = ${point('shed')} AND sequence = 2`,
    /^gw-1\/shed@\d+\/2: journal\/broken$/,
  ],
  [
    'the place of two stories',
    'UPDATE equivocation SET sequence = sequence + 1',
    /^gw-1\/twin@\d+\/8: record\/equivocation$/,
  ],
  [
    'the key of an account taken away',
    `DELETE FROM owner_key WHERE owner = 'alice'`,
    'account owner:alice: journal/broken',
  ],
  [
    'the key of an account that nobody has signed for',
    `INSERT INTO owner_key VALUES ('dave', '00', 1)`,
    'account owner:dave: journal/broken',
  ],
  [
    'where receipts went up to on a chain',
    `UPDATE final_place SET sequence = sequence + 1 WHERE point = ${point('roof')}`,
    roof,
  ],
  [
    'a reservation that is over',
    `UPDATE reservation SET amount = amount + 1 WHERE id = 'r-post'`,
    /^entry \d+: journal\/broken$/,
  ],
  ['a limit of no asset', `UPDATE account_limit SET asset = 'GOLD'`, 'account GOLD of carol: storage/corrupt'],
  [
    'a text with which counting began, where the certificate tells a register',
    `UPDATE record SET text = 'OCMF|' WHERE point = ${point('roof')} AND sequence = 1`,
    /^gw-1\/roof@\d+\/1: record\/malformed$/,
  ],
  ['the note that binds a wallet', `UPDATE entry SET note = '{' WHERE kind = 'wallet'`, /^entry \d+: journal\/broken$/],
  ['the order of seals', 'UPDATE seal SET block = block + 1', 'records: storage/corrupt'],
]

for (const [name, sql, fault] of edits) {
  test(`SPEC-55: verify names what was edited: ${name}`, (t) => {
    const found = auditWith(sql)
    if (typeof fault === 'string') t.is(found, fault)
    else t.regex(found, fault)
  })
}

test('SPEC-84: verify finds an operator that books a whole meter although others behind it have booked already', (t) => {
  const found = auditWith((db) => {
    const house = db
      .prepare<[], { id: number; booked_wh: number }>(`SELECT id, booked_wh FROM point WHERE name = 'gw-1/house'`)
      .get()!
    const { id, epoch } = db
      .prepare<[number], { id: number; epoch: number }>('SELECT id, epoch FROM record WHERE point = ? AND sequence = 6')
      .get(house.id)!
    const held = db.prepare<[], { amount: bigint }>(`SELECT amount FROM balance WHERE account = 'owner:alice'`)
    const balance = held.safeIntegers().get()?.amount ?? 0n
    // Everything else of the forgery is right: what was counted, sums, balances and hashes.
    const facts = { point: 'gw-1/house' as PointId, owner: 'alice', mintWh: 3n, burnWh: 50n }
    db.exec(`UPDATE record SET booked_wh = ${house.booked_wh - 47}, settled = NULL WHERE id = ${id}`)
    db.exec(`UPDATE point SET booked_wh = booked_wh - 47, minted_wh = minted_wh + 3, burned_wh = burned_wh + 50
             WHERE id = ${house.id}`)
    const postings = toPostings(facts, balance).map(
      ({ account, amount }) => [account, Number(amount)] as [string, number],
    )
    for (const [account] of postings) db.prepare('INSERT OR IGNORE INTO balance VALUES (?, 0)').run(account)
    const claim = `gw-1/house#${epoch}/6`
    appendEntry(db, { kind: 'claim', claim, point: 'gw-1/house', note: '{"importWh":"50","exportWh":"3"}' }, postings)
  })
  t.regex(found, /^gw-1\/house@\d+\/6: journal\/broken$/)
})
