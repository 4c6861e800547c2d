import { closeSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { WattError } from '@wattline/protocol'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { Device, openRig, tempDir } from '../../test/rig.ts'
import { databaseFile, lockDataDir, openDatabase } from './database.ts'

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'nothing'
  } catch (error) {
    return error instanceof WattError ? `${error.code}${error.retryable ? ' retryable' : ''}` : String(error)
  }
}

test('commits are durable: WAL with synchronous=FULL', (t) => {
  const dataDir = tempDir(t)
  const db = openDatabase(dataDir)
  t.is(db.prepare<[], { synchronous: number }>('PRAGMA synchronous').get()?.synchronous, 2)
  t.is(db.prepare<[], { journal_mode: string }>('PRAGMA journal_mode').get()?.journal_mode, 'wal')
  t.is(statSync(dataDir).mode & 0o077, 0)
  db.close()
})

test('a database of a newer version, a damaged one and a locked one are told apart', (t) => {
  const newer = tempDir(t)
  openDatabase(newer).close()
  const raw = new Sqlite(join(newer, databaseFile))
  raw.pragma('user_version = 99')
  raw.close()
  t.is(
    codeOf(() => openDatabase(newer)),
    'storage/newer',
  )

  const garbage = tempDir(t)
  writeFileSync(join(garbage, databaseFile), 'no database at all, but long enough to be taken for one'.repeat(100))
  t.is(
    codeOf(() => openDatabase(garbage)),
    'storage/corrupt',
  )

  const damaged = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  damaged.engine.ingest([
    roof.certificateMessage(),
    ...Array.from({ length: 100 }, (_, n) => roof.read({ export: BigInt(n) })),
  ])
  damaged.engine.db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').all()
  const file = openSync(join(damaged.dataDir, databaseFile), 'r+')
  writeSync(file, Buffer.alloc(4096 * 8, 0xa5), 0, 4096 * 8, 4096 * 20)
  closeSync(file)
  t.is(
    codeOf(() => openDatabase(damaged.dataDir, { check: true })),
    'storage/corrupt',
  )

  t.is(
    codeOf(() => openDatabase(join(newer, 'nowhere'), { readonly: true })),
    'config/unreadable',
  )
})

test('a data directory has one ledger at a time', (t) => {
  const dataDir = tempDir(t)
  const lock = lockDataDir(dataDir)
  t.is(
    codeOf(() => lockDataDir(dataDir)),
    'storage/locked',
  )
  lock.release()
  lockDataDir(dataDir).release()
  writeFileSync(join(dataDir, 'file'), '')
  t.is(
    codeOf(() => lockDataDir(join(dataDir, 'file', 'below'))),
    'storage/locked retryable',
  )
})

test('a full disk is retryable, changes nothing, and is over when there is room', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n })])
  const pages = engine.db.prepare<[], { page_count: number }>('PRAGMA page_count').get()?.page_count ?? 0
  engine.db.prepare(`PRAGMA max_page_count = ${pages}`).get()
  const readings = Array.from({ length: 200 }, (_, n) => roof.read({ export: BigInt(n + 2) }))
  t.is(
    codeOf(() => engine.ingest(readings)),
    'storage/full retryable',
  )
  t.is(engine.registry.get(roof.id)?.head?.sequence, 1)
  engine.db.prepare('PRAGMA max_page_count = 1000000').get()
  t.is(engine.ingest(readings).accepted, 200)
  t.is(engine.registry.get(roof.id)?.mintedWh, 200n)
})

test('what another process writes is noticed before the next transaction', (t) => {
  const { engine, dataDir } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n })])
  const other = openRig(t, { dataDir }).engine
  const { id, terms } = other.registry.get(roof.id)!
  other.db.write(() =>
    other.enrolment.enrol({ point: id, key: roof.signer.publicKey, terms: { ...terms, owner: 'bob' } }),
  )
  engine.ingest([roof.read({ export: 5n })])
  const owners = engine.db
    .prepare<[], { account: string }>("SELECT account FROM balance WHERE account LIKE 'owner:%'")
    .all()
  t.deepEqual(owners, [{ account: 'owner:bob' }])
})
