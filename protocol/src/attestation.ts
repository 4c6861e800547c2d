import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import * as secp256k1 from '@noble/secp256k1'
import { asciiToBytes, fromHex, hashText, sameBytes, toUpperHex } from './bytes.ts'
import type { CompactSignature } from './der.ts'
import { type ErrorCode, WattError } from './errors.ts'
import { formatOcmfPayload, formatOcmfText, type OcmfRecord, type ParsedOcmf, parseOcmfText } from './ocmf.ts'

// The synchronous functions of noble need to be told which hash to use.
secp256k1.hashes.sha256 = sha256
secp256k1.hashes.hmacSha256 = (key, message) => hmac(sha256, key, message)

/** An uncompressed point on secp256k1: 0x04, x, y; 65 bytes. */
export type PublicKey = Uint8Array

/** Signs for one metering point or one ledger. Whoever holds one can sign; nobody can read the key from it. */
export interface Signer {
  readonly publicKey: PublicKey
  /** ECDSA over SHA-256 of the payload, deterministic (RFC 6979), low-s. */
  sign(payload: Uint8Array): CompactSignature
}

/** Checks one signature. Pluggable: noble is the reference, faster ones must agree with it. */
export interface SignatureVerifier {
  readonly name: string
  /** Accepts high-s as well, as other makers' meters sign so. Never throws. */
  verify(payload: Uint8Array, signature: CompactSignature, publicKey: PublicKey): boolean
}

/** Makes a signer from a 32-byte secret key. */
export function makeSigner(secretKey: Uint8Array): Signer {
  if (!secp256k1.utils.isValidSecretKey(secretKey)) {
    throw new WattError('key/unreadable', `a secp256k1 secret key of 32 bytes expected, got ${secretKey.length} bytes`)
  }
  const key = secretKey.slice()
  return {
    publicKey: secp256k1.getPublicKey(key, false),
    sign: (payload) => secp256k1.sign(sha256(payload), key, { prehash: false }),
  }
}

/** The reference verifier. */
export const nobleVerifier: SignatureVerifier = {
  name: 'noble',
  verify(payload, signature, publicKey) {
    try {
      return secp256k1.verify(signature, sha256(payload), publicKey, { prehash: false, lowS: false })
    } catch {
      return false // a signature or key that is no number on the curve is simply not valid
    }
  },
}

const curveOrder = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/** Whether `s` lies in the lower half, as every signature of ours does. */
export function isLowS(signature: CompactSignature): boolean {
  return BigInt(`0x${toUpperHex(signature.subarray(32))}`) <= curveOrder / 2n
}

/** The same signature with `s` in the lower half: what `ecrecover` takes. */
export function toLowS(signature: CompactSignature): CompactSignature {
  if (isLowS(signature)) return signature
  const s = curveOrder - BigInt(`0x${toUpperHex(signature.subarray(32))}`)
  const low = signature.slice()
  low.set(fromHex(s.toString(16).padStart(64, '0')) ?? [], 32)
  return low
}

// SubjectPublicKeyInfo (RFC 5480 §2) for id-ecPublicKey, secp256k1, an uncompressed point.
const spkiPrefix = '3056301006072A8648CE3D020106052B8104000A034200'

/** The published form of a key: SPKI in upper-case hex. */
export function formatPublicKey(key: PublicKey): string {
  return spkiPrefix + toUpperHex(key)
}

/** Parses SPKI hex of an uncompressed secp256k1 point that lies on the curve. */
export function parsePublicKey(spki: string): PublicKey {
  const upper = spki.toUpperCase()
  const key = upper.startsWith(spkiPrefix) ? fromHex(upper.slice(spkiPrefix.length)) : undefined
  if (key === undefined || key[0] !== 4 || !secp256k1.utils.isValidPublicKey(key)) {
    throw new WattError(
      'key/unreadable',
      `SPKI hex of an uncompressed secp256k1 key expected, got '${spki.slice(0, 200)}'`,
    )
  }
  return key
}

/** A signed record: the text that is stored and sent, and its name in the chain. */
export interface SignedRecord {
  readonly text: string
  readonly payload: string
  readonly hash: string
  readonly signature: CompactSignature
}

/** Signs one record. The bytes that come out are stored and never made again. */
export function signRecord(record: OcmfRecord, signer: Signer): SignedRecord {
  const payload = formatOcmfPayload(record)
  const signature = signer.sign(asciiToBytes(payload))
  return { text: formatOcmfText(payload, signature), payload, hash: hashText(payload), signature }
}

/** What a check of one record says. Refusing is a normal outcome, not an exception. */
export type Verdict =
  | { readonly ok: true; readonly parsed: ParsedOcmf }
  | { readonly ok: false; readonly code: ErrorCode; readonly message: string }

/** Checks one text of ours against the key of its metering point. */
export function verifyRecord(text: string, publicKey: PublicKey, verifier: SignatureVerifier = nobleVerifier): Verdict {
  let parsed: ParsedOcmf
  try {
    parsed = parseOcmfText(text)
  } catch (error) {
    if (error instanceof WattError) return { ok: false, code: error.code, message: error.message }
    throw error
  }
  return verifyParsed(parsed, publicKey, verifier)
}

/** Checks the signature of a record that is already parsed. */
export function verifyParsed(parsed: ParsedOcmf, publicKey: PublicKey, verifier: SignatureVerifier): Verdict {
  const place = `record ${parsed.record.epoch}/${parsed.record.sequence} of '${parsed.record.template.pointText}'`
  if (!isLowS(parsed.signature)) return { ok: false, code: 'record/malformed', message: `${place}: SD: low-s expected` }
  if (!verifier.verify(asciiToBytes(parsed.payload), parsed.signature, publicKey)) {
    return {
      ok: false,
      code: 'record/bad-signature',
      message: `${place}: not signed by the key of this metering point`,
    }
  }
  return { ok: true, parsed }
}

/** Whether two keys are the same. */
export function samePublicKey(a: PublicKey, b: PublicKey): boolean {
  return sameBytes(a, b)
}
