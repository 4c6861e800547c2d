import { statSync } from 'node:fs'
import { join } from 'node:path'
import { WattError } from '@wattline/protocol'
import Database from 'better-sqlite3'
import { makePrivateFolder } from './atomic-file.ts'
import { migrations } from './migrations.ts'
import { toStorageError } from './storage-errors.ts'

/** The gateway's memory: one SQLite database, and the only way to it. */
export interface Store {
  readonly path: string
  readonly db: Database.Database
  /** A prepared statement, prepared once for each text. */
  sql(text: string): Database.Statement
  /** Runs work in one transaction that is on the disk, fsync and all, when this returns; all of it or nothing. */
  write<T>(work: () => T): T
  /**
   * Has this done once everything that is being written now is on the disk; never, where it is undone. Only while
   * `write` runs.
   */
  onCommit(done: () => void): void
  /**
   * From now on has this done whenever something that was written is undone, a part of a transaction included: whoever
   * remembers what he wrote must forget it.
   */
  onUndo(forget: () => void): void
  /** Runs work that only reads, on one state of the database. */
  read<T>(work: () => T): T
  close(): void
}

/** Where the database of a gateway lies. */
export function databasePath(dataDir: string): string {
  return join(dataDir, 'gateway.db')
}

/** Waits this long for another process, such as `accept-swap`, to finish its one small transaction. */
const busyTimeoutMs = 5_000
const largestLogBytes = 16_000_000

/** Opens the database for a running gateway: creates, checks and migrates it. */
export function openStore(dataDir: string): Store {
  makePrivateFolder(dataDir)
  const path = databasePath(dataDir)
  const store = open(path, false)
  try {
    return closingOnFailure(store, () => {
      setDurability(store)
      checkVersion(store)
      checkPages(store)
      migrate(store)
    })
  } catch (error) {
    throw withWayOut(error)
  }
}

/** Opens an existing database beside a gateway that may be running; nothing is created or migrated. */
export function openExistingStore(dataDir: string, access: 'read' | 'write'): Store {
  const path = databasePath(dataDir)
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    throw new WattError('storage/corrupt', `${path} does not exist: this gateway has never run`)
  }
  const store = open(path, access === 'read')
  return closingOnFailure(store, () => {
    if (access === 'write') setDurability(store)
    if (checkVersion(store) !== migrations.length) {
      throw new WattError(
        'storage/corrupt',
        `${path} was made by an older version: start the gateway once, it migrates`,
      )
    }
  })
}

function open(path: string, readonly: boolean): Store {
  const translated = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      throw toStorageError(error, path)
    }
  }
  const db = translated(() => new Database(path, { readonly, timeout: busyTimeoutMs }))
  const statements = new Map<string, Database.Statement>()
  const sql = (text: string): Database.Statement => {
    const statement = statements.get(text) ?? db.prepare(text)
    statements.set(text, statement)
    return statement
  }
  // Made once: the library builds four functions for each.
  const transaction = db.transaction((work: () => unknown) => work())
  const forgetting: (() => void)[] = []
  let due: (() => void)[] = []
  const write = <T>(work: () => T): T => {
    const before = due.length
    let result: T
    try {
      // IMMEDIATE: the write lock is taken first, so that nothing read in between can be out of date.
      result = translated(() => transaction.immediate(work) as T) // it gives what the work gave
    } catch (error) {
      for (const forget of forgetting) forget()
      due = due.slice(0, before) // inside another one this was a savepoint: what came before it stands
      throw error
    }
    if (db.inTransaction) return result
    const committed = due
    due = []
    for (const done of committed) done()
    return result
  }
  return {
    path,
    db,
    sql,
    write,
    onCommit: (done) => {
      if (!db.inTransaction) throw new Error('onCommit: nothing is being written')
      due.push(done)
    },
    onUndo: (forget) => void forgetting.push(forget),
    read: <T>(work: () => T) => translated(() => transaction.deferred(work) as T),
    close: () => db.close(),
  }
}

function closingOnFailure(store: Store, prepare: () => void): Store {
  try {
    prepare()
    return store
  } catch (error) {
    store.close()
    throw toStorageError(error, store.path)
  }
}

// What is damaged at the start stays damaged: the message says what a person can do.
function withWayOut(error: unknown): unknown {
  if (!(error instanceof WattError) || error.code !== 'storage/corrupt') return error
  const message = `${error.message}. Save what is readable with: wattline-gateway recover`
  return new WattError('storage/corrupt', message, { cause: error })
}

// better-sqlite3 is compiled with synchronous=NORMAL for WAL. With it a power cut takes the last commits away, and
// their sequence numbers would be signed again with other content. So it is set, and then asked for.
function setDurability({ db, path }: Store): void {
  db.pragma('journal_mode = WAL')
  db.pragma('synchronous = FULL')
  db.pragma('foreign_keys = ON')
  // While somebody reads, the log grows; afterwards it gives the room back.
  db.pragma(`journal_size_limit = ${largestLogBytes}`)
  const state = ['journal_mode', 'synchronous', 'foreign_keys'].map((name) => db.pragma(name, { simple: true }))
  if (state.join() !== 'wal,2,1') {
    throw new WattError('storage/corrupt', `${path}: journal_mode,synchronous,foreign_keys are ${state}, not wal,2,1`)
  }
}

function checkVersion({ db, path }: Store): number {
  const found = Number(db.pragma('user_version', { simple: true }))
  if (found > migrations.length) {
    throw new WattError(
      'storage/newer',
      `${path} has version ${found}, this program knows up to ${migrations.length}: it was written by a newer gateway`,
    )
  }
  return found
}

function checkPages({ db, path }: Store): void {
  const finding = String(db.pragma('quick_check(1)', { simple: true }))
  if (finding !== 'ok') throw new WattError('storage/corrupt', `${path}: ${finding}`)
}

function migrate(store: Store): void {
  for (let version = checkVersion(store); version < migrations.length; version++) {
    store.write(() => {
      store.db.exec(migrations[version] ?? '')
      store.db.pragma(`user_version = ${version + 1}`)
    })
  }
}
