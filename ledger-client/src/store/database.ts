import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { WattError } from '@wattline/protocol'
import Sqlite from 'better-sqlite3'
import { migrations } from './schema.ts'

/** The file within the data directory that holds everything but the key. */
export const databaseFile = 'ledger.db'

export type Statement<Bind extends unknown[], Row> = Sqlite.Statement<Bind, Row>

/** How a database is opened. */
export interface OpenOptions {
  /** For commands that only look: nothing is created, migrated or changed. */
  readonly readonly?: boolean
  /** Checks the whole file first, which takes a while on a large one: when the ledger itself starts. */
  readonly check?: boolean
}

/**
 * The ledger's SQLite database. Hides the pragmas, the translation of SQLite's errors, and that a second process
 * (the command line) may write at any moment: whoever caches rows is told in time to read them again.
 */
export class Database {
  readonly path: string
  readonly #db: Sqlite.Database
  readonly #begin: Statement<[], unknown>
  readonly #commit: Statement<[], unknown>
  readonly #version: Statement<[], { data_version: number }>
  readonly #stale: (() => void)[] = []
  readonly #flush: (() => void)[] = []
  #seenVersion = -1

  constructor(path: string, db: Sqlite.Database) {
    this.path = path
    this.#db = db
    this.#begin = db.prepare('BEGIN IMMEDIATE')
    this.#commit = db.prepare('COMMIT')
    this.#version = db.prepare('PRAGMA data_version')
  }

  /** Prepares a statement whose integers are numbers: ids, times, counts. */
  prepare<Bind extends unknown[], Row>(sql: string): Statement<Bind, Row> {
    return this.#db.prepare<Bind, Row>(sql)
  }

  /** Prepares a statement whose integers are bigints: energy. */
  prepareWide<Bind extends unknown[], Row>(sql: string): Statement<Bind, Row> {
    return this.#db.prepare<Bind, Row>(sql).safeIntegers()
  }

  /** Registers what must be read again after a rollback or after another process has written. */
  onStale(forget: () => void): void {
    this.#stale.push(forget)
  }

  /** Registers what must be written before a commit. */
  onCommit(flush: () => void): void {
    this.#flush.push(flush)
  }

