import * as v from 'valibot'
import type { PublicKey, SignatureVerifier, Signer } from '../attestation.ts'
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
  /** Made anew at each start of the ledger. Within one session receipts only grow. */
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

const safeCount = integerBetween(0, Number.MAX_SAFE_INTEGER)
const receiptShape = v.strictObject({
  v: v.literal(1),
  point: v.string(),
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
export function formatReceipt(receipt: Receipt, signer: Signer): string {
  const { mintedWh, burnedWh, refusal, ...rest } = receipt
  const content = { v: 1, ...rest, mintedWh: mintedWh.toString(), burnedWh: burnedWh.toString() }
  return signDocument('WATT-RECEIPT', refusal === undefined ? content : { ...content, refusal }, signer)
}

/** Parses a receipt and checks it against the ledger's key. */
export function parseReceipt(text: string, ledgerKey: PublicKey, verifier?: SignatureVerifier): Receipt {
  const document = parseDocument('WATT-RECEIPT', text, 'receipt/invalid')
  if (!isSignedBy(document, ledgerKey, verifier)) {
    throw new WattError('receipt/invalid', 'receipt: not signed by the key of this ledger')
  }
  const { v: _version, mintedWh, burnedWh, refusal, ...rest } = decodeWith(
    receiptShape,
    document.content,
    'receipt',
    'receipt/invalid',
  )
  parsePointId(rest.point)
  return {
    ...rest,
    point: rest.point as PointId, // checked above
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
