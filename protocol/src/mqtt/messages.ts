import * as v from 'valibot'
import {
  formatPublicKey,
  type PublicKey,
  parsePublicKey,
  type SignatureVerifier,
  type Signer,
  samePublicKey,
} from '../attestation.ts'
import { bytesToAscii } from '../bytes.ts'
import { decodeWith, integerBetween } from '../decode.ts'
import { isSignedBy, parseDocument, signDocument } from '../document.ts'
import { type ErrorCode, errorCodes, WattError } from '../errors.ts'
import { type PointId, parsePointId } from '../ids.ts'

/** The longest payload that is taken from the wire, in bytes; longer ones are refused unread (SPEC-62). */
export const maxMessageLength = 16_384

/** A refusal that the gateway must know of. */
export interface Refusal {
  readonly epoch: number
  readonly sequence: number
  readonly code: ErrorCode
  readonly message: string
}

/** The ledger's word on one metering point: everything up to this place is accepted and final (SPEC-70). */
export interface Receipt {
  readonly point: PointId
  /** The key of the ledger that signed it. */
  readonly ledger: PublicKey
  /** When the ledger was started, in ms since 1970 as 16 hex digits. Within one session receipts only grow. */
  readonly session: string
  /** Counts the receipts of a session, over all metering points. */
  readonly serial: number
  /** 0, 0 and '' while nothing is accepted. */
  readonly epoch: number
  readonly sequence: number
  /** The payload hash of the record at that place. */
  readonly hash: string
  readonly mintedWh: bigint
  readonly burnedWh: bigint
  /** The ledger misses something: send from sequence + 1 again, certificate and full texts first. */
  readonly resend: boolean
  readonly refusal?: Refusal
}

/** What goes into a receipt; the key is the signer's. */
export type ReceiptFacts = Omit<Receipt, 'ledger'>

const safeCount = integerBetween(0, Number.MAX_SAFE_INTEGER)
const receiptShape = v.strictObject({
  v: v.literal(1),
  point: v.string(),
  /** SPKI hex of the ledger's key. */
  ledger: v.string(),
  session: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/)),
  serial: safeCount,
  epoch: safeCount,
  sequence: safeCount,
  hash: v.pipe(v.string(), v.regex(/^([0-9a-f]{64})?$/)),
  mintedWh: v.pipe(v.string(), v.regex(/^\d{1,18}$/)),
  burnedWh: v.pipe(v.string(), v.regex(/^\d{1,18}$/)),
  resend: v.boolean(),
  refusal: v.optional(
    v.strictObject({
      epoch: safeCount,
      sequence: safeCount,
      code: v.picklist(errorCodes),
      message: v.pipe(v.string(), v.maxLength(500)),
    }),
  ),
})

/** Signs a receipt with the ledger's key. */
export function formatReceipt(facts: ReceiptFacts, signer: Signer): string {
  const { point, session, serial, epoch, sequence, hash, mintedWh, burnedWh, resend, refusal } = facts
  const content = {
    v: 1,
    point,
    ledger: formatPublicKey(signer.publicKey),
    session,
    serial,
    epoch,
    sequence,
    hash,
    mintedWh: mintedWh.toString(),
    burnedWh: burnedWh.toString(),
    resend,
    refusal,
  }
  return signDocument('WATT-RECEIPT', content, signer)
}

/**
 * Parses a receipt and checks that the key it names has signed it, and that this is the key of the ledger that
 * is trusted. Without one, any ledger will do: that is how a gateway meets its first (SPEC-74).
 */
export function parseReceipt(text: string, trusted: PublicKey | undefined, verifier?: SignatureVerifier): Receipt {
  const document = parseDocument('WATT-RECEIPT', text, 'receipt/invalid')
  const content = decodeWith(receiptShape, document.content, 'receipt', 'receipt/invalid')
  const ledger = parsePublicKey(content.ledger)
  if (trusted !== undefined && !samePublicKey(ledger, trusted)) {
    throw new WattError('receipt/invalid', `receipt for '${content.point}': not from the ledger that is trusted here`)
  }
  if (!isSignedBy(document, ledger, verifier)) {
    throw new WattError('receipt/invalid', `receipt for '${content.point}': not signed by the key it names`)
  }
  const { v: _version, mintedWh, burnedWh, refusal, ...rest } = content
  parsePointId(rest.point)
  return {
    ...rest,
    point: rest.point as PointId, // checked above
    ledger,
    mintedWh: BigInt(mintedWh),
    burnedWh: BigInt(burnedWh),
    ...(refusal === undefined ? {} : { refusal }),
  }
}

/** A gateway's greeting after each connect: the ledger answers with a receipt for each metering point. */
export interface Hello {
  readonly gatewayVersion: string
  readonly points: readonly PointId[]
}

const helloShape = v.strictObject({
  v: v.literal(1),
  gatewayVersion: v.pipe(v.string(), v.maxLength(40)),
  points: v.pipe(v.array(v.string()), v.maxLength(1000)),
})

/** Formats a greeting. */
export function formatHello(hello: Hello): string {
  return JSON.stringify({ v: 1, ...hello })
}

/** Parses a greeting. */
export function parseHello(bytes: Uint8Array): Hello {
  const text = bytesToAscii(bytes)
  if (text === undefined) throw new WattError('message/unreadable', 'hello: ASCII expected')
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (cause) {
    throw new WattError('message/unreadable', `hello: JSON expected, got '${text.slice(0, 80)}'`, { cause })
  }
  const { gatewayVersion, points } = decodeWith(helloShape, content, 'hello', 'message/unreadable')
  for (const point of points) parsePointId(point)
  return { gatewayVersion, points: points as PointId[] } // checked above
}
