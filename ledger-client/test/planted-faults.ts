import { hash } from 'node:crypto'
import { makeTimestamp, parseOcmfText, signRecord } from '@wattline/protocol'
import type Sqlite from 'better-sqlite3'
import { tagOf } from '../src/store/records.ts'
import { appendEntry, type PlantedFault, rehashFrom } from './forge-entries.ts'
import { revokedKey } from './full-ledger.ts'
import { moneyFaults } from './planted-money-faults.ts'
import { testSigner } from './rig.ts'

// What somebody who may write the database could do to it, or a disk. Each fault is planted in a transaction that is
// rolled back; `verify` must name the code and the place.

interface Row {
  id: number
  point: number
  epoch: number
  sequence: number
  hash: string
  text: string
}

export const victim = 'gw-1/field1'
/** The victim's record in the middle of its chain, or one near it. */
export function middle(db: Sqlite.Database, offset = 0): Row {
  const { point, sequence } = db
    .prepare<[string], { point: number; sequence: number }>(
      `SELECT id AS point, sequence / 2 AS sequence FROM point WHERE name = ?`,
    )
    .get(victim)!
  return db
    .prepare<[number, number], Row>('SELECT * FROM record WHERE point = ? AND sequence = ?')
    .get(point, sequence + offset)!
}

function change(db: Sqlite.Database, { id }: Row, columns: Record<string, unknown>): void {
  const names = Object.keys(columns)
  db.prepare(`UPDATE record SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE id = ?`).run(
    ...Object.values(columns),
    id,
  )
}

/** Writes a copy of a record's row with other values. */
function copyRow(db: Sqlite.Database, row: Row, columns: Record<string, unknown>): void {
  const copy = { ...row, id: lastId(db, 'record') + 1, ...columns }
  const names = Object.keys(copy)
  db.prepare(`INSERT INTO record (${names.join()}) VALUES (${names.map(() => '?').join()})`).run(...Object.values(copy))
}

function lastId(db: Sqlite.Database, table: string): number {
  return db.prepare<[], { id: number }>(`SELECT max(id) AS id FROM ${table}`).get()!.id
}

export function lastOf(db: Sqlite.Database, point: string): Row {
  return db
    .prepare<[string], Row>(
      `SELECT * FROM record WHERE point = (SELECT id FROM point WHERE name = ?)
       ORDER BY epoch DESC, sequence DESC LIMIT 1`,
    )
    .get(point)!
}

function flipDigit(text: string, at: number): string {
  return text.slice(0, at) + (text[at] === '1' ? '2' : '1') + text.slice(at + 1)
}

const registerAt = (text: string) => text.indexOf('"RV":') + 5
const payloadOf = (text: string) => text.split('|')[1]!

/** Puts a record behind the victim's last one, as if it had been accepted: row, head and count. */
function append(db: Sqlite.Database, point: string, text: string): void {
  const last = lastOf(db, point)
  const digest = hash('sha256', payloadOf(text))
  const sequence = last.sequence + 1
  copyRow(db, last, { sequence, text, hash: digest, tag: tagOf(digest), taken_at: timeOf(text) })
  db.prepare('UPDATE point SET records = records + 1, sequence = ?, hash = ? WHERE id = ?').run(
    sequence,
    digest,
    last.point,
  )
}

function timeOf(text: string): number {
  const time = /"TM":"([^ ]+)/.exec(text)![1]!
  return Date.parse(time.replace(',', '.').replace('+0000', 'Z'))
}

const sql = (text: string) => (db: Sqlite.Database) => void db.exec(text)
const claimInTheMiddle = `(SELECT max(id) / 2 FROM entry)`
const ofVictim = /^gw-1\/field1@\d+\/\d+$/
const ofPoint = /^point gw-1\/field1$/
export const entry = /^entry \d+$/

