import { randomUUID } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { toStorageError } from './storage-errors.ts'

/** How a finished file takes its place: over an older one, or only where there is none. */
export type Placement = 'replace' | 'keep-existing'

/**
 * Writes a small file so that after a power cut it is there in full or not at all: written aside, synced,
 * put in place in one step, and the folder synced. Returns false where `keep-existing` found one.
 */
export function writeDurably(path: string, content: string, placement: Placement, mode = 0o600): boolean {
  const aside = join(dirname(path), `.${randomUUID()}.tmp`)
  try {
    writeSynced(aside, content, mode)
    if (placement === 'replace') renameSync(aside, path)
    else linkSync(aside, path)
    syncFolder(dirname(path))
    return true
  } catch (error) {
    if (isExisting(error)) return false
    throw toStorageError(error, path)
  } finally {
    rmSync(aside, { force: true }) // gone already after a rename
  }
}

function writeSynced(path: string, content: string, mode: number): void {
  const file = openSync(path, 'wx', mode)
  try {
    writeFileSync(file, content)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Makes a folder that only its owner may enter, and makes its name durable. */
export function makePrivateFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return
  mkdirSync(path, { recursive: true, mode: 0o700 })
  syncFolder(dirname(path))
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

function isExisting(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST'
}
