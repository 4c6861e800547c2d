import * as v from 'valibot'
import { formatPublicKey, type PublicKey, parsePublicKey, type Signer } from './attestation.ts'
import { decodeWith, integerBetween } from './decode.ts'
import { isSignedBy, parseDocument, signDocument } from './document.ts'
import { WattError } from './errors.ts'
import { idPattern, type PointId, parsePointId } from './ids.ts'
import type { Registers } from './reading.ts'

/** What a metering point is for the ledger. */
export const roles = ['producer', 'consumer', 'bidirectional', 'charger', 'storage'] as const
export type Role = (typeof roles)[number]

/** The registers that a role's records carry. */
export const roleDirections = {
  producer: ['export'],
  consumer: ['import'],
  bidirectional: ['import', 'export'],
  charger: ['import'],
  storage: ['import', 'export'],
} as const satisfies Record<Role, readonly ('import' | 'export')[]>

const registerText = v.pipe(v.string(), v.regex(/^\d{1,18}$/))

const shape = v.strictObject({
  v: v.literal(1),
  point: v.string(),
  /** SPKI hex of the metering point's key. */
  key: v.string(),
  role: v.picklist(roles),
  /** The metering point one level up, whose meter also sees this one's energy. */
  behind: v.optional(v.string()),
  owner: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(64))),
  meter: v.strictObject({
    vendor: v.string(),
    model: v.string(),
    serial: v.string(),
  }),
  /** The most that can flow through the point's fuse, in watts. */
  maxPowerW: integerBetween(1, 1_000_000_000),
  /** The width of the energy registers in Wh, where it is known. */
  rolloverWh: v.optional(v.pipe(v.string(), v.regex(/^[1-9]\d{0,17}$/))),
  /** What the energy registers showed when the certificate was made. */
  firstRegister: v.optional(v.strictObject({ import: v.optional(registerText), export: v.optional(registerText) })),
  /** What kind of place it is at, never where: nobody can be found by it. */
  location: v.optional(v.pipe(v.string(), v.regex(idPattern))),
  /** When the key was made, in ms since 1970. */
  issuedAt: integerBetween(0, Number.MAX_SAFE_INTEGER),
})

/** What a metering point says of itself before its first record, signed with its own key (SPEC-51). */
export interface Certificate {
  readonly point: PointId
  readonly key: PublicKey
  readonly role: Role
  readonly behind?: PointId
  readonly owner?: string
  readonly meter: { readonly vendor: string; readonly model: string; readonly serial: string }
  readonly maxPowerW: number
  readonly rolloverWh?: bigint
  /** What the energy registers showed when it was made: the meter cannot show less later (SPEC-93). */
  readonly firstRegister?: Registers
  /** The class of its location, in the operator's words: `household`, `carport`, ... */
  readonly location?: string
  readonly issuedAt: number
  /** SHA-256 of the signed body: the previous hash of the first record. */
  readonly hash: string
  readonly text: string
}

/** The facts that go into a certificate; the key is the signer's. */
export type CertificateFacts = Omit<Certificate, 'key' | 'hash' | 'text'>

/** Makes and signs a certificate. */
export function makeCertificate(facts: CertificateFacts, signer: Signer): Certificate {
  const content = {
    v: 1,
    point: facts.point,
    key: formatPublicKey(signer.publicKey),
    role: facts.role,
    behind: facts.behind,
    owner: facts.owner,
    meter: facts.meter,
    maxPowerW: facts.maxPowerW,
    rolloverWh: facts.rolloverWh?.toString(),
    firstRegister: facts.firstRegister && {
      import: facts.firstRegister.import?.toString(),
      export: facts.firstRegister.export?.toString(),
    },
    location: facts.location,
    issuedAt: facts.issuedAt,
  }
  return parseCertificate(signDocument('WATT-CERT', content, signer))
}

/** Parses a certificate and checks that the key it names has signed it. */
export function parseCertificate(text: string): Certificate {
  const document = parseDocument('WATT-CERT', text, 'certificate/invalid')
  const content = decodeWith(shape, document.content, 'certificate', 'certificate/invalid')
  const key = parsePublicKey(content.key)
  if (!isSignedBy(document, key)) {
    throw new WattError('certificate/invalid', `certificate of '${content.point}': not signed by the key it names`)
  }
  parsePointId(content.point)
  if (content.behind !== undefined) parsePointId(content.behind)
  return {
    point: content.point as PointId, // checked above
    key,
    role: content.role,
    ...(content.behind === undefined ? {} : { behind: content.behind as PointId }),
    ...(content.owner === undefined ? {} : { owner: content.owner }),
    meter: content.meter,
    maxPowerW: content.maxPowerW,
    ...(content.rolloverWh === undefined ? {} : { rolloverWh: BigInt(content.rolloverWh) }),
    ...(content.firstRegister === undefined ? {} : { firstRegister: toRegisters(content.firstRegister) }),
    ...(content.location === undefined ? {} : { location: content.location }),
    issuedAt: content.issuedAt,
    hash: document.hash,
    text,
  }
}

function toRegisters(stated: {
  readonly import?: string | undefined
  readonly export?: string | undefined
}): Registers {
  return {
    ...(stated.import === undefined ? {} : { import: BigInt(stated.import) }),
    ...(stated.export === undefined ? {} : { export: BigInt(stated.export) }),
  }
}
