import { join } from 'node:path'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { Device, fastVerifier, openRig } from '../../test/rig.ts'
import { hashEntry } from '../ledger/journal.ts'
import { databaseFile, openDatabase } from '../store/database.ts'
import { auditLedger } from './audit.ts'

/** A ledger with a tree of three points and some bookings, closed. */
function makeLedger(t: Parameters<typeof openRig>[0]): { dataDir: string; epoch: number } {
  const { engine, dataDir } = openRig(t)
  const owner = 'alice'
  const house = new Device({ meter: 'house', role: 'bidirectional', owner })
  const roof = new Device({ meter: 'roof', role: 'producer', owner, behind: 'gw-1/house' })
  const heat = new Device({ meter: 'heat', role: 'consumer', owner: 'bob' })
  engine.ingest([house, roof, heat].map((each) => each.certificateMessage()))
  for (let n = 0n; n < 6n; n++) {
    engine.ingest([
      heat.read({ import: 7n * n }),
      house.read({ import: 3n * n, export: 0n }),
      roof.read({ export: 10n * n }),
    ])
  }
  engine.ingest([roof.read({ export: 60n })])
  return { dataDir, epoch: house.epoch }
}

function audit(dataDir: string) {
  const db = openDatabase(dataDir, { readonly: true })
  try {
    return auditLedger(db, fastVerifier)
  } finally {
    db.close()
  }
}

const claimEntry = `(SELECT id FROM entry WHERE claim LIKE 'gw-1/roof#%/4')`
const recordOf = (point: string, sequence: number) =>
  `point = (SELECT id FROM point WHERE name = '${point}') AND sequence = ${sequence}`

const faults: readonly (readonly [name: string, sql: string, code: string, place: RegExp])[] = [
  [
    'a flipped digit in a record',
    `UPDATE record SET text = replace(text, '"RV":0.030', '"RV":0.031') WHERE ${recordOf('gw-1/roof', 4)}`,
    'storage/corrupt',
    /^gw-1\/roof@\d+\/4$/,
  ],
  [
    'a flipped digit in a signature',
    `UPDATE record SET text = substr(text, 1, length(text) - 8)
       || CASE substr(text, length(text) - 7, 1) WHEN 'A' THEN 'B' ELSE 'A' END || substr(text, length(text) - 6)
     WHERE ${recordOf('gw-1/heat', 2)}`,
    'record/bad-signature',
    /^gw-1\/heat@\d+\/2$/,
  ],
  ['a removed record', `DELETE FROM record WHERE ${recordOf('gw-1/roof', 3)}`, 'chain/missing', /^gw-1\/roof@\d+\/4$/],
  [
    'a removed last record',
    `DELETE FROM record WHERE ${recordOf('gw-1/roof', 7)}`,
    'chain/missing',
    /^point gw-1\/roof$/,
  ],
  [
    'two swapped texts',
    `UPDATE record SET text = (SELECT text FROM record AS other WHERE other.point = record.point AND other.sequence = 5 - record.sequence)
     WHERE point = (SELECT id FROM point WHERE name = 'gw-1/roof') AND sequence IN (2, 3)`,
    'storage/corrupt',
    /^gw-1\/roof@\d+\/2$/,
  ],
  [
    'two records swapped as a whole',
    `UPDATE record SET id = id + 1000 WHERE ${recordOf('gw-1/roof', 3)}`,
    'chain/reordered',
    /^gw-1\/roof@\d+\/4$/,
  ],
  [
    'an edited balance',
    `UPDATE balance SET amount = amount + 5 WHERE account = 'owner:alice'`,
    'journal/unbalanced',
    /^account owner:alice$/,
  ],
  [
    'an edited posting',
    `UPDATE posting SET amount = amount + 1 WHERE entry = ${claimEntry} AND line = 0`,
    'journal/broken',
    /^entry \d+$/,
  ],
  [
    'a removed entry',
    `DELETE FROM posting WHERE entry = ${claimEntry}; DELETE FROM entry WHERE id = ${claimEntry}`,
    'journal/broken',
    /^entry \d+$/,
  ],
  [
    'two swapped entries',
    `UPDATE entry SET id = -id WHERE id IN (8, 9); UPDATE entry SET id = 17 + id WHERE id IN (-8, -9)`,
    'journal/broken',
    /^entry 8$/,
  ],
  [
    'an edited note',
    `UPDATE entry SET note = replace(note, 'bob', 'eve') WHERE kind = 'enrolment' AND note LIKE '%bob%'`,
    'journal/broken',
    /^point gw-1\/heat$/,
  ],
  [
    'an edited count of a point',
    `UPDATE point SET minted_wh = minted_wh + 1 WHERE name = 'gw-1/roof'`,
    'journal/unbalanced',
    /^point gw-1\/roof$/,
  ],
  ['another owner', `UPDATE point SET owner = 'eve' WHERE name = 'gw-1/roof'`, 'journal/broken', /^point gw-1\/roof$/],
  [
    'another base',
    `UPDATE point SET base_export_wh = 0 WHERE name = 'gw-1/roof'`,
    'storage/corrupt',
    /^point gw-1\/roof$/,
  ],
  [
    'another key',
    `UPDATE point_key SET key = (SELECT key FROM point_key WHERE id = 1) || '' WHERE id = 99; UPDATE point_key SET key = replace(key, 'A', 'B') WHERE id = 2`,
    'record/wrong-key',
    /^gw-1\/roof@\d+\/1$/,
  ],
  [
    'a damaged certificate',
    `UPDATE certificate SET text = replace(text, '"producer"', '"consumer"') WHERE point = 'gw-1/roof'`,
    'certificate/invalid',
    /^gw-1\/roof@\d+\/1$/,
  ],
  [
    'a settled remainder that is passed over',
    `UPDATE record SET settled = 0 WHERE ${recordOf('gw-1/house', 3)}`,
    'journal/broken',
    /^gw-1\/house@\d+\/3$/,
  ],
]

