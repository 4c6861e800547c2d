import { createPublicKey, verify } from 'node:crypto'
import type { ForeignVerifier } from '@wattline/protocol'

/**
 * Checks what stations' own meters sign, on every curve that OCMF names: OpenSSL knows them all. The ledger client has
 * the same, as protocol/ knows no OpenSSL, and programs import nothing of each other.
 */
export const foreignVerifier: ForeignVerifier = {
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
