import { type ClockStatus, clockStatuses } from './clock.ts'
import { WattError } from './errors.ts'
import {
  directions,
  formatOcmfPayload,
  formatOcmfText,
  type OcmfRecord,
  type ParsedOcmf,
  parseOcmfText,
} from './ocmf.ts'
import { type ReadingState, type Registers, readingStateNames, readingStates } from './reading.ts'
import { makeTimestamp } from './timestamp.ts'

// SPEC-40. A frame says how a record differs from a full text that the receiver already has (the base):
//   1 byte   0x1n: version 1, n = number of the reading state
//   2 bytes  the first two bytes of the base's payload hash
//   varint   sequence − base sequence
//   varint   (zigzag(time − base time in ms) << 2) | clock status
//   varint   zigzag(register − base register in Wh), one for each register, import before export
//   64 bytes r‖s
const version = 1
const signatureLength = 64
/** The longest frame there can be: five varints of ten bytes at most. */
export const maxFrameLength = 1 + 2 + 5 * 10 + signatureLength

/** Whether a payload on a record topic is a frame; a full text begins with `O`. */
export function isFrame(bytes: Uint8Array): boolean {
  return bytes[0] !== undefined && bytes[0] >> 4 === version
}

/** What a receiver needs besides the frame itself. */
export interface FrameContext {
  /** A full text of the same epoch, in context F, that the receiver accepted. */
  readonly base: ParsedOcmf
  /** SHA-256 of the payload with the sequence just before this frame's. */
  readonly previousHash: string
}

/**
 * Encodes a record against a base. Returns undefined where the frame would not rebuild to the very same text:
 * another template, epoch or context, or registers that the base has not. Then the full text must be sent.
 */
export function encodeFrame(text: string, base: ParsedOcmf): Uint8Array | undefined {
  const { record, signature } = parseOcmfText(text)
  const parts: number[] = [(version << 4) | readingStateNames.indexOf(record.state), ...tagOf(base)]
  if (record.sequence <= base.record.sequence) return undefined
  pushVarint(parts, BigInt(record.sequence - base.record.sequence))
  const elapsed = BigInt(record.takenAt) - BigInt(base.record.takenAt)
  pushVarint(parts, (toZigzag(elapsed) << 2n) | BigInt(clockStatuses.indexOf(record.clockStatus)))
  for (const direction of directions) {
    const wh = record.registers[direction]
    if (wh !== undefined) pushVarint(parts, toZigzag(wh - (base.record.registers[direction] ?? 0n)))
  }
  const frame = Uint8Array.of(...parts, ...signature)
  try {
    return decodeFrame(frame, { base, previousHash: record.previousHash }) === text ? frame : undefined
  } catch {
    return undefined // whatever a receiver could not rebuild is sent in full
  }
}

/** What can be read from a frame alone: enough to find its base and its place. */
export interface FrameHead {
  /** The first four hex digits of the base's payload hash. */
  readonly baseTag: string
  /** Sequence minus the base's sequence. */
  readonly sequenceOffset: number
}

/** Reads a frame's head, or throws `frame/unreadable`. */
export function readFrameHead(frame: Uint8Array): FrameHead {
  const cursor = openFrame(frame)
  const baseTag = takeTag(cursor)
  return { baseTag, sequenceOffset: takeNumber(cursor) }
}

/** The tag by which frames refer to a base. */
export function frameTag(base: ParsedOcmf): string {
  return base.hash.slice(0, 4)
}

/** Rebuilds the complete OCMF text, byte for byte. The signature is not checked here. */
export function decodeFrame(frame: Uint8Array, { base, previousHash }: FrameContext): string {
  const cursor = openFrame(frame)
  const tag = takeTag(cursor)
  if (tag !== frameTag(base)) {
    throw new WattError('frame/unknown-template', `frame refers to base ${tag}, the base at hand is ${frameTag(base)}`)
  }
  const offset = takeNumber(cursor)
  const moment = takeVarint(cursor)
  const state = stateOf(frame)
  const record: OcmfRecord = {
    template: base.record.template,
    user: base.record.user,
    context: 'F',
    epoch: base.record.epoch,
    pageNumber: base.record.pageNumber + offset,
    sequence: base.record.sequence + offset,
    previousHash,
    takenAt: makeTimestamp(base.record.takenAt + Number(fromZigzag(moment >> 2n))),
    clockStatus: clockStatuses[Number(moment & 3n)] as ClockStatus, // two bits, four states
    state,
    registers: readingStates[state].energy === 'absent' ? {} : takeRegisters(cursor, base.record.registers),
  }
  if (cursor.at + signatureLength !== frame.length) {
    throw unreadable(`${frame.length - cursor.at} bytes of signature, ${signatureLength} expected`)
  }
  return formatOcmfText(formatOcmfPayload(record), frame.subarray(cursor.at))
}

interface Cursor {
  readonly frame: Uint8Array
  at: number
}

function openFrame(frame: Uint8Array): Cursor {
  if (!isFrame(frame)) throw unreadable(`first byte 0x${(frame[0] ?? 0).toString(16)}, version ${version} expected`)
  if (frame.length > maxFrameLength) throw unreadable(`${frame.length} bytes, at most ${maxFrameLength} expected`)
  if (frame.length < 3 + 2 + signatureLength) throw unreadable(`only ${frame.length} bytes`)
  return { frame, at: 1 }
}

function stateOf(frame: Uint8Array): ReadingState {
  const number = (frame[0] ?? 0) & 0x0f
  const state = readingStateNames[number]
  if (state === undefined) throw unreadable(`reading state ${number} is not known`)
  return state
}

function tagOf(base: ParsedOcmf): number[] {
  const tag = frameTag(base)
  return [Number.parseInt(tag.slice(0, 2), 16), Number.parseInt(tag.slice(2), 16)]
}

function takeTag(cursor: Cursor): string {
  const two = [cursor.frame[cursor.at++] ?? 0, cursor.frame[cursor.at++] ?? 0]
  return two.map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

function takeRegisters(cursor: Cursor, base: Registers): Registers {
  const registers: Partial<Record<(typeof directions)[number], bigint>> = {}
  for (const direction of directions) {
    const wh = base[direction]
    if (wh !== undefined) registers[direction] = wh + fromZigzag(takeVarint(cursor))
  }
  return registers
}

function takeNumber(cursor: Cursor): number {
  const value = takeVarint(cursor)
  if (value > 0xffff_ffffn) throw unreadable(`sequence offset ${value} is out of range`)
  return Number(value)
}

function takeVarint(cursor: Cursor): bigint {
  let value = 0n
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = cursor.frame[cursor.at++]
    if (byte === undefined) throw unreadable('a number runs past the end')
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return value
  }
  throw unreadable('a number is longer than ten bytes')
}

function pushVarint(out: number[], value: bigint): void {
  let rest = value
  while (rest >= 0x80n) {
    out.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  out.push(Number(rest))
}

function toZigzag(value: bigint): bigint {
  return value < 0n ? -2n * value - 1n : 2n * value
}

function fromZigzag(value: bigint): bigint {
  return value & 1n ? -(value + 1n) / 2n : value / 2n
}

function unreadable(problem: string): WattError {
  return new WattError('frame/unreadable', `frame: ${problem}`)
}