for (const [name, sql, code, place] of faults) {
  test(`verify finds ${name}, and where`, (t) => {
    const { dataDir } = makeLedger(t)
    t.deepEqual(audit(dataDir).faults, [])
    const db = new Sqlite(join(dataDir, databaseFile))
    db.pragma('foreign_keys = OFF')
    db.exec(sql)
    db.close()
    const report = audit(dataDir)
    t.false(report.ok)
    t.is(String(report.faults[0]?.code), code, JSON.stringify(report.faults))
    t.regex(report.faults[0]?.place ?? '', place)
  })
}

test('verify finds a forged entry even where the chain of hashes was made anew', (t) => {
  const { dataDir, epoch } = makeLedger(t)
  const db = new Sqlite(join(dataDir, databaseFile))
  const head = db
    .prepare<[], { id: number; hash: string }>('SELECT id, hash FROM entry ORDER BY id DESC LIMIT 1')
    .get()!
  const forge = (sequence: number) => {
    const postings = [
      { account: 'owner:alice', amount: 1000n },
      { account: 'minted:gw-1/roof', amount: -1000n },
    ]
    const claim = `gw-1/roof#${epoch}/${sequence}`
    const entry = { id: head.id + 1, at: 1, kind: 'claim', claim, point: 'gw-1/roof', note: '{}', postings }
    db.exec('DELETE FROM posting WHERE entry = 99')
    db.prepare('INSERT INTO entry VALUES (?, 1, ?, ?, ?, ?, ?, ?)').run(
      entry.id,
      'claim',
      claim,
      'gw-1/roof',
      '{}',
      head.hash,
      hashEntry(head.hash, entry),
    )
    for (const [line, { account, amount }] of postings.entries()) {
      db.prepare('INSERT INTO posting VALUES (?, ?, ?, ?)').run(entry.id, line, account, amount)
      db.prepare('UPDATE balance SET amount = amount + ? WHERE account = ?').run(amount, account)
    }
    db.prepare('UPDATE point SET minted_wh = minted_wh + 1000, booked_wh = booked_wh + 1000 WHERE name = ?').run(
      'gw-1/roof',
    )
  }
  forge(1) // the first record is there, and counts nothing
  db.close()
  const report = audit(dataDir)
  t.is(report.faults[0]?.code, 'journal/broken')
  t.regex(report.faults[0]?.place ?? '', /^gw-1\/roof@\d+\/1$/)
})

test('verify says how much it has checked', (t) => {
  const { dataDir } = makeLedger(t)
  t.like(audit(dataDir), { ok: true, counts: { points: 3, records: 19 } })
})
