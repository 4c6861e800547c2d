import {
  createHash,
  createPrivateKey,
  createPublicKey,
  constants as cryptoConstants,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import { isIP } from 'node:net'
import { CertificationRequest } from '@peculiar/asn1-csr'
import { AsnConvert, OctetString } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_clientAuth,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
} from '@peculiar/asn1-x509'

const oids = { commonName: '2.5.4.3', organisation: '2.5.4.10', ecdsaWithSha256: '1.2.840.10045.4.3.2' } as const

/** What a certificate is for. */
export type CertificateKind = 'authority' | 'server' | 'station'

/** What goes into a certificate. */
export interface CertificateFields {
  readonly kind: CertificateKind
  readonly commonName: string
  readonly organisation?: string
  readonly publicKey: KeyObject
  readonly notBefore: Date
  readonly notAfter: Date
  /** Names and addresses under which a server is reached. */
  readonly hosts?: readonly string[]
}

/** Who signs: an authority's certificate and its key on P-256. Without a certificate it signs itself. */
export interface Issuer {
  readonly certificate?: string
  readonly privateKey: KeyObject
}

/** Makes a certificate (RFC 5280), as PEM. */
export function issueCertificate(fields: CertificateFields, { certificate, privateKey }: Issuer): string {
  const subject = nameOf(fields.commonName, fields.organisation)
  const issuerKey = createPublicKey(privateKey)
  const signature = new AlgorithmIdentifier({ algorithm: oids.ecdsaWithSha256 })
  const tbs = new TBSCertificate({
    version: 2,
    // RFC 5280 §4.1.2.2: positive, at most 20 octets.
    serialNumber: toBuffer(Buffer.concat([Buffer.of(0x40), randomBytes(15)])),
    signature,
    issuer: certificate === undefined ? subject : parseCertificate(certificate).tbsCertificate.subject,
    validity: new Validity({ notBefore: fields.notBefore, notAfter: fields.notAfter }),
    subject,
    subjectPublicKeyInfo: AsnConvert.parse(spkiOf(fields.publicKey), SubjectPublicKeyInfo),
    extensions: extensionsOf(fields, issuerKey),
  })
  const raw = AsnConvert.serialize(tbs)
  const made = new Certificate({
    tbsCertificate: tbs,
    signatureAlgorithm: signature,
    signatureValue: toBuffer(sign('sha256', Buffer.from(raw), privateKey)),
  })
  return toPem('CERTIFICATE', Buffer.from(AsnConvert.serialize(made)))
}

/** What a request for a certificate (PKCS #10) says, or why nothing is made of it. */
export type ReadRequest =
  | { readonly ok: true; readonly commonName: string; readonly publicKey: KeyObject }
  | { readonly ok: false; readonly reason: string }

/** Reads a request, and checks that whoever made it has the key, and that the key is good enough. */
export function readCertificateRequest(text: string): ReadRequest {
  let request: CertificationRequest
  let publicKey: KeyObject
  try {
    request = AsnConvert.parse(fromPem(text), CertificationRequest)
    const { subjectPKInfo } = request.certificationRequestInfo
    publicKey = createPublicKey({ key: Buffer.from(AsnConvert.serialize(subjectPKInfo)), format: 'der', type: 'spki' })
  } catch {
    return refuse('the request cannot be read: PKCS #10 in PEM or Base64 expected')
  }
  const weak = findWeakness(publicKey)
  if (weak !== undefined) return refuse(weak)
  if (!hasOwnSignature(request, publicKey)) return refuse('the request is not signed with the key that it names')
  const commonName = commonNameOf(request.certificationRequestInfo.subject)
  if (commonName === undefined) return refuse('the request names nobody: a common name (CN) expected')
  return { ok: true, commonName, publicKey }
}

const curves: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1']
const leastRsaBits = 2048

// OCPP 2.0.1 part 2 A00.FR.507 to 509, and the 1.6 security whitepaper §2: RSA of 2048 bits, or a NIST curve of at least
// 224; nobody uses the one of 224.
function findWeakness({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  if (asymmetricKeyType === 'ec') {
    const { namedCurve = 'unknown' } = asymmetricKeyDetails ?? {}
    return curves.includes(namedCurve) ? undefined : `the key's curve ${namedCurve} is none of ${curves.join(', ')}`
  }
  if (asymmetricKeyType === 'rsa') {
    const { modulusLength = 0 } = asymmetricKeyDetails ?? {}
    return modulusLength >= leastRsaBits
      ? undefined
      : `the RSA key has ${modulusLength} bits, and needs ${leastRsaBits}`
  }
  return `a key of type ${asymmetricKeyType ?? 'unknown'} is not taken: EC or RSA expected`
}

const digests: Readonly<Record<string, string>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
}
const rsaPss = '1.2.840.113549.1.1.10'

