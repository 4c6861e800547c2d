import * as v from 'valibot'
import { isAccount } from './account.ts'
import type { PublicKey, Signer } from './attestation.ts'
import { decodeWith, integerBetween } from './decode.ts'
import { isSignedBy, parseDocument, signDocument } from './document.ts'
import { WattError } from './errors.ts'

const time = integerBetween(0, Number.MAX_SAFE_INTEGER)
// OCPP 1.6: parentIdTag is a CiString20.
const group = v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,20}$/, 'expected 1 to 20 printable ASCII characters'))
// What a record cannot carry could not be billed: the site's owner would pay, in silence (SPEC-18).
const account = v.pipe(
  v.string(),
  v.check(
    isAccount,
    'expected 1 to 64 printable ASCII characters without quotation mark, backslash and bar, or an address as EIP-55 spells it',
  ),
)
const idTokenType = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,20}$/, 'expected a type of OCPP, such as ISO14443'))

/** What is said of one driver's token; in the list its hash, at its maker the token itself. */
export const driverTerms = {
  /** Whose account pays. Without one, the group's, and without that, the site owner's. */
  driver: v.exactOptional(account),
  group: v.exactOptional(group),
  /** Only as this OCPP idToken type; stations with OCPP 1.6 tell none. */
  type: v.exactOptional(idTokenType),
  blocked: v.exactOptional(v.literal(true)),
}

export const driverGroupTerms = { id: group, driver: v.exactOptional(account) }

const shape = v.strictObject({
  v: v.literal(1),
  /** Greater than that of every list before. */
  serial: integerBetween(1, Number.MAX_SAFE_INTEGER),
  issuedAt: time,
  /** scrypt of every token, with 2^cost rounds, r 8, p 1, and 16 bytes of salt. */
  salt: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/, 'expected 16 bytes in hex')),
  cost: integerBetween(10, 17),
  groups: v.array(v.strictObject({ ...driverGroupTerms, until: v.exactOptional(time) })),
  drivers: v.array(
    v.strictObject({
      hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected 32 bytes in hex')),
      ...driverTerms,
      until: v.exactOptional(time),
    }),
  ),
})

/** Who may charge (SPEC-141). */
export type DriverList = v.InferOutput<typeof shape>
export type ListedDriver = DriverList['drivers'][number]

const kind = 'WATT-DRIVERS'

/** Signs a list, or throws where nobody would accept it. */
export function signDriverList(list: DriverList, signer: Signer): string {
  return signDocument(kind, checkList(list), signer)
}

/** Reads a signed list; throws `drivers/invalid` where it is garbled, contradicts itself, or another key has signed it. */
export function parseDriverList(text: string, key: PublicKey): DriverList {
  const document = parseDocument(kind, text, 'drivers/invalid')
  if (!isSignedBy(document, key)) throw new WattError('drivers/invalid', `${kind}: not signed with the configured key`)
  return checkList(document.content)
}

function checkList(content: unknown): DriverList {
  const list = decodeWith(shape, content, kind, 'drivers/invalid')
  const groups = list.groups.map(({ id }) => id.toLowerCase())
  const hashes = list.drivers.map(({ hash }) => hash)
  const unknown = list.drivers.find((one) => one.group !== undefined && !groups.includes(one.group.toLowerCase()))
  if (new Set(groups).size < groups.length) throw new WattError('drivers/invalid', `${kind}: a group stands twice`)
  if (new Set(hashes).size < hashes.length) throw new WattError('drivers/invalid', `${kind}: a token stands twice`)
  if (unknown !== undefined) throw new WattError('drivers/invalid', `${kind}: no group '${unknown.group}'`)
  return list
}

/**
 * A token as it is hashed and compared. OCPP compares identifiers without case (1.6 CiString, 2.x IdTokenType), and
 * some readers put blanks around what they have read.
 */
export function normaliseToken(token: string): string {
  return token.trim().replace(/[a-z]+/g, (letters) => letters.toUpperCase())
}
