import { parsePublicKey } from '@wattline/protocol'
import * as v from 'valibot'

// What several sections of gateway.yaml are made of.

export const pathShape = v.pipe(v.string(), v.nonEmpty('expected a path'))

/** A public key. */
export const spkiShape = v.pipe(
  v.string(),
  v.check((text) => {
    try {
      parsePublicKey(text)
      return true
    } catch {
      return false // told as a problem of this path
    }
  }, 'expected SPKI hex of an uncompressed secp256k1 key'),
)
