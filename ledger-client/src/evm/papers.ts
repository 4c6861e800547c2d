import { randomBytes } from 'node:crypto'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import {
  asciiToBytes,
  decodeWith,
  integerBetween,
  parseCertificate,
  parseDocument,
  type Role,
  WattError,
} from '@wattline/protocol'
import { addr, signTyped, verifyTyped } from 'micro-eth-signer'
import * as v from 'valibot'
import { encodeCall } from './contract-abi.ts'
import { packPlace, packRegisters, toCompactSignature, toDeviceAddress } from './settlement.ts'

// A paper is what goes from hand to hand until enough people have signed it: an act of the council, or an enrolment,
// which the owner signs first. It holds what is to be done in words; what is signed is worked out from them each time.

export const zeroAddress = `0x${'0'.repeat(40)}`
const address = v.pipe(v.string(), v.regex(/^0x[0-9a-f]{40}$/, 'an address of 40 lower-case hex digits expected'))
const signature = v.pipe(v.string(), v.regex(/^0x[0-9a-f]{130}$/, 'a signature of 65 bytes expected'))
const wh = integerBetween(0, 2 ** 53 - 1)
const certificate = v.pipe(v.string(), v.startsWith('WATT-CERT|'))

const deeds = v.variant('do', [
  v.strictObject({
    do: v.literal('enrol'),
    certificate,
    owner: address,
    books: integerBetween(0, 3),
    maxPowerW: integerBetween(1, 1_000_000_000),
    rolloverWh: wh,
    behind: address,
    firstAt: integerBetween(0, 2 ** 48 - 1),
    /** The last record that does not count any more. */
    firstAfter: v.strictObject({ epoch: integerBetween(0, 2 ** 48 - 1), sequence: integerBetween(0, 2 ** 40 - 1) }),
    firstRegisters: v.strictObject({ import: v.exactOptional(wh), export: v.exactOptional(wh) }),
    ownerSignature: v.exactOptional(signature),
  }),
  v.strictObject({ do: v.literal('rotate-key'), device: address, certificate }),
  v.strictObject({
    do: v.literal('revoke'),
    device: address,
    epoch: integerBetween(0, 2 ** 48 - 1),
    sequence: integerBetween(0, 2 ** 40 - 1),
  }),
  v.strictObject({ do: v.literal('offer-point'), device: address, to: address }),
  v.strictObject({ do: v.picklist(['pause', 'unpause']) }),
  v.strictObject({ do: v.literal('name-booker'), booker: address }),
])
const paperShape = v.strictObject({
  version: v.literal(1),
  chainId: integerBetween(1, 2 ** 53 - 1),
  council: address,
  /** The contract that does it. */
  target: address,
  deed: deeds,
  /** Tells two equal acts apart. */
  salt: v.pipe(v.string(), v.regex(/^\d{1,40}$/)),
  /** Unix time in seconds; later it cannot be brought. */
  deadline: integerBetween(0, 2 ** 40),
  signatures: v.array(v.strictObject({ member: address, signature })),
})

export type Deed = v.InferOutput<typeof deeds>
export type EnrolDeed = Extract<Deed, { do: 'enrol' }>
export type Paper = v.InferOutput<typeof paperShape>

/** Reads a paper; every problem is told with its path. */
export function parsePaper(text: string, path: string): Paper {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (cause) {
    throw new WattError('config/invalid', `${path}: no JSON`, { cause })
  }
  return decodeWith(paperShape, content, path, 'config/invalid')
}

export function formatPaper(paper: Paper): string {
  return `${JSON.stringify(paper, null, 2)}\n`
}

/** A paper that nobody has signed yet. */
export function makePaper(facts: Pick<Paper, 'chainId' | 'council' | 'target' | 'deed' | 'deadline'>): Paper {
  const salt = BigInt(`0x${randomBytes(16).toString('hex')}`).toString()
  return { version: 1, ...facts, salt, signatures: [] }
}

/** The registers that a role books on a chain: 1 import, 2 export. */
export const booksOfRole: Readonly<Record<Role, number>> = {
  producer: 2,
  consumer: 1,
  charger: 1,
  bidirectional: 3,
  storage: 0,
}

/** A certificate as the contract takes it, and the name that its key has on the chain. */
function proofOf(text: string) {
  const { key, hash } = parseCertificate(text)
  const { body, signature: signed } = parseDocument('WATT-CERT', text, 'certificate/invalid')
  const bytes = asciiToBytes(body)
  const { r, vs } = toCompactSignature(bytes, signed, key)
  return { device: toDeviceAddress(key), hash, call: { certificate: bytes, r: toWord(r), vs: toWord(vs) } }
}

/** The point that a deed is about. */
export function deviceOf(deed: Deed): string | undefined {
  if (deed.do === 'enrol') return proofOf(deed.certificate).device
  return 'device' in deed ? deed.device : undefined
}

const toWord = (number: bigint) => hexToBytes(number.toString(16).padStart(64, '0'))

function termsOf(deed: EnrolDeed) {
  const { import: imported, export: exported } = deed.firstRegisters
  return {
    owner: deed.owner,
    books: BigInt(deed.books),
    maxPowerW: BigInt(deed.maxPowerW),
    rolloverWh: BigInt(deed.rolloverWh),
    behind: deed.behind,
    firstAt: BigInt(deed.firstAt),
    firstPlace: packPlace(deed.firstAfter),
    firstRegisters: packRegisters({
      ...(imported === undefined ? {} : { import: BigInt(imported) }),
      ...(exported === undefined ? {} : { export: BigInt(exported) }),
    }),
  }
}

