/** Modbus V1.1b3 §7: why a request was refused. */
export const exceptionCodes = {
  illegalFunction: 1,
  illegalDataAddress: 2,
  illegalDataValue: 3,
  gatewayTargetFailedToRespond: 11,
} as const

/** What a server reads from: words, or the exception code that tells why not. */
export interface RegisterReader {
  read(functionCode: 3 | 4, address: number, count: number): readonly number[] | number
}

/** What a server sends back: the PDU, when, and how damaged. */
export interface Answer {
  readonly pdu: Uint8Array
  readonly delayMs: number
  readonly damage?: 'crc' | 'truncated' | 'noise'
  /** Sent once more, so long after its end. */
  readonly repeatAfterMs?: number
  /** A pause between its bytes. */
  readonly byteGapMs?: number
}

/**
 * Asked by every server, whatever the transport, with the unit id and the request's PDU. Silence is an empty list;
 * more than one answer comes from more than one meter.
 */
export type AnswerRequest = (unitId: number, pdu: Uint8Array) => readonly Answer[]

export function encodeException(functionCode: number, exceptionCode: number): Uint8Array {
  return Uint8Array.of((functionCode | 0x80) & 0xff, exceptionCode)
}

/** Answers one request PDU. A meter's registers are read-only here: FC3 and FC4 are served, nothing else. */
export function answerPdu(request: Uint8Array, registers: RegisterReader): Uint8Array {
  const functionCode = request[0] ?? 0
  if (functionCode !== 3 && functionCode !== 4) return encodeException(functionCode, exceptionCodes.illegalFunction)
  // Modbus V1.1b3 §6.3: address and quantity, and nothing behind.
  if (request.length !== 5) return encodeException(functionCode, exceptionCodes.illegalDataValue)
  const view = new DataView(request.buffer, request.byteOffset, request.byteLength)
  const [address, count] = [view.getUint16(1), view.getUint16(3)]
  if (count < 1 || count > 125) return encodeException(functionCode, exceptionCodes.illegalDataValue)
  const words = registers.read(functionCode, address, count)
  if (typeof words === 'number') return encodeException(functionCode, words)
  return Uint8Array.of(functionCode, 2 * words.length, ...words.flatMap((word) => [word >> 8, word & 0xff]))
}
