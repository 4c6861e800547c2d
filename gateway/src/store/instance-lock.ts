import { join } from 'node:path'
import { WattError } from '@wattline/protocol'
import Database from 'better-sqlite3'
import { makePrivateFolder } from './atomic-file.ts'
import { toStorageError } from './storage-errors.ts'

/** Held while a program may sign with the keys of a data folder. */
export interface InstanceLock {
  release(): void
}

/**
 * Makes sure that one program at a time signs from a data folder: two would tell two stories with one key. The lock
 * is the kernel's lock on a file, so that it ends with the process, however that ends.
 */
export function lockInstance(dataDir: string): InstanceLock {
  makePrivateFolder(dataDir)
  const path = join(dataDir, 'lock.db')
  try {
    const db = new Database(path, { timeout: 0 })
    try {
      db.exec('BEGIN EXCLUSIVE')
    } catch (error) {
      db.close()
      throw error
    }
    return { release: () => db.close() }
  } catch (error) {
    const translated = toStorageError(error, path)
    if (!(translated instanceof WattError) || translated.code !== 'storage/locked') throw translated
    throw new WattError('storage/locked', `${dataDir} is in use: another gateway runs with this data folder`, {
      cause: error,
    })
  }
}
