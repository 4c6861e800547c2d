import { nobleVerifier, type PublicKey, type SignatureVerifier, type Signer } from './attestation.ts'
import { asciiToBytes, fromHex, hashText, toUpperHex } from './bytes.ts'
import { decodeDerSignature, encodeDerSignature } from './der.ts'
import { type ErrorCode, WattError } from './errors.ts'
import { signatureAlgorithm } from './ocmf.ts'

// SPEC-50. Certificates and receipts have the shape of an OCMF text with another word in front: the bytes between
// the bars are signed, kept and hashed as they are, and never built again.

/** The kinds of signed documents besides records. */
export type DocumentKind =
  | 'WATT-ACT'
  | 'WATT-ANCHOR'
  | 'WATT-ANSWER'
  | 'WATT-CERT'
  | 'WATT-CONSENT'
  | 'WATT-DRIVERS'
  | 'WATT-HEAD'
  | 'WATT-INQUIRY'
  | 'WATT-ORDER'
  | 'WATT-RECEIPT'
  | 'WATT-ROTATION'
  | 'WATT-STATEMENT'
  | 'WATT-TRANSFER'

/** A document taken apart; not yet checked against a key. */
export interface SignedDocument {
  readonly text: string
  readonly body: string
  /** SHA-256 of the body in lower-case hex. */
  readonly hash: string
  readonly signature: Uint8Array
  /** The body as JSON, still unknown. */
  readonly content: unknown
}

/** Signs a JSON value as a document. */
export function signDocument(kind: DocumentKind, content: object, signer: Signer): string {
  const body = toAsciiJson(content)
  const signature = toUpperHex(encodeDerSignature(signer.sign(asciiToBytes(body))))
  return `${kind}|${body}|{"SA":"${signatureAlgorithm}","SD":"${signature}"}`
}

// JSON with everything beyond ASCII, and the section separator, escaped.
function toAsciiJson(content: unknown): string {
  return JSON.stringify(content).replace(
    /[|\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

const sections = new RegExp(`^(WATT-[A-Z]+)\\|([^|]+)\\|\\{"SA":"${signatureAlgorithm}","SD":"([0-9A-F]{16,144})"\\}$`)

/** Takes a document apart, or throws `code` with the reason. */
export function parseDocument(kind: DocumentKind, text: string, code: ErrorCode): SignedDocument {
  const match = sections.exec(text)
  if (match === null || match[1] !== kind) {
    throw new WattError(code, `${kind}|body|signature expected, got '${text.slice(0, 80)}'`)
  }
  const body = match[2] ?? ''
  const signature = decodeDerSignature(fromHex(match[3] ?? '') ?? new Uint8Array())
  if (signature === undefined) throw new WattError(code, `${kind}: SD: a DER signature expected`)
  const content = readBody(body, kind, code)
  return { text, body, hash: hashText(body), signature, content }
}

// One way of writing: a key that stands there twice, or a number that others round otherwise, would say one thing here
// and another elsewhere, under one signature and one hash.
function readBody(body: string, kind: DocumentKind, code: ErrorCode): unknown {
  const shown = `'${body.slice(0, 80)}'`
  try {
    const content: unknown = JSON.parse(body)
    if (toAsciiJson(content) === body) return content
  } catch (cause) {
    // Also where it is nested too deep to be written.
    throw new WattError(code, `${kind}: the body is no JSON: ${shown}`, { cause })
  }
  throw new WattError(code, `${kind}: the body is not written in the one way of SPEC-50: ${shown}`)
}

/** Whether a document was signed with a key. */
export function isSignedBy(
  document: SignedDocument,
  publicKey: PublicKey,
  verifier: SignatureVerifier = nobleVerifier,
): boolean {
  return verifier.verify(asciiToBytes(document.body), document.signature, publicKey)
}