  /** Runs work in one transaction: all of it is durable when this returns, or none of it happened. */
  write<T>(work: () => T): T {
    try {
      this.#begin.run()
    } catch (error) {
      throw toStorageError(error, this.path)
    }
    try {
      this.noticeOthers()
      const result = work()
      for (const flush of this.#flush) flush()
      this.#commit.run()
      return result
    } catch (error) {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK')
      this.#forget()
      throw toStorageError(error, this.path)
    }
  }

  /** Runs work on one unchanging view of the data. */
  read<T>(work: () => T): T {
    try {
      return this.#db.transaction(work).deferred()
    } catch (error) {
      throw toStorageError(error, this.path)
    }
  }

  /** Whether another process has written since the last look; what was cached is then forgotten. */
  noticeOthers(): boolean {
    const version = this.#version.get()?.data_version ?? 0
    if (version === this.#seenVersion) return false
    this.#seenVersion = version
    this.#forget()
    return true
  }

  /** SQLite's own check of the file's structure: undefined, or the first problem. */
  quickCheck(): string | undefined {
    return quickCheck(this.#db, this.path)
  }

  close(): void {
    this.#db.close()
  }

  #forget(): void {
    for (const forget of this.#stale) forget()
  }
}

/** Opens the database in a data directory, brings its tables up to date and asserts that commits are durable. */
export function openDatabase(dataDir: string, options: OpenOptions = {}): Database {
  const path = join(dataDir, databaseFile)
  const readonly = options.readonly ?? false
  if (readonly && !existsSync(path)) throw new WattError('config/unreadable', `no ledger data in ${dataDir}`)
  try {
    if (!readonly) mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    const db = new Sqlite(path, { readonly, timeout: 10_000 })
    try {
      prepareConnection(db, path, options)
      return new Database(path, db)
    } catch (error) {
      db.close()
      throw error
    }
  } catch (error) {
    throw toStorageError(error, path)
  }
}

function prepareConnection(db: Sqlite.Database, path: string, options: OpenOptions): void {
  const version = db.pragma('user_version', { simple: true })
  if (typeof version !== 'number' || version > migrations.length) {
    const message = `${path}: version ${version} of the tables, this program knows up to ${migrations.length}`
    throw new WattError('storage/newer', message)
  }
  if (options.readonly === true) {
    if (version < migrations.length) throw new WattError('storage/newer', `${path}: the ledger must run once first`)
    return
  }
  const problem = options.check === true ? quickCheck(db, path) : undefined
  if (problem !== undefined) throw new WattError('storage/corrupt', `${path}: ${problem}`)
  db.pragma('journal_mode = WAL')
  // In WAL mode SQLite builds may default to NORMAL, which loses acknowledged rows in a power cut.
  db.pragma('synchronous = FULL')
  if (db.pragma('synchronous', { simple: true }) !== 2 || db.pragma('journal_mode', { simple: true }) !== 'wal') {
    throw new WattError('storage/corrupt', `${path}: WAL with synchronous=FULL cannot be set`)
  }
  db.pragma('foreign_keys = ON')
  db.pragma('wal_autocheckpoint = 4000')
  migrate(db)
}

function migrate(db: Sqlite.Database): void {
  db.transaction(() => {
    const version = db.pragma('user_version', { simple: true })
    const done = typeof version === 'number' ? version : 0
    for (const sql of migrations.slice(done)) db.exec(sql)
    db.pragma(`user_version = ${migrations.length}`)
  }).immediate()
}

function quickCheck(db: Sqlite.Database, path: string): string | undefined {
  try {
    const answer = db.pragma('quick_check(1)', { simple: true })
    return answer === 'ok' ? undefined : String(answer)
  } catch (error) {
    throw toStorageError(error, path)
  }
}

// SQLite's result codes (sqlite.org/rescode.html) by what can be done about them.
const storageCodes = [
  [/^SQLITE_(FULL|IOERR_(WRITE|FSYNC|SHMSIZE|SHMMAP|TRUNCATE))/, 'storage/full', true],
  [/^SQLITE_(BUSY|LOCKED|CANTOPEN|READONLY|PERM)/, 'storage/locked', true],
  [/^SQLITE_(CORRUPT|NOTADB|FORMAT|IOERR)/, 'storage/corrupt', false],
] as const

// The folder itself: who may write there, and whether there is room.
const folderCodes: Readonly<Record<string, 'storage/full' | 'storage/locked'>> = {
  EACCES: 'storage/locked',
  EPERM: 'storage/locked',
  EROFS: 'storage/locked',
  ENOTDIR: 'storage/locked',
  ENOSPC: 'storage/full',
}

/** Translates SQLite's errors, and those of the folder, to ours; anything else passes through. */
export function toStorageError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || error instanceof WattError) return error
  const name = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const known = error instanceof Sqlite.SqliteError ? storageCodes.find(([pattern]) => pattern.test(name)) : undefined
  const code = known?.[1] ?? folderCodes[name]
  if (code === undefined) return error // a constraint or a wrong statement: a bug of ours
  const retryable = known?.[2] ?? true
  return new WattError(code, `${path}: ${error.message} (${name})`, { retryable, cause: error })
}

/**
 * Takes the data directory for one running program of a kind. The lock is the operating system's own, held through a database
 * that has no other use: it goes with the process, however that ends.
 */
export function lockDataDir(dataDir: string, kind: 'ledger' | 'relay' = 'ledger'): { release(): void } {
  const path = join(dataDir, `${kind}.lock`)
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    const db = new Sqlite(path, { timeout: 0 })
    try {
      db.pragma('locking_mode = EXCLUSIVE')
      db.exec('BEGIN EXCLUSIVE')
      return { release: () => db.close() }
    } catch (error) {
      db.close()
      throw error
    }
  } catch (cause) {
    const busy = cause instanceof Sqlite.SqliteError && cause.code.startsWith('SQLITE_BUSY')
    if (busy) throw new WattError('storage/locked', `${dataDir}: another ${kind} is running on this data`, { cause })
    throw toStorageError(cause, path)
  }
}
