import type { LineTap } from '../modbus/line-tap.ts'
import { crc16, shortestAnswer } from '../modbus/rtu-framing.ts'
import type { Scheduler } from '../modbus/scheduler.ts'

/** A frame with a sound CRC, whoever sent it. */
export interface SeenFrame {
  readonly unitId: number
  /** Without the exception bit. */
  readonly functionCode: number
  readonly kind: 'request' | 'answer' | 'exception'
  readonly bytes: Buffer
}

/** What a line brought, taken apart. */
export interface Dissection {
  readonly frames: readonly SeenFrame[]
  /** What belongs to no frame. */
  readonly noise: Buffer
}

const requestLength = 8
const readFunctions: readonly number[] = [1, 2, 3, 4]
const writeOneFunctions: readonly number[] = [5, 6]
const writeManyFunctions: readonly number[] = [15, 16]
const highestException = 11

/** Finds every sound frame among the bytes of a line. */
export function dissect(bytes: Buffer): Dissection {
  const frames: SeenFrame[] = []
  const noise: number[] = []
  for (let at = 0; at < bytes.length; ) {
    const frame = frameAt(bytes, at)
    if (frame === undefined) noise.push(bytes[at++] ?? 0)
    else {
      frames.push(frame)
      at += frame.bytes.length
    }
  }
  return { frames, noise: Buffer.from(noise) }
}

function frameAt(bytes: Buffer, at: number): SeenFrame | undefined {
  const [unitId = 0, code = 0] = bytes.subarray(at, at + 2)
  if (at + shortestAnswer > bytes.length || unitId > 247) return undefined
  for (const { kind, length } of shapesOf(bytes, at)) {
    const frame = bytes.subarray(at, at + length)
    if (frame.length < length || crc16(frame.subarray(0, -2)) !== frame.readUInt16LE(length - 2)) continue
    return { unitId, functionCode: code & 0x7f, kind, bytes: frame }
  }
  return undefined
}

// Modbus V1.1b3 §6: the same function code, as its request and as its answer.
function shapesOf(bytes: Buffer, at: number): readonly { kind: SeenFrame['kind']; length: number }[] {
  const [, code = 0, third = 0] = bytes.subarray(at, at + 3)
  if (code & 0x80) return third >= 1 && third <= highestException ? [{ kind: 'exception', length: shortestAnswer }] : []
  const request = { kind: 'request', length: requestLength } as const
  if (readFunctions.includes(code)) return [{ kind: 'answer', length: shortestAnswer + third }, request]
  if (writeOneFunctions.includes(code)) return [request]
  if (!writeManyFunctions.includes(code)) return []
  return [
    { kind: 'request', length: 9 + (bytes[at + 6] ?? 0) },
    { kind: 'answer', length: requestLength },
  ]
}

/** One request of ours, if any, and all that came until the next one. */
export interface Turn {
  readonly request: Buffer | undefined
  readonly sentAtMs: number
  readonly bytes: Buffer
}

/** What came, less the copy of the request that adapters return which listen while they send. */
export function withoutEcho(bytes: Buffer, request: Buffer | undefined): Buffer {
  const isEcho = request !== undefined && bytes.subarray(0, request.length).equals(request)
  return isEcho ? bytes.subarray(request.length) : bytes
}

/** What a receiver makes of a line that is held at one level: no device talks like that. */
export const isLevel = (byte: number) => byte === 0x00 || byte === 0xff

// A line that babbles must not fill the memory.
const keptBytes = 4096

/** Keeps what a line brings, from request to request. */
export class TurnRecorder implements LineTap {
  readonly #scheduler: Scheduler
  #request: Buffer | undefined
  #sentAtMs: number
  #bytes: Buffer = Buffer.alloc(0)
  /** Told each turn once the next request goes out. */
  onTurn: (turn: Turn) => void = () => {}

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
    this.#sentAtMs = scheduler.now()
  }

  sent(bytes: Uint8Array): void {
    this.endTurn()
    this.#request = Buffer.from(bytes)
  }

  received(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]).subarray(0, keptBytes)
  }

  /** What has come since the last request, without its echo. */
  get heard(): Buffer {
    return withoutEcho(this.#bytes, this.#request)
  }

  /** Ends the turn under way: what comes from now on nobody asked for. */
  endTurn(): void {
    this.onTurn({ request: this.#request, sentAtMs: this.#sentAtMs, bytes: this.#bytes })
    this.#request = undefined
    this.#sentAtMs = this.#scheduler.now()
    this.#bytes = Buffer.alloc(0)
  }
}