// PKCS #10 §4.2: the proof that the private key is there.
function hasOwnSignature(request: CertificationRequest, publicKey: KeyObject): boolean {
  const { certificationRequestInfo: info, certificationRequestInfoRaw, signatureAlgorithm } = request
  const signed = Buffer.from(certificationRequestInfoRaw ?? AsnConvert.serialize(info))
  const signature = Buffer.from(request.signature)
  const { algorithm } = signatureAlgorithm
  if (algorithm === rsaPss && publicKey.asymmetricKeyType === 'rsa') {
    const key = {
      key: publicKey,
      padding: cryptoConstants.RSA_PKCS1_PSS_PADDING,
      saltLength: cryptoConstants.RSA_PSS_SALTLEN_AUTO,
    }
    return ['sha256', 'sha384', 'sha512'].some((digest) => verify(digest, signed, key, signature))
  }
  const digest = Object.hasOwn(digests, algorithm) ? digests[algorithm] : undefined
  return digest !== undefined && verify(digest, signed, publicKey, signature)
}

function commonNameOf(name: Name): string | undefined {
  const parts = name.flatMap((part) => [...part]).filter(({ type }) => type === oids.commonName)
  const text = parts.length === 1 ? parts[0]?.value.toString() : undefined
  return text === undefined || text === '' ? undefined : text
}

function nameOf(commonName: string, organisation: string | undefined): Name {
  const part = (type: string, utf8String: string) =>
    new RelativeDistinguishedName([new AttributeTypeAndValue({ type, value: new AttributeValue({ utf8String }) })])
  return new Name([
    ...(organisation === undefined ? [] : [part(oids.organisation, organisation)]),
    part(oids.commonName, commonName),
  ])
}

function extensionsOf({ kind, publicKey, hosts = [] }: CertificateFields, issuerKey: KeyObject): Extensions {
  const isAuthority = kind === 'authority'
  const extension = (extnID: string, value: object, critical = false) =>
    new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })
  const usage = isAuthority ? KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign : KeyUsageFlags.digitalSignature
  const constraints = isAuthority ? { cA: true, pathLenConstraint: 0 } : { cA: false }
  const purpose = kind === 'server' ? id_kp_serverAuth : id_kp_clientAuth
  const names = hosts.map((host) => new GeneralName(isIP(host) === 0 ? { dNSName: host } : { iPAddress: host }))
  const keyIdentifier = new KeyIdentifier(keyIdOf(issuerKey))
  return new Extensions([
    extension(id_ce_basicConstraints, new BasicConstraints(constraints), true),
    extension(id_ce_keyUsage, new KeyUsage(usage), true),
    ...(isAuthority ? [] : [extension(id_ce_extKeyUsage, new ExtendedKeyUsage([purpose]))]),
    ...(names.length === 0 ? [] : [extension(id_ce_subjectAltName, new SubjectAlternativeName(names))]),
    extension(id_ce_subjectKeyIdentifier, new SubjectKeyIdentifier(keyIdOf(publicKey))),
    extension(id_ce_authorityKeyIdentifier, new AuthorityKeyIdentifier({ keyIdentifier })),
  ])
}

// RFC 5280 §4.2.1.2, method 1: SHA-1 of the key's bits. No security rests on it.
function keyIdOf(key: KeyObject): ArrayBuffer {
  const { subjectPublicKey } = AsnConvert.parse(spkiOf(key), SubjectPublicKeyInfo)
  return toBuffer(createHash('sha1').update(Buffer.from(subjectPublicKey)).digest())
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' })
}

function parseCertificate(pem: string): Certificate {
  return AsnConvert.parse(fromPem(pem), Certificate)
}

/** Reads a private key in PEM. */
export function readPrivateKey(pem: string): KeyObject {
  return createPrivateKey(pem)
}

// The library keeps what it is given, and Node's small buffers share their memory.
function toBuffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer
}

function toPem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

// OCPP wants PEM; some stations send the Base64 alone, and some write \n as two characters.
function fromPem(text: string): Buffer {
  const base64 = text
    .replaceAll('\\n', '\n')
    .replace(/-----[A-Z ]+-----/g, '')
    .replace(/\s/g, '')
  return Buffer.from(base64, 'base64')
}

function refuse(reason: string): ReadRequest {
  return { ok: false, reason }
}
