import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { type ErrorCode, WattError } from '@wattline/protocol'

/**
 * Writes a secret into a new file that only its owner may read. The name appears with the whole text behind it or not
 * at all, also in a power cut; an existing file is never replaced.
 */
export function writeSecretFile(path: string, text: string): void {
  // Each process has a draft of its own, or one would put its name under what another has half written.
  const draft = `${path}.${process.pid}.new`
  rmSync(draft, { force: true })
  const file = openSync(draft, 'wx', 0o600)
  writeSync(file, text)
  fsyncSync(file)
  closeSync(file)
  try {
    linkSync(draft, path)
  } finally {
    rmSync(draft)
  }
  const folder = openSync(dirname(path), 'r')
  fsyncSync(folder)
  closeSync(folder)
}

/** Reads a secret from a file that nobody else may read. */
export function readSecretFile(path: string, code: ErrorCode): string {
  if (!existsSync(path)) throw new WattError(code, `${path}: there is no such file`)
  const stat = statSync(path)
  const mode = stat.mode & 0o777
  // What a shell hands over as a pipe has no mode of its own.
  if (stat.isFile() && (mode & 0o077) !== 0) {
    throw new WattError(code, `${path}: mode 0600 expected, others may read it (0${mode.toString(8)})`)
  }
  return readFileSync(path, 'utf8')
}
