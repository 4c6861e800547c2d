import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fromHex, makeSigner, type PublicKey, type Signer, WattError } from '@wattline/protocol'
import { readSecretFile, writeSecretFile } from './secret-file.ts'
import { pickSigner } from './verifiers/pick.ts'

/** Loads the key that signs receipts and anchors, or makes it at the first start. Gateways trust the first one that they meet. */
export async function loadLedgerKey(dataDir: string): Promise<Signer> {
  const path = join(dataDir, 'ledger.key')
  if (!existsSync(path)) makeKeyFile(path)
  return pickSigner(readKeyFile(path))
}

/** Makes a secret key with the system's randomness, in a new file that only its owner may read. */
export function makeKeyFile(path: string): void {
  writeSecretFile(path, `${randomBytes(32).toString('hex')}\n`)
}

/** The ledger's public key, where its secret one is at hand: whoever checks a copy of the data has none. */
export function readLedgerPublicKey(dataDir: string): PublicKey | undefined {
  const path = join(dataDir, 'ledger.key')
  return existsSync(path) ? makeSigner(readKeyFile(path)).publicKey : undefined
}

/** Reads a secret key of 64 hex digits from a file that nobody else may read. */
export function readKeyFile(path: string): Uint8Array {
  const secret = fromHex(readSecretFile(path, 'key/unreadable').trim())
  if (secret === undefined || secret.length !== 32) {
    throw new WattError('key/unreadable', `${path}: 64 hex digits expected, got ${secret?.length ?? 'no'} bytes`)
  }
  makeSigner(secret) // refuses a number that is no key
  return secret
}
