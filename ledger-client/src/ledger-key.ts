import { randomBytes } from 'node:crypto'
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
import { join } from 'node:path'
import { fromHex, makeSigner, type PublicKey, type Signer, WattError } from '@wattline/protocol'
import { pickSigner } from './verifiers/pick.ts'

/** Loads the key that signs receipts and anchors, or makes it at the first start. Gateways trust the first one that they meet. */
export async function loadLedgerKey(dataDir: string): Promise<Signer> {
  const path = join(dataDir, 'ledger.key')
  if (!existsSync(path)) createKey(dataDir, path)
  return pickSigner(readKeyFile(path))
}

/** The ledger's public key, where its secret one is at hand: whoever checks a copy of the data has none. */
export function readLedgerPublicKey(dataDir: string): PublicKey | undefined {
  const path = join(dataDir, 'ledger.key')
  return existsSync(path) ? makeSigner(readKeyFile(path)).publicKey : undefined
}

/** Reads a secret key of 64 hex digits from a file that nobody else may read. */
export function readKeyFile(path: string): Uint8Array {
  if (!existsSync(path)) throw new WattError('key/unreadable', `${path}: there is no such file`)
  const mode = statSync(path).mode & 0o777
  if ((mode & 0o077) !== 0) {
    throw new WattError('key/unreadable', `${path}: mode 0600 expected, others may read it (0${mode.toString(8)})`)
  }
  const secret = fromHex(readFileSync(path, 'ascii').trim())
  if (secret === undefined || secret.length !== 32) {
    throw new WattError('key/unreadable', `${path}: 64 hex digits expected, got ${secret?.length ?? 'no'} bytes`)
  }
  makeSigner(secret) // refuses a number that is no key
  return secret
}

// The name appears with the whole key behind it or not at all, also in a power cut; an existing key is never replaced.
function createKey(dataDir: string, path: string): void {
  const draft = `${path}.new`
  rmSync(draft, { force: true })
  const file = openSync(draft, 'wx', 0o600)
  writeSync(file, `${randomBytes(32).toString('hex')}\n`)
  fsyncSync(file)
  closeSync(file)
  linkSync(draft, path)
  rmSync(draft)
  const folder = openSync(dataDir, 'r')
  fsyncSync(folder)
  closeSync(folder)
}