export const plantedFaults: readonly PlantedFault[] = [
  {
    name: 'a flipped byte in a record',
    code: 'storage/corrupt',
    place: ofVictim,
    plant: (db) => {
      const row = middle(db)
      change(db, row, { text: flipDigit(row.text, registerAt(row.text)) })
    },
  },
  {
    name: 'a flipped byte in a signature',
    code: 'record/bad-signature',
    place: ofVictim,
    plant: (db) => {
      const row = middle(db)
      change(db, row, { text: flipDigit(row.text, row.text.length - 12) })
    },
  },
  {
    name: 'another register, with a hash that fits it',
    code: 'record/bad-signature',
    place: ofVictim,
    plant: (db) => {
      const row = middle(db)
      const text = flipDigit(row.text, registerAt(row.text))
      const digest = hash('sha256', payloadOf(text))
      change(db, row, { text, hash: digest, tag: tagOf(digest) })
    },
  },
  {
    name: 'a removed record',
    code: 'chain/missing',
    place: ofVictim,
    plant: (db) => void db.prepare('DELETE FROM record WHERE id = ?').run(middle(db).id),
  },
  {
    name: 'two swapped texts',
    code: 'storage/corrupt',
    place: ofVictim,
    plant: (db) => {
      const [a, b] = [middle(db), middle(db, 1)]
      change(db, a, { text: b.text })
      change(db, b, { text: a.text })
    },
  },
  {
    name: 'two records in the other order of acceptance',
    code: 'chain/reordered',
    place: ofVictim,
    plant: (db) => {
      const [a, b] = [middle(db), middle(db, 1)]
      change(db, a, { id: -1 })
      change(db, b, { id: a.id })
      db.prepare('UPDATE record SET id = ? WHERE id = -1').run(b.id)
    },
  },
  {
    name: 'an inserted record that nobody signed',
    code: 'record/bad-signature',
    place: ofVictim,
    plant: (db) => {
      const last = lastOf(db, victim)
      const text = last.text
        .replace(`"XN":${last.sequence}`, `"XN":${last.sequence + 1}`)
        .replace(/"XP":"[0-9a-f]{64}"/, `"XP":"${last.hash}"`)
      append(db, victim, text)
    },
  },
  {
    name: 'a sequence that is there twice',
    code: 'storage/corrupt',
    place: ofVictim,
    plant: (db) => {
      const row = middle(db)
      copyRow(db, row, { epoch: row.epoch + 1 })
    },
  },
  {
    name: 'a record of a revoked key after its last place',
    code: 'point/revoked',
    place: /^gw-1\/old@\d+\/\d+$/,
    plant: (db) => {
      const { hash: previousHash, record } = parseOcmfText(lastOf(db, 'gw-1/old').text)
      const takenAt = makeTimestamp(record.takenAt + 60_000)
      const next = {
        ...record,
        previousHash,
        takenAt,
        sequence: record.sequence + 1,
        pageNumber: record.pageNumber + 1,
      }
      append(db, 'gw-1/old', signRecord({ ...next, state: 'no-answer', registers: {} }, testSigner(revokedKey)).text)
      db.prepare(`UPDATE record SET outcome = 'kept' WHERE id = ?`).run(lastId(db, 'record'))
    },
  },
  {
    name: 'a forged entry in a chain of hashes made anew',
    code: 'journal/broken',
    place: ofVictim,
    plant: (db) => {
      const { epoch } = middle(db)
      // The first record is there, and counts nothing.
      const amounts: [string, number][] = [
        ['owner:owner1', 1000],
        [`minted:${victim}`, -1000],
      ]
      appendEntry(db, { kind: 'claim', claim: `${victim}#${epoch}/1`, point: victim, note: '{}' }, amounts)
    },
  },
  {
    name: 'an unbalanced posting, hashed anew',
    code: 'journal/unbalanced',
    place: entry,
    plant: (db) => appendEntry(db, { kind: 'gap', point: victim, note: '{}' }, [['owner:alice', 5]]),
  },
  {
    name: 'an edited posting',
    code: 'journal/broken',
    place: entry,
    plant: sql(`UPDATE posting SET amount = amount + 1 WHERE entry = ${claimInTheMiddle} AND line = 0`),
  },
  {
    name: 'an edited balance',
    code: 'journal/unbalanced',
    place: /^account owner:alice$/,
    plant: sql(`UPDATE balance SET amount = amount + 5 WHERE account = 'owner:alice'`),
  },
  {
    name: 'a removed entry',
    code: 'journal/broken',
    place: entry,
    plant: sql(
      `CREATE TEMP TABLE gone AS SELECT ${claimInTheMiddle} AS id;
       DELETE FROM posting WHERE entry = (SELECT id FROM gone); DELETE FROM entry WHERE id = (SELECT id FROM gone)`,
    ),
  },
  ...['at = at + 1', `kind = 'session'`, `note = '{"importWh":"0","exportWh":"9"}'`].map((edit) => ({
    name: `an entry's ${edit.split(' ')[0]} changed`,
    code: 'journal/broken',
    place: entry,
    plant: sql(`UPDATE entry SET ${edit} WHERE id = ${claimInTheMiddle}`),
  })),
  {
    name: 'a cut tail of the journal', // balances and all: the records still ask for their entries
    code: 'journal/broken',
    place: /^(point gw-1\/\w+|gw-1\/\w+@\d+\/\d+)$/, // what stands of a point without its entry, or a booking
    plant: sql(
      `CREATE TEMP TABLE cut AS SELECT max(id) - 3 AS id FROM entry;
       UPDATE balance SET amount = amount - coalesce((SELECT sum(amount) FROM posting
         WHERE posting.account = balance.account AND entry > (SELECT id FROM cut)), 0);
       DELETE FROM posting WHERE entry > (SELECT id FROM cut); DELETE FROM entry WHERE id > (SELECT id FROM cut)`,
    ),
  },
  {
    name: 'a cut tail of the records',
    code: 'chain/missing',
    place: /^point gw-1\/\w+$/,
    plant: sql(`DELETE FROM record WHERE id > (SELECT max(id) - 5 FROM record)`),
  },
  {
    name: 'edited totals of a point',
    code: 'journal/unbalanced',
    place: ofPoint,
    plant: sql(`UPDATE point SET minted_wh = minted_wh + 1 WHERE name = '${victim}'`),
  },
  {
    name: 'an edited outcome',
    code: 'storage/corrupt',
    place: ofVictim,
    plant: (db) => change(db, middle(db), { outcome: 'kept' }),
  },
  {
    name: 'an edited count',
    code: 'storage/corrupt',
    place: ofVictim,
    plant: (db) => void db.prepare('UPDATE record SET net_wh = net_wh + 1 WHERE id = ?').run(middle(db).id),
  },
  {
    name: 'an edited booking',
    code: 'storage/corrupt',
    place: ofVictim,
    plant: (db) => void db.prepare('UPDATE record SET booked_wh = booked_wh + 1 WHERE id = ?').run(middle(db).id),
  },
  {
    name: 'two swapped keys',
    code: 'record/wrong-key',
    place: ofVictim,
    plant: sql(
      `UPDATE point_key SET key = 'spare' WHERE point = (SELECT id FROM point WHERE name = '${victim}');
       UPDATE point_key SET key = (SELECT key FROM point_key AS other JOIN point ON point.id = other.point WHERE name = 'gw-1/roof')
         WHERE key = 'spare'`,
    ),
  },
  {
    name: 'a removed epoch',
    code: 'record/wrong-key',
    place: ofVictim,
    plant: sql(`DELETE FROM epoch WHERE point = (SELECT id FROM point WHERE name = '${victim}')`),
  },
  {
    name: 'a changed certificate',
    code: 'certificate/invalid',
    place: ofVictim,
    plant: sql(`UPDATE certificate SET text = replace(text, '"producer"', '"consumer"') WHERE point = '${victim}'`),
  },
  {
    name: 'another owner',
    code: 'journal/broken',
    place: ofPoint,
    plant: sql(`UPDATE point SET owner = 'eve' WHERE name = '${victim}'`),
  },
  {
    name: 'a removed point',
    code: 'chain/foreign',
    place: /^record row \d+$/,
    plant: sql(`DELETE FROM point WHERE name = '${victim}'`),
  },
  {
    name: 'a removed proof of equivocation',
    code: 'record/equivocation',
    place: /^point gw-1\/twin$/,
    plant: sql('DELETE FROM equivocation'),
  },
  {
    name: 'a frozen point let go',
    code: 'journal/broken',
    place: /^point gw-1\/twin$/,
    plant: sql(`UPDATE point SET frozen = NULL WHERE name = 'gw-1/twin'`),
  },
  {
    name: 'a revocation taken back',
    code: 'journal/broken',
    place: /^point gw-1\/old$/,
    plant: sql(`UPDATE point_key SET last_epoch = NULL, last_sequence = NULL
                WHERE point = (SELECT id FROM point WHERE name = 'gw-1/old')`),
  },
  {
    name: 'a swap of a meter that the journal does not tell',
    code: 'journal/broken',
    place: /^gw-1\/field0@\d+\/\d+$/,
    plant: (db) => {
      const { id } = db.prepare<[], { id: number }>("SELECT id FROM entry WHERE kind = 'swap'").get()!
      db.prepare("UPDATE entry SET kind = 'gap', note = '{}' WHERE id = ?").run(id)
      rehashFrom(db, id)
    },
  },
  {
    name: "an operator's act that the operator has not signed",
    code: 'operator/unsigned',
    place: entry,
    plant: (db) =>
      appendEntry(db, { kind: 'limit', point: null, note: '{"owner":"bob","asset":"WATT","most":"5"}' }, []),
  },
  {
    name: 'a signature of the operator taken away',
    code: 'operator/unsigned',
    place: entry,
    plant: sql(`DELETE FROM operator_act WHERE entry = (SELECT id FROM entry WHERE kind = 'revocation')`),
  },
  ...moneyFaults,
  {
    name: 'a seal of other texts',
    code: 'storage/corrupt',
    place: /^records$/,
    plant: sql(`UPDATE seal SET digest = '${'0'.repeat(64)}' WHERE block = 0`),
  },
]
