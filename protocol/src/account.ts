import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { type PublicKey, parsePublicKey } from './attestation.ts'
import { asciiToBytes } from './bytes.ts'
import { isDriverAccount } from './driver.ts'
import { WattError } from './errors.ts'

// SPEC-150. A wallet's account is named by its key, as on every EVM chain, so one key holds WATT at both.

/** The name of a key: `0x` and 40 hex digits, in the one spelling that EIP-55 gives them. */
export type Address = string & { readonly __brand: 'Address' }

const looksLikeAddress = /^0x[0-9a-f]{40}$/i

/** The address of an uncompressed public key: the last 20 bytes of Keccak-256 over x and y. */
export function addressOf(key: PublicKey): Address {
  return spell(bytesToHex(keccak_256(key.subarray(1)).subarray(12)))
}

/** The address of a key that is given as SPKI in hex. */
export function addressOfSpki(spki: string): Address {
  return addressOf(parsePublicKey(spki))
}

// EIP-55: a letter is upper-case where the hash of the lower-case digits has a nibble of 8 or more at its place.
function spell(digits: string): Address {
  const hash = bytesToHex(keccak_256(asciiToBytes(digits)))
  const spelled = [...digits].map((digit, i) =>
    Number.parseInt(hash[i] ?? '0', 16) >= 8 ? digit.toUpperCase() : digit,
  )
  return `0x${spelled.join('')}` as Address
}

/** Whether a text is an address in its one spelling. */
export function isAddress(text: string): text is Address {
  return looksLikeAddress.test(text) && text === spell(text.slice(2).toLowerCase())
}

/** Reads an address; throws `account/invalid` where it is none, or where a letter is spelled otherwise: a typing error. */
export function parseAddress(text: string): Address {
  if (isAddress(text)) return text
  const problem = looksLikeAddress.test(text)
    ? 'its capitals are not those of EIP-55: mistyped?'
    : '0x and 40 hex digits expected'
  throw new WattError('account/invalid', `address '${text.slice(0, 80)}': ${problem}`)
}

/**
 * Whether a text names an account: an address in its one spelling, or a name that nobody could take for one. A second
 * spelling of one address would be a second account.
 */
export function isAccount(text: string): boolean {
  return isAddress(text) || (isDriverAccount(text) && !/^0x/i.test(text.trim()))
}
