import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fromHex, type MeterId, makeSigner, type Signer, toUpperHex, WattError } from '@wattline/protocol'
import { makePrivateFolder, writeDurably } from '../store/atomic-file.ts'

/** Where the secrets of a gateway lie. */
export function keyFolder(dataDir: string): string {
  return join(dataDir, 'keys')
}

/** `next` is a key that has been made and not taken its place yet. */
export type KeyStage = 'current' | 'next'

function keyPath(dataDir: string, meterId: MeterId, stage: KeyStage = 'current'): string {
  return join(keyFolder(dataDir), stage === 'current' ? `${meterId}.key` : `${meterId}.key.next`)
}

/** Reads the key of one metering point, or undefined where none was made yet. */
export function loadDeviceKey(dataDir: string, meterId: MeterId, stage?: KeyStage): Signer | undefined {
  const path = keyPath(dataDir, meterId, stage)
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined
  closeFolder(keyFolder(dataDir))
  checkPrivate(path, 0o600)
  const secret = fromHex(readSecret(path))
  const signer = secret === undefined ? undefined : trySecret(secret)
  if (signer === undefined) {
    throw unreadable(path, 'is damaged: 64 hex digits of a key expected. Put it back from a backup of this file')
  }
  return signer
}

/** Reads the key of one metering point and makes it where there is none. A key is never overwritten. */
export function ensureDeviceKey(dataDir: string, meterId: MeterId, stage?: KeyStage): Signer {
  const existing = loadDeviceKey(dataDir, meterId, stage)
  if (existing !== undefined) return existing
  makePrivateFolder(keyFolder(dataDir))
  closeFolder(keyFolder(dataDir))
  writeDurably(keyPath(dataDir, meterId, stage), `${toUpperHex(makeSecret())}\n`, 'keep-existing')
  // Read back what is on the disk: only that key is the metering point's, whoever wrote it.
  const made = loadDeviceKey(dataDir, meterId, stage)
  if (made === undefined) throw unreadable(keyPath(dataDir, meterId, stage), 'vanished while it was being made')
  return made
}

/** Puts the next key in the place of the current one, which is gone then. */
export function promoteNextKey(dataDir: string, meterId: MeterId): void {
  const next = keyPath(dataDir, meterId, 'next')
  const secret = readSecret(next)
  // Replaced in one step, and only then is the other name taken away: a cut in between does this again.
  writeDurably(keyPath(dataDir, meterId), `${secret}\n`, 'replace')
  rmSync(next)
}

// Not below the curve's order happens once in 2^128 times; then another is taken.
function makeSecret(): Uint8Array {
  for (;;) {
    const secret = randomBytes(32)
    if (trySecret(secret) !== undefined) return secret
  }
}

function trySecret(secret: Uint8Array): Signer | undefined {
  try {
    return makeSigner(secret)
  } catch {
    return undefined // not a number between 1 and the curve's order, in 32 bytes
  }
}

function readSecret(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch (cause) {
    throw unreadable(path, 'cannot be read', cause)
  }
}

// Whoever restores a backup may open the folder by it. No key was readable for that, so it is closed again.
function closeFolder(path: string): void {
  if ((statSync(path).mode & 0o077) === 0) return
  try {
    chmodSync(path, 0o700)
  } catch (cause) {
    throw unreadable(path, 'lets others in, and cannot be closed to them', cause)
  }
}

/** Throws where others may read a file. */
export function checkPrivate(path: string, expected: number): void {
  const mode = statSync(path).mode & 0o777
  if ((mode & ~expected) !== 0) {
    const [is, want] = [mode, expected].map((bits) => bits.toString(8).padStart(4, '0'))
    throw unreadable(path, `has mode ${is}: others may have read the key. If not, run: chmod ${want} ${path}`)
  }
}

function unreadable(path: string, problem: string, cause?: unknown): WattError {
  return new WattError('key/unreadable', `${path} ${problem}`, { cause })
}
