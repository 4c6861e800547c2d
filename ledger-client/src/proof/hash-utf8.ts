import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'

/** SHA-256 of a text in UTF-8, in lower-case hex: how journal entries are named (SPEC-86). Runs in a browser too. */
export function hashUtf8(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)))
}
