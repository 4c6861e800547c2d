import { closeSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import Database from 'better-sqlite3'
import { makeTempFolder, openRig } from '../../test/signing-rig.ts'
import { databasePath, openExistingStore, openStore } from './database.ts'
import { lockInstance } from './instance-lock.ts'

test('a commit is durable: write-ahead log, synchronous=FULL, foreign keys', (t) => {
  const store = openStore(makeTempFolder(t.teardown))
  t.teardown(() => store.close())
  const state = ['journal_mode', 'synchronous', 'foreign_keys'].map((name) => store.db.pragma(name, { simple: true }))
  t.deepEqual(state, ['wal', 2, 1])
})

test('a data folder is made for its owner only', (t) => {
  const dataDir = join(makeTempFolder(t.teardown), 'deep', 'data')
  openStore(dataDir).close()
  t.is(statSync(dataDir).mode & 0o777, 0o700)
})

test('a transaction that throws leaves nothing', (t) => {
  const store = openStore(makeTempFolder(t.teardown))
  t.teardown(() => store.close())
  t.throws(() =>
    store.write(() => {
      store.db.prepare("INSERT INTO settings VALUES ('a', 'b')").run()
      throw new Error('power cut')
    }),
  )
  t.is(store.db.prepare('SELECT count(*) FROM settings').pluck().get(), 0)
})

test('whoever remembers what was written is told when it is undone, a part of it too', (t) => {
  const store = openStore(makeTempFolder(t.teardown))
  t.teardown(() => store.close())
  let undone = 0
  store.onUndo(() => undone++)
  const fail = () => {
    throw new Error('power cut')
  }
  store.write(() => {
    t.throws(() => store.write(fail))
    t.is(undone, 1)
  })
  t.throws(() => store.write(fail))
  t.is(undone, 2)
  store.write(() => {})
  t.is(undone, 2)
})

test('a database of a newer version is refused untouched', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  openStore(dataDir).close()
  const db = new Database(databasePath(dataDir))
  db.pragma('user_version = 99')
  db.close()
  t.like(
    t.throws(() => openStore(dataDir)),
    { code: 'storage/newer' },
  )
  t.like(
    t.throws(() => openExistingStore(dataDir, 'read')),
    { code: 'storage/newer' },
  )
})

test('a file that is no database is told as such, with its name and the way out', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  writeFileSync(databasePath(dataDir), 'x'.repeat(8192))
  const error = t.throws(() => openStore(dataDir))
  t.like(error, { code: 'storage/corrupt' })
  t.regex(error?.message ?? '', /gateway\.db.*wattline-gateway recover/s)
})

test('damaged pages are found at the start', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  for (let n = 1; n <= 60; n++) rig.sign(n)
  rig.session.store.db.pragma('wal_checkpoint(TRUNCATE)')
  rig.close()
  overwrite(databasePath(rig.dataDir), 0.6)
  const error = t.throws(() => openStore(rig.dataDir))
  t.like(error, { code: 'storage/corrupt' })
  t.regex(error?.message ?? '', /gateway\.db.*wattline-gateway recover/s)
})

/** Overwrites the page that stands at this share of the file. */
function overwrite(path: string, share: number): void {
  const pages = Math.floor(statSync(path).size / 4096)
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, Math.floor(pages * share) * 4096)
  closeSync(file)
}

test('one gateway at a time signs from a data folder', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const first = lockInstance(dataDir)
  t.like(
    t.throws(() => lockInstance(dataDir)),
    { code: 'storage/locked' },
  )
  first.release()
  lockInstance(dataDir).release()
})

test('commands read beside a running gateway, and see what it commits', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  rig.sign(1)
  const reader = openExistingStore(rig.dataDir, 'read')
  t.teardown(() => reader.close())
  const count = () => reader.db.prepare('SELECT count(*) FROM records').pluck().get()
  t.is(count(), 1)
  rig.sign(2)
  t.is(count(), 2)
  t.throws(() => reader.db.prepare('DELETE FROM records').run())
})

test('a gateway that has never run is told as such', (t) => {
  t.regex(t.throws(() => openExistingStore(makeTempFolder(t.teardown), 'read'))?.message ?? '', /never run/)
})

test('a full disk is storage/full, leaves nothing half done, and is over when there is room again', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  const { db } = rig.session.store
  rig.sign(1)
  // SQLite enforces this limit where it would ask the disk for another page.
  db.pragma(`max_page_count = ${Number(db.pragma('page_count', { simple: true }))}`)
  let signed = 1
  const error = t.throws(() => {
    for (;;) rig.sign(++signed)
  })
  t.like(error, { code: 'storage/full', retryable: true })
  const before = rig.texts().length
  t.is(before, signed - 1)
  t.is(db.pragma('quick_check', { simple: true }), 'ok')
  db.pragma('max_page_count = 1000000')
  t.is(rig.sign(1000).sequence, before + 1)
})
