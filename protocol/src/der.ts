// ECDSA-Sig-Value of RFC 3279 §2.2.3 in the distinguished encoding of X.690 §8.3 and §10.

/** `r‖s`, 32 bytes each, big-endian: the compact form that travels in frames. */
export type CompactSignature = Uint8Array

/** Encodes a compact signature as DER. */
export function encodeDerSignature(signature: CompactSignature): Uint8Array {
  if (signature.length !== 64) throw new RangeError(`compact signature: 64 bytes expected, got ${signature.length}`)
  const r = encodeInteger(signature.subarray(0, 32))
  const s = encodeInteger(signature.subarray(32))
  return Uint8Array.of(0x30, r.length + s.length, ...r, ...s)
}

function encodeInteger(magnitude: Uint8Array): Uint8Array {
  let start = 0
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++
  const digits = magnitude.subarray(start)
  const padding = (digits[0] ?? 0) >= 0x80 ? [0] : []
  return Uint8Array.of(0x02, digits.length + padding.length, ...padding, ...digits)
}

/**
 * Decodes a DER signature, strictly: one encoding for one value. Returns undefined for anything else, as a
 * wrong signature is a normal outcome. `width` is the size of one number in bytes: 32 for 256-bit curves.
 */
export function decodeDerSignature(der: Uint8Array, width = 32): CompactSignature | undefined {
  if (der.length < 8 || der[0] !== 0x30 || der[1] !== der.length - 2) return undefined
  const r = decodeInteger(der, 2, width)
  if (r === undefined) return undefined
  const s = decodeInteger(der, r.end, width)
  if (s === undefined || s.end !== der.length) return undefined
  const signature = new Uint8Array(2 * width)
  signature.set(r.digits, width - r.digits.length)
  signature.set(s.digits, 2 * width - s.digits.length)
  return signature
}

function decodeInteger(der: Uint8Array, at: number, width: number): { digits: Uint8Array; end: number } | undefined {
  const length = der[at + 1]
  if (der[at] !== 0x02 || length === undefined || length === 0 || length > width + 1) return undefined
  const end = at + 2 + length
  if (end > der.length) return undefined
  const content = der.subarray(at + 2, end)
  const [first = 0, second = 0] = content
  if (first >= 0x80) return undefined // negative
  const padded = first === 0
  if (padded && length > 1 && second < 0x80) return undefined // more zeros than needed: not distinguished
  const digits = padded ? content.subarray(1) : content
  if (digits.length === 0 || digits.length > width) return undefined // zero is no ECDSA number
  return { digits, end }
}
