import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { formatPublicKey, type PublicKey, type SignatureVerifier, samePublicKey } from '@wattline/protocol'

/**
 * Verifies with OpenSSL, about seven times as fast as the reference. Remembers the last key: a gateway listens to one
 * ledger, and parsing a key costs more than verifying with it.
 */
export function makeOpensslVerifier(): SignatureVerifier {
  let last: { readonly publicKey: PublicKey; readonly key: KeyObject } | undefined
  const parse = (publicKey: PublicKey): KeyObject => {
    if (last === undefined || !samePublicKey(last.publicKey, publicKey)) {
      const spki = Buffer.from(formatPublicKey(publicKey), 'hex')
      last = { publicKey, key: createPublicKey({ key: spki, format: 'der', type: 'spki' }) }
    }
    return last.key
  }
  return {
    name: 'node',
    verify(payload, signature, publicKey) {
      if (signature.length !== 64) return false
      try {
        return verify('sha256', payload, { key: parse(publicKey), dsaEncoding: 'ieee-p1363' }, signature)
      } catch {
        return false // OpenSSL throws for numbers out of range and points off the curve; they are simply not valid
      }
    },
  }
}
