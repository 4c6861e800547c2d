import { createPublicKey, verify } from 'node:crypto'
import { type ForeignVerdict, type ForeignVerifier, verifyForeignOcmf } from '@wattline/protocol'

// The gateway has the same: protocol/ knows no OpenSSL, and programs import nothing of each other.
const opensslVerifier: ForeignVerifier = {
  curveOf(publicKey) {
    try {
      const key = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' })
      return key.asymmetricKeyType === 'ec' ? key.asymmetricKeyDetails?.namedCurve : undefined
    } catch {
      return undefined // not DER, an unknown curve, or a point off the curve
    }
  },
  verify({ payload, signature, publicKey, hash }) {
    try {
      const key = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' })
      return verify(hash, Buffer.from(payload, 'utf8'), key, signature)
    } catch {
      return undefined // OpenSSL throws where r or s is out of range
    }
  },
}

/** Checks any published OCMF record against a public key (SPKI in hex or base64). Never throws. */
export function verifyForeignRecord(text: string, publicKey: string): ForeignVerdict {
  return verifyForeignOcmf(text, publicKey, opensslVerifier)
}
