// Edits each column of each table of a small ledger that has something in every table, takes each row away, and asks
// `verify` each time. What it does not notice must stand in the list below, with the reason why it does not matter. `node soak-columns.ts seal,anchor` asks for some tables only.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { auditLedger } from '../src/audit/audit.ts'
import { Database, databaseFile } from '../src/store/database.ts'
import { makeEveryTable } from './every-table.ts'
import { fastVerifier } from './rig.ts'

const [, , only = ''] = process.argv
const unbooked = 'not judged yet, or refused: whatever it says is judged when it is used'
const half = 'alone it says nothing: the columns beside it are empty'
const order = 'tells an order, which stays the same'
const mayGoUnseen: Readonly<Record<string, string>> = {
  'intake.*': unbooked,
  'held.*': unbooked,
  'quarantine.*': unbooked,
  'point.gateway': 'never read: the name tells it',
  'point.session_*': half,
  'point.pending*': half,
  'point_key.last_*': half,
  'membership.until_mark': half,
  'certificate.received_at': 'for people: nobody else knows it',
  'record.full': 'whether frames may refer to it: what does not rebuild is asked for again',
  'record.accepted_at': 'nobody else knows it; from the next anchor on its day is signed',
  'record.settled': 'as many records known, and the same sum: a greater one would be found',
  'posting.line': order,
  'membership.id': order,
  'anchor.id': order,
  'signed_order.seq': order,
  'signed_order.other': 'finds the orders of a wallet; each is shown with its signed text',
  'signed_order DELETE': 'a refused order left nothing; a statement that was given tells how many there were',
  'wallet_binding.entry': 'never read: the journal tells it',
  'owner_key.entry': 'never read: the journal tells it',
  'seal.last': 'the row after the last one is not there yet',
  'record.settled NULL': 'of a reading that counted nothing: nothing is booked either way',
  'record.booked_wh NULL': 'a reading of a parent that counted nothing waits again, and is settled again',
  'certificate DELETE': 'of a later key: the journal keeps it with the rotation',
  'balance.account': 'an account that holds nothing',
  'balance DELETE': 'an account that holds nothing',
  'seal DELETE': 'of the only block: each signature is checked then',
  'final_place.*': 'the row that says that a chain counts',
  'final_place DELETE': 'receipts begin anew: nothing is freed by them',
  'merkle_tile.tree': 'grows again from the records and entries',
  'merkle_tile DELETE': 'grows again from the records and entries',
  'receipt_session.*': 'receipts that were given tell it',
  'receipt_session DELETE': 'begins anew at the clock, as a ledger does that forgot it',
}

interface Column {
  readonly name: string
  readonly type: string
  readonly pk: number
}

function editOf(type: string, value: unknown): unknown {
  if (typeof value === 'number') return value + 1
  if (typeof value === 'string') return value.slice(0, -1) + (value.endsWith('1') ? '2' : '1')
  if (Buffer.isBuffer(value)) return Buffer.concat([value, Buffer.of(1)])
  return type === 'INTEGER' ? 1 : 'x'
}

const isExcused = (edit: string) =>
  Object.keys(mayGoUnseen).some((name) => {
    return name.endsWith('*') ? edit.replace(' DELETE', '.').startsWith(name.slice(0, -1)) : edit === name
  })

// Whether the tables take a change.
function isAllowed(change: () => number): boolean {
  try {
    return change() > 0
  } catch (error) {
    if (error instanceof Sqlite.SqliteError && /^SQLITE_(CONSTRAINT|MISMATCH)/.test(error.code)) return false
    throw error
  }
}

const dir = mkdtempSync(join(tmpdir(), 'wattline-columns-'))
const closing: (() => void)[] = []
try {
  makeEveryTable({ teardown: (close) => closing.push(close) }, dir)
  const db = new Sqlite(join(dir, databaseFile))
  closing.push(() => db.close())
  db.pragma('foreign_keys = OFF')
  const asked = new Database(join(dir, databaseFile), db)
  const isSound = () => auditLedger(asked, fastVerifier).ok
  if (!isSound()) throw new Error('a sound ledger is not found sound')
  const unseen = new Map<string, number>()
  const ended = new Set<string>()
  let edits = 0
  const attempt = (edit: string, change: () => number) => {
    db.exec('SAVEPOINT edit')
    try {
      if (!isAllowed(change)) return
      edits++
      if (isSound()) unseen.set(edit, (unseen.get(edit) ?? 0) + 1)
    } catch (error) {
      ended.add(`${edit}: ${String(error)}`)
    } finally {
      db.exec('ROLLBACK TO edit; RELEASE edit')
    }
  }
  const tables = db
    .prepare<[], string>(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
    .pluck()
    .all()
  for (const table of tables.filter((name) => only === '' || only.split(',').includes(name))) {
    const columns = db.prepare<[], Column>(`PRAGMA table_info(${table})`).all()
    const keys = columns.filter(({ pk }) => pk > 0).map(({ name }) => name)
    const where = keys.map((name) => `${name} = ?`).join(' AND ')
    const rows = db.prepare<[], Record<string, unknown>>(`SELECT * FROM ${table}`).all()
    // Of many rows a third says as much.
    for (const row of rows.filter((_, at) => rows.length < 20 || at % 3 === 0)) {
      const at = keys.map((name) => row[name])
      for (const { name, type } of columns) {
        const set = db.prepare<unknown[], unknown>(`UPDATE ${table} SET ${name} = ? WHERE ${where}`)
        attempt(`${table}.${name}`, () => set.run(editOf(type, row[name]), ...at).changes)
        if (row[name] !== null) attempt(`${table}.${name} NULL`, () => set.run(null, ...at).changes)
      }
      attempt(
        `${table} DELETE`,
        () => db.prepare<unknown[], unknown>(`DELETE FROM ${table} WHERE ${where}`).run(...at).changes,
      )
    }
  }
  // One row may be such a one; the others of its table must be noticed.
  const once = /^(record\.booked_wh NULL|certificate DELETE|balance|seal DELETE|final_place\.)/
  const isOften = ([edit, count]: readonly [string, number]) => count > 1 && once.test(edit)
  const surprises = [...unseen].filter((each) => !isExcused(each[0]) || isOften(each))
  process.stdout.write(
    `${edits} edits, ${[...unseen.values()].reduce((sum, count) => sum + count, 0)} of them unseen\n`,
  )
  for (const [edit, count] of surprises) process.stdout.write(`unseen: ${edit}, ${count} times\n`)
  for (const edit of ended) process.stdout.write(`verify ended without an answer: ${edit}\n`)
  if (surprises.length + ended.size > 0) process.exitCode = 1
} finally {
  for (const close of closing.toReversed()) close()
  rmSync(dir, { recursive: true, force: true })
}
