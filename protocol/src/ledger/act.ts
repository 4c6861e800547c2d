import * as v from 'valibot'
import { formatPublicKey, type PublicKey, parsePublicKey, type SignatureVerifier, type Signer } from '../attestation.ts'
import { decodeWith, integerBetween } from '../decode.ts'
import { isSignedBy, parseDocument, signDocument } from '../document.ts'
import { WattError } from '../errors.ts'

// SPEC-157. What an operator does on nobody else's word is signed with a key of the operator: the entry's hash covers
// its content and everything that was booked before it, so a signature stands for one entry at one place.

/** An operator's signature under one entry of the journal. */
export interface OperatorAct {
  readonly key: PublicKey
  /** The entry's number and hash. */
  readonly entry: number
  readonly hash: string
  readonly text: string
}

const shape = v.strictObject({
  v: v.literal(1),
  /** SPKI hex of the operator's key. */
  key: v.string(),
  entry: integerBetween(1, 2 ** 53 - 1),
  hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected 32 bytes in lower-case hex')),
})

/** Signs an entry of the journal as the operator's act. */
export function signAct({ entry, hash }: Pick<OperatorAct, 'entry' | 'hash'>, signer: Signer): string {
  return signDocument('WATT-ACT', { v: 1, key: formatPublicKey(signer.publicKey), entry, hash }, signer)
}

/** Reads an act and checks that the key it names has signed it. Whose key that is, the reader must know. */
export function parseAct(text: string, verifier?: SignatureVerifier): OperatorAct {
  const document = parseDocument('WATT-ACT', text, 'operator/unsigned')
  const { key: spki, entry, hash } = decodeWith(shape, document.content, 'act', 'operator/unsigned')
  const key = parsePublicKey(spki)
  if (!isSignedBy(document, key, verifier)) {
    throw new WattError('operator/unsigned', `act of entry ${entry}: not signed by the key it names`)
  }
  return { key, entry, hash, text }
}
