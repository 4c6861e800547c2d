import { fromBase64, fromHex, hashText, toUpperHex } from './bytes.ts'

/** What a check of another maker's record says. */
export type ForeignVerdict =
  | { readonly verdict: 'valid'; readonly curve: string }
  | { readonly verdict: 'invalid'; readonly reason: string }

/** One signature of another maker. */
export interface ForeignSignature {
  /** Signed as UTF-8. */
  readonly payload: string
  /** DER. */
  readonly signature: Uint8Array
  /** SPKI in DER. */
  readonly publicKey: Uint8Array
  readonly hash: string
}

/** Whoever knows the curves that meters sign on. Never throws. */
export interface ForeignVerifier {
  /** OpenSSL's name of the curve that a key lies on; undefined where the bytes are no key on a curve. */
  curveOf(publicKey: Uint8Array): string | undefined
  /** Whether it fits; undefined where it cannot even be evaluated. */
  verify(signature: ForeignSignature): boolean | undefined
}

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
export function verifyForeignOcmf(text: string, publicKey: string, verifier: ForeignVerifier): ForeignVerdict {
  const parsed = parseForeign(text)
  if ('reason' in parsed) return invalid(parsed.reason)
  const { payload, signature } = parsed
  const key = readPublicKey(publicKey)
  const curve = key === undefined ? undefined : verifier.curveOf(key)
  if (key === undefined || curve === undefined) return invalid('the public key is no SPKI in hex or base64')
  if (curve !== signature.curve) return invalid(`the key is on ${curve}, the record says ${signature.curve}`)
  const fits = verifier.verify({ payload, signature: signature.bytes, publicKey: key, hash: signature.hash })
  if (fits === undefined) return invalid('the signature cannot be evaluated')
  return fits ? { verdict: 'valid', curve } : invalid('the signature does not fit the payload and the key')
}

/** Why a text can be true under no key at all; undefined where only a key can tell. */
export function findForeignFlaw(text: string): string | undefined {
  const parsed = parseForeign(text)
  return 'reason' in parsed ? parsed.reason : undefined
}

type Parsed = { readonly payload: string; readonly signature: SignatureFields } | { readonly reason: string }

function parseForeign(text: string): Parsed {
  const sections = splitSections(text.trim())
  if (sections === undefined) return { reason: 'three sections OCMF|payload|signature expected' }
  const { payload } = sections
  const signature = readSignature(sections.signature)
  if ('reason' in signature) return signature
  if (!isJsonObject(payload)) return { reason: 'the payload is no JSON object' }
  if (isBareHash(payload, signature.bytes)) return { reason: 'SD is a bare hash of the payload: anybody can make that' }
  return { payload, signature }
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

type SignatureFields = { readonly curve: string; readonly hash: string; readonly bytes: Uint8Array }

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

function readBytes(text: string, encoding: unknown): Uint8Array | undefined {
  if (text === '') return undefined
  if (encoding === 'hex') return fromHex(text)
  return encoding === 'base64' ? fromBase64(text) : undefined
}

// A hash has no DER around it and would be refused anyway; said as what it is, nobody looks for a wrong key.
function isBareHash(payload: string, signature: Uint8Array): boolean {
  if (signature.length !== 32 || !/^[\x20-\x7e]*$/.test(payload)) return false
  const hex = toUpperHex(signature).toLowerCase()
  return hex === hashText(payload) || hex === hashText(`OCMF|${payload}`)
}

/** Reads a public key as it is published: SPKI in hex or base64, white space in between. */
export function readPublicKey(text: string): Uint8Array | undefined {
  const compact = text.replace(/\s/g, '')
  return readBytes(compact, 'hex') ?? readBytes(compact, 'base64')
}

/** Which meter signed a record, as the record says: its serial number, or that of the gateway; empty where it says neither. */
export function foreignMeterOf(text: string): string {
  const payload = parseJson(splitSections(text.trim())?.payload ?? '')
  if (typeof payload !== 'object' || payload === null) return ''
  for (const name of ['MS', 'GS']) {
    const serial: unknown = Reflect.get(payload, name)
    if (typeof serial === 'string' && serial !== '') return serial.slice(0, 200)
  }
  return ''
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
