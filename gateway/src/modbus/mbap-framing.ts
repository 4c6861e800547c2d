import { type ExpectedAnswer, withCrc } from './rtu-framing.ts'

/** One complete message of Modbus TCP. */
export interface MbapMessage {
  readonly transactionId: number
  /** Unit id and PDU. */
  readonly body: Buffer
}

export type MbapResult =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'message'; readonly message: MbapMessage; readonly rest: Buffer }
  | { readonly kind: 'garbage'; readonly problem: string }

const headerLength = 6
// Unit id, function code and one byte at least; unit id and a PDU of 253 bytes at most (Modbus V1.1b3 §4.1).
const shortestBody = 3
const longestBody = 254

/** MODBUS Messaging on TCP/IP V1.0b §3.1.3: transaction id, protocol id 0, length of what follows. */
export function encodeMbap(transactionId: number, body: Uint8Array): Buffer {
  const message = Buffer.alloc(headerLength + body.length)
  message.writeUInt16BE(transactionId, 0)
  message.writeUInt16BE(body.length, 4)
  message.set(body, headerLength)
  return message
}

/** Takes the first message off a stream. After garbage the stream cannot be read any further. */
export function decodeMbap(bytes: Buffer): MbapResult {
  if (bytes.length < headerLength) return { kind: 'incomplete' }
  const protocolId = bytes.readUInt16BE(2)
  const length = bytes.readUInt16BE(4)
  if (protocolId !== 0) return { kind: 'garbage', problem: `protocol id 0 expected, got ${protocolId}` }
  if (length < shortestBody || length > longestBody) {
    return { kind: 'garbage', problem: `length of ${shortestBody} to ${longestBody} expected, got ${length}` }
  }
  const end = headerLength + length
  if (bytes.length < end) return { kind: 'incomplete' }
  const message = { transactionId: bytes.readUInt16BE(0), body: bytes.subarray(headerLength, end) }
  return { kind: 'message', message, rest: bytes.subarray(end) }
}

/** The answer as the RTU frame that modbus-serial expects, or why it is not the expected answer. */
export function toRtuAnswer(body: Buffer, expected: ExpectedAnswer): Buffer | string {
  const [unitId, functionCode, third] = body
  if (unitId !== expected.unitId) return `unit ${expected.unitId} expected, got ${unitId}`
  if (functionCode === (expected.functionCode | 0x80) && body.length === 3) return withCrc(body)
  if (functionCode !== expected.functionCode) return `function ${expected.functionCode} expected, got ${functionCode}`
  const byteCount = 2 * expected.count
  if (third !== byteCount || body.length !== 3 + byteCount) {
    return `byte count ${byteCount} expected, got ${third} with ${body.length - 3} bytes`
  }
  return withCrc(body)
}
