import { createPublicKey, type KeyObject, verify } from 'node:crypto'

/** What a check of another maker's record says. */
export type ForeignVerdict =
  | { readonly verdict: 'valid'; readonly curve: string }
  | { readonly verdict: 'invalid'; readonly reason: string }

// The values of SA (OCMF, signature section), and OpenSSL's names for the same curves.
const algorithms: Readonly<Record<string, { curve: string; hash: string }>> = {
  'ECDSA-secp192k1-SHA256': { curve: 'secp192k1', hash: 'sha256' },
  'ECDSA-secp192r1-SHA256': { curve: 'prime192v1', hash: 'sha256' },
  'ECDSA-secp256k1-SHA256': { curve: 'secp256k1', hash: 'sha256' },
  'ECDSA-secp256r1-SHA256': { curve: 'prime256v1', hash: 'sha256' },
  'ECDSA-secp384r1-SHA256': { curve: 'secp384r1', hash: 'sha256' },
  'ECDSA-secp521r1-SHA256': { curve: 'secp521r1', hash: 'sha256' },
  'ECDSA-brainpool256r1-SHA256': { curve: 'brainpoolP256r1', hash: 'sha256' },
  'ECDSA-brainpoolP256r1-SHA256': { curve: 'brainpoolP256r1', hash: 'sha256' },
  'ECDSA-brainpool384r1-SHA256': { curve: 'brainpoolP384r1', hash: 'sha256' },
  'ECDSA-brainpoolP384r1-SHA256': { curve: 'brainpoolP384r1', hash: 'sha256' },
}
// The algorithm that OCMF names for a record without SA.
const defaultAlgorithm = 'ECDSA-secp256r1-SHA256'

/** Checks any published OCMF record against a public key (SPKI in hex or base64). Never throws. */
export function verifyForeignRecord(text: string, publicKey: string): ForeignVerdict {
  const sections = splitSections(text.trim())
  if (sections === undefined) return invalid('three sections OCMF|payload|signature expected')
  const signature = readSignature(sections.signature)
  if ('reason' in signature) return invalid(signature.reason)
  if (!isJsonObject(sections.payload)) return invalid('the payload is no JSON object')
  const key = readKey(publicKey)
  if (key === undefined) return invalid('the public key is no SPKI in hex or base64')
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (curve !== signature.curve) return invalid(`the key is on ${curve}, the record says ${signature.curve}`)
  try {
    const ok = verify(signature.hash, Buffer.from(sections.payload, 'utf8'), key, signature.bytes)
    return ok ? { verdict: 'valid', curve } : invalid('the signature does not fit the payload and the key')
  } catch {
    return invalid('the signature cannot be evaluated') // OpenSSL throws where r or s is out of range
  }
}

function invalid(reason: string): ForeignVerdict {
  return { verdict: 'invalid', reason }
}

// The payload may hold a bar inside a text, the signature section never does: the last bar separates them.
function splitSections(text: string): { payload: string; signature: string } | undefined {
  const last = text.lastIndexOf('|')
  if (!text.startsWith('OCMF|') || last <= 'OCMF|'.length) return undefined
  return { payload: text.slice('OCMF|'.length, last), signature: text.slice(last + 1) }
}

type SignatureFields = { readonly curve: string; readonly hash: string; readonly bytes: Buffer }

function readSignature(section: string): SignatureFields | { readonly reason: string } {
  const fields = parseJson(section)
  if (typeof fields !== 'object' || fields === null) return { reason: 'the signature section is no JSON object' }
  const field = (name: string, fallback: string): unknown => Reflect.get(fields, name) ?? fallback
  const name = field('SA', defaultAlgorithm)
  const algorithm = typeof name === 'string' ? algorithms[name] : undefined
  if (algorithm === undefined) return { reason: `SA: unknown algorithm ${JSON.stringify(name)}` }
  const encoding = field('SE', 'hex')
  const data = field('SD', '')
  const mime = field('SM', 'application/x-der')
  if (mime !== 'application/x-der') return { reason: `SM: application/x-der expected, got ${JSON.stringify(mime)}` }
  const bytes = typeof data === 'string' ? readBytes(data, encoding) : undefined
  return bytes === undefined ? { reason: 'SD: a DER signature in hex or base64 expected' } : { ...algorithm, bytes }
}

function readBytes(text: string, encoding: unknown): Buffer | undefined {
  const isHex = text.length % 2 === 0 && /^[0-9A-Fa-f]+$/.test(text)
  if (encoding === 'hex') return isHex ? Buffer.from(text, 'hex') : undefined
  if (encoding === 'base64') return isBase64(text) ? Buffer.from(text, 'base64') : undefined
  return undefined
}

function isBase64(text: string): boolean {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text)
}

function readKey(text: string): KeyObject | undefined {
  const compact = text.replace(/\s/g, '')
  const der = readBytes(compact, 'hex') ?? readBytes(compact, 'base64')
  if (der === undefined) return undefined
  try {
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' })
    return key.asymmetricKeyType === 'ec' ? key : undefined
  } catch {
    return undefined // not DER, an unknown curve, or a point off the curve
  }
}

function isJsonObject(text: string): boolean {
  const value = parseJson(text)
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
