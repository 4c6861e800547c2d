import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import { Attributes, CertificationRequest, CertificationRequestInfo } from '@peculiar/asn1-csr'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  Certificate,
  Name,
  RelativeDistinguishedName,
  SubjectPublicKeyInfo,
} from '@peculiar/asn1-x509'
import type { DurableState } from './durable-state.ts'
import type { Payload } from './rpc.ts'

const commonName = '2.5.4.3'
const ecdsaWithSha256 = '1.2.840.10045.4.3.2'
const mostRoots = 8

/** What a station shows at a TLS connection, and what it trusts besides its files. */
export interface TlsIdentity {
  readonly cert?: string
  readonly key?: string
  readonly roots: readonly string[]
}

/** OCPP 2.0.1 CertificateHashDataType, by its fields. */
export type CertificateHash = Readonly<Record<string, string>>

/** Keys and certificates of a station (OCPP 1.6 security whitepaper §4, OCPP 2.0.1 part 2 A and M). */
export class StationSecurity {
  readonly #state: DurableState
  readonly #stationId: string

  constructor(state: DurableState, stationId: string) {
    this.#state = state
    this.#stationId = stationId
  }

  get identity(): TlsIdentity {
    const { own, roots } = this.#state.now.security
    return { ...(own === undefined ? {} : { cert: own.chain, key: own.key }), roots: roots.map(({ pem }) => pem) }
  }

  /** Makes a new key, and the request for its certificate. */
  makeRequest(): string {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const pendingKey = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
    this.#state.change({ security: { ...this.#state.now.security, pendingKey } })
    const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
    const name = new AttributeTypeAndValue({
      type: commonName,
      value: new AttributeValue({ utf8String: this.#stationId }),
    })
    const info = new CertificationRequestInfo({
      subject: new Name([new RelativeDistinguishedName([name])]),
      subjectPKInfo: AsnConvert.parse(spki, SubjectPublicKeyInfo),
      attributes: new Attributes(),
    })
    const signature = sign('sha256', Buffer.from(AsnConvert.serialize(info)), privateKey)
    const request = new CertificationRequest({
      certificationRequestInfo: info,
      signatureAlgorithm: new AlgorithmIdentifier({ algorithm: ecdsaWithSha256 }),
      signature: Uint8Array.from(signature).buffer,
    })
    return toPem('CERTIFICATE REQUEST', Buffer.from(AsnConvert.serialize(request)))
  }

  /** Takes the certificate for the key that was made last; gives whether it fits. */
  takeCertificate(chain: string, nowMs: number): boolean {
    const { pendingKey } = this.#state.now.security
    const certificate = readCertificate(chain)
    if (pendingKey === undefined || certificate === undefined) return false
    const isOurs = certificate.checkPrivateKey(createPrivateKey(pendingKey))
    if (!isOurs || certificate.validToDate.getTime() <= nowMs) return false
    const { pendingKey: _, ...rest } = this.#state.now.security
    this.#state.change({ security: { ...rest, own: { chain, key: pendingKey } } })
    return true
  }

  installRoot(type: string, pem: string): 'Accepted' | 'Rejected' | 'Failed' {
    const { security } = this.#state.now
    if (readCertificate(pem) === undefined) return 'Rejected'
    const others = security.roots.filter((root) => root.pem !== pem)
    if (others.length >= mostRoots) return 'Failed'
    this.#state.change({ security: { ...security, roots: [...others, { type, pem }] } })
    return 'Accepted'
  }

  /** OCPP's hash data of each root, of these types or of all. */
  roots(types: readonly string[] | undefined): readonly { readonly type: string; readonly hash: CertificateHash }[] {
    return this.#state.now.security.roots
      .filter(({ type }) => types === undefined || types.includes(type))
      .map(({ type, pem }) => ({ type, hash: hashOf(pem) }))
  }

  deleteRoot(wanted: Payload): 'Accepted' | 'NotFound' {
    const { security } = this.#state.now
    const kept = security.roots.filter(({ pem }) => {
      const hash = hashOf(pem)
      return Object.entries(hash).some(([field, value]) => String(wanted[field]).toLowerCase() !== value.toLowerCase())
    })
    if (kept.length === security.roots.length) return 'NotFound'
    this.#state.change({ security: { ...security, roots: kept } })
    return 'Accepted'
  }
}

function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined // told as a refusal
  }
}

// OCPP 2.0.1 part 2 CertificateHashDataType. Our roots have signed themselves: the issuer's key is their own.
function hashOf(pem: string): CertificateHash {
  const certificate = new X509Certificate(pem)
  const { tbsCertificate } = AsnConvert.parse(certificate.raw, Certificate)
  const hash = (bytes: ArrayBuffer) => createHash('sha256').update(Buffer.from(bytes)).digest('hex')
  return {
    hashAlgorithm: 'SHA256',
    issuerNameHash: hash(AsnConvert.serialize(tbsCertificate.issuer)),
    issuerKeyHash: hash(tbsCertificate.subjectPublicKeyInfo.subjectPublicKey),
    serialNumber: certificate.serialNumber.toLowerCase(),
  }
}

function toPem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