/** What the council calls to do a deed. */
export function encodeDeed(deed: Deed): string {
  switch (deed.do) {
    case 'enrol': {
      const { ownerSignature } = deed
      if (ownerSignature === undefined) {
        throw new WattError('config/invalid', `the owner ${deed.owner} has not signed yet; the council comes after`)
      }
      const { call } = proofOf(deed.certificate)
      return encodeCall('Attestation', 'enrol', { ...termsOf(deed), ...call, ownerSignature: bytesOf(ownerSignature) })
    }
    case 'rotate-key':
      return encodeCall('Attestation', 'rotateKey', { device: deed.device, ...proofOf(deed.certificate).call })
    case 'revoke': {
      const { device, epoch, sequence } = deed
      return encodeCall('Attestation', 'revoke', { device, epoch: BigInt(epoch), sequence: BigInt(sequence) })
    }
    case 'offer-point':
      return encodeCall('Attestation', 'offerPoint', { device: deed.device, to: deed.to })
    case 'name-booker':
      return encodeCall('Watt', 'nameBooker', deed.booker)
    default:
      return encodeCall('Attestation', 'setPaused', deed.do === 'pause')
  }
}

const bytesOf = (text: string) => hexToBytes(text.slice(2))

/** The call of the council that does what a paper says; signatures in the order that the contract wants. */
export function encodeAct(paper: Paper): string {
  const { message } = actOf(paper)
  const inOrder = paper.signatures.toSorted((a, b) => (a.member < b.member ? -1 : 1))
  const signatures = inOrder.map((each) => bytesOf(each.signature))
  return encodeCall('Council', 'act', { ...message, data: bytesOf(message.data), signatures })
}

/** Asks the council's contract for the name of a paper's act. */
export function encodeHashAct(paper: Paper): string {
  const { message } = actOf(paper)
  return encodeCall('Council', 'hashAct', { ...message, data: bytesOf(message.data) })
}

/** Adds a signature: of the owner to an enrolment that lacks it, else of a member. Doing it twice does it once. */
export function signPaper(paper: Paper, secretKey: Uint8Array): Paper {
  const signer = addr.fromPrivateKey(secretKey).toLowerCase()
  const secret = bytesToHex(secretKey)
  const { deed } = paper
  if (deed.do === 'enrol' && deed.ownerSignature === undefined) {
    if (signer !== deed.owner) {
      throw new WattError('key/mismatch', `the owner ${deed.owner} signs first; this key is ${signer}`)
    }
    return { ...paper, deed: { ...deed, ownerSignature: signTyped(enrolmentOf(paper, deed), secret, false) } }
  }
  if (paper.signatures.some(({ member }) => member === signer)) return paper
  const added = { member: signer, signature: signTyped(actOf(paper), secret, false) }
  return { ...paper, signatures: [...paper.signatures, added] }
}

/** Checks the signatures that a paper carries; throws at the first that is none. */
export function checkSignatures(paper: Paper): void {
  const { deed } = paper
  const isOwners =
    deed.do !== 'enrol' || deed.ownerSignature === undefined
      ? true
      : verifyTyped(deed.ownerSignature, enrolmentOf(paper, deed), deed.owner)
  if (!isOwners) throw new WattError('key/mismatch', 'the owner has signed something else than this paper says')
  for (const { member, signature: signed } of paper.signatures) {
    if (verifyTyped(signed, actOf(paper), member)) continue
    throw new WattError('key/mismatch', `${member} has signed something else than this paper says`)
  }
}

const domainType = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' },
  { name: 'verifyingContract', type: 'address' },
]
const actType = [
  { name: 'target', type: 'address' },
  { name: 'data', type: 'bytes' },
  { name: 'salt', type: 'uint256' },
  { name: 'deadline', type: 'uint256' },
]
const enrolType = [
  { name: 'device', type: 'address' },
  { name: 'owner', type: 'address' },
  { name: 'books', type: 'uint8' },
  { name: 'maxPowerW', type: 'uint32' },
  { name: 'rolloverWh', type: 'uint56' },
  { name: 'behind', type: 'address' },
  { name: 'firstAt', type: 'uint48' },
  { name: 'firstPlace', type: 'uint88' },
  { name: 'firstRegisters', type: 'uint256' },
  { name: 'certificate', type: 'bytes32' },
]

function actOf(paper: Paper) {
  const { target, deed, deadline } = paper
  return {
    domain: domainOf(paper, 'Wattline Council', paper.council),
    types: { EIP712Domain: domainType, Act: actType },
    primaryType: 'Act',
    message: { target, data: encodeDeed(deed), salt: BigInt(paper.salt), deadline: BigInt(deadline) },
  } as const
}

function enrolmentOf(paper: Paper, deed: EnrolDeed) {
  const { device, hash } = proofOf(deed.certificate)
  return {
    domain: domainOf(paper, 'Wattline Attestation', paper.target),
    types: { EIP712Domain: domainType, Enrol: enrolType },
    primaryType: 'Enrol',
    message: { device, ...termsOf(deed), certificate: `0x${hash}` },
  } as const
}

function domainOf({ chainId }: Paper, name: string, verifyingContract: string) {
  return { name, version: '1', chainId: BigInt(chainId), verifyingContract }
}

/** A paper in words, for whoever is to sign it. */
export function describePaper({ deed, chainId, target, deadline, signatures }: Paper): readonly (readonly string[])[] {
  const facts = Object.entries({ ...deed, ...(deviceOf(deed) === undefined ? {} : { device: deviceOf(deed) ?? '' }) })
  return [
    ...facts.map(([name, value]) => [name, typeof value === 'object' ? JSON.stringify(value) : String(value)]),
    ['chain', String(chainId)],
    ['contract', target],
    ['until', new Date(deadline * 1000).toISOString()],
    ['signed by', signatures.map(({ member }) => member).join(' ') || 'no member yet'],
  ]
}
