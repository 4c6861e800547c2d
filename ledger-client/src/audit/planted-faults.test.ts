import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { makeFullLedger } from '../../test/full-ledger.ts'
import { plantedBookings } from '../../test/planted-bookings.ts'
import { plantedFaults } from '../../test/planted-faults.ts'
import { fastVerifier, tempDir } from '../../test/rig.ts'
import { headFile } from '../head.ts'
import { Database, databaseFile, openDatabase } from '../store/database.ts'
import { type AuditOptions, auditLedger } from './audit.ts'
import { auditChains } from './chain-audit.ts'
import { readWitnesses } from './witness.ts'

const folders: (() => void)[] = []
const own = { teardown: (fn: () => void) => void folders.push(fn) }
test.after.always(() => {
  for (const remove of folders) remove()
})

const older = tempDir(own)
const dataDir = tempDir(own)
const records = makeFullLedger({
  dataDir,
  rounds: 40,
  fields: 3,
  after: (round, engine) => {
    if (round !== 35) return
    engine.db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()
    copyFileSync(join(engine.db.path), join(older, databaseFile))
  },
})
const witnesses = readWitnesses(dataDir, [], fastVerifier)

/** Audits with a fault that is gone again afterwards. */
function auditWith(
  plant: (db: Sqlite.Database) => void,
  { chains = false, ...options }: AuditOptions & { chains?: boolean } = {},
) {
  const path = join(dataDir, databaseFile)
  const db = new Sqlite(path)
  try {
    db.pragma('foreign_keys = OFF')
    db.exec('BEGIN')
    plant(db)
    if (chains) return auditChains(new Database(path, db), fastVerifier)
    return auditLedger(new Database(path, db), fastVerifier, { ...options, witnesses })
  } finally {
    db.close()
  }
}

test('SPEC-54: a sound ledger is sound, whether each signature is checked or the last of each epoch', (t) => {
  const byHead = auditWith(() => {})
  t.deepEqual(byHead.faults, [])
  // One of each point's epoch; the roof has two.
  t.deepEqual(byHead.checks, { signatures: 10, byHash: records - 10, witnesses: 1 })
  t.deepEqual(
    auditWith(() => {}, { first: true }),
    byHead,
  )
  const every = auditWith(() => {}, { everySignature: true })
  t.deepEqual(every.faults, [])
  t.deepEqual(every.checks, { signatures: records, byHash: 0, witnesses: 1 })
})

for (const { name, code, place, plant } of [...plantedFaults, ...plantedBookings]) {
  test(`SPEC-55: verify finds ${name}, and where, also when only the first fault is asked for`, (t) => {
    const { faults } = auditWith(plant)
    t.is(String(faults[0]?.code), code, JSON.stringify(faults.slice(0, 3)))
    t.regex(faults[0]?.place ?? '', place)
    t.deepEqual(auditWith(plant, { first: true }).faults, faults.slice(0, 1))
  })
}

test('SPEC-54: the quick check authenticates all records by one signature a range, and finds what is wrong with them', (t) => {
  t.like(
    auditWith(() => {}, { chains: true }),
    { ok: true, checks: { signatures: 10, byHash: records - 10 } },
  )
  const found = plantedFaults.flatMap(({ name, plant }) => (auditWith(plant, { chains: true }).ok ? [] : [name]))
  t.deepEqual(found, [
    'a flipped byte in a record',
    'another register, with a hash that fits it',
    'a removed record',
    'two swapped texts',
    'an inserted record that nobody signed',
    'a sequence that is there twice',
    'a cut tail of the records',
    'two swapped keys',
    'a removed epoch',
  ])
})

test('SPEC-53: a tail that is cut off cleanly is found by the head that the ledger has signed', (t) => {
  const db = openDatabase(older, { readonly: true })
  t.teardown(() => db.close())
  t.deepEqual(auditLedger(db, fastVerifier).faults, [], 'nothing inside the tables shows it')
  const { faults } = auditLedger(db, fastVerifier, { witnesses })
  t.deepEqual(
    faults.map(({ place, code }) => [place.replace(/\d+/, 'n'), String(code)]),
    [
      ['records', 'chain/missing'],
      ['entry n', 'journal/broken'],
    ],
  )
  t.regex(faults[0]?.message ?? '', new RegExp(`${headFile}:1: ${records} records, \\d+ are here`))
})
