import type { WireCost } from './planner.ts'

/** How a serial line sends characters. */
export interface SerialFormat {
  readonly baudRate: number
  readonly parity: 'none' | 'even' | 'odd'
  readonly stopBits: 1 | 2
}

/** The one answer that a request may be answered with. */
export interface ExpectedAnswer {
  readonly unitId: number
  readonly functionCode: number
  /** Registers asked for: the byte count must be twice this. */
  readonly count: number
}

/** Unit id, function code, byte count or exception code, CRC. */
export const shortestAnswer = 5

/** Modbus over Serial Line V1.02 §2.5.1: start bit, 8 data bits, parity if any, stop bits. */
export function characterMs(format: SerialFormat): number {
  const bits = 1 + 8 + (format.parity === 'none' ? 0 : 1) + format.stopBits
  return (bits * 1000) / format.baudRate
}

/** Modbus over Serial Line V1.02 §2.5.1.1: t3.5, and fixed 1.75 ms above 19200 baud. */
export function silenceMs(format: SerialFormat): number {
  return format.baudRate > 19_200 ? 1.75 : 3.5 * characterMs(format)
}

/** How long a read request and its answer occupy the line. */
export function exchangeMs(format: SerialFormat, count: number): number {
  return (8 + shortestAnswer + 2 * count) * characterMs(format)
}

/** What a read costs on a line: request, the device's pause for thought, answer, and the silence behind it. */
export function requestCost(format: SerialFormat, turnaroundMs: number): WireCost {
  const gapsMs = Math.max(turnaroundMs, silenceMs(format)) + silenceMs(format)
  return { requestMs: exchangeMs(format, 0) + gapsMs, registerMs: 2 * characterMs(format) }
}

/** Modbus over Serial Line V1.02 §2.5.1.2, appendix B. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1
  }
  return crc
}

/** A frame with its CRC, low byte first. */
export function withCrc(body: Uint8Array): Buffer {
  const frame = Buffer.alloc(body.length + 2)
  frame.set(body)
  frame.writeUInt16LE(crc16(body), body.length)
  return frame
}

/**
 * Finds the expected answer, or its exception, among what a line brought. It may stand behind noise, an echo
 * of the request or another request's late answer; a frame that differs in unit, function, byte count or CRC
 * is none. So the echo of a request is none either: it has eight bytes, an answer has an odd number of them.
 */
export function findAnswer(bytes: Buffer, expected: ExpectedAnswer): Buffer | undefined {
  for (let start = 0; start + shortestAnswer <= bytes.length; start++) {
    const length = answerLength(bytes, start, expected)
    if (length === undefined || start + length > bytes.length) continue
    const frame = bytes.subarray(start, start + length)
    if (crc16(frame.subarray(0, -2)) === frame.readUInt16LE(length - 2)) return frame
  }
  return undefined
}

function answerLength(bytes: Buffer, start: number, expected: ExpectedAnswer): number | undefined {
  if (bytes[start] !== expected.unitId) return undefined
  if (bytes[start + 1] === (expected.functionCode | 0x80)) return shortestAnswer
  if (bytes[start + 1] !== expected.functionCode || bytes[start + 2] !== 2 * expected.count) return undefined
  return shortestAnswer + 2 * expected.count
}
