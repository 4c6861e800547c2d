import type { LineTap } from './line-tap.ts'
import { characterMs, crc16, type SerialFormat, shortestAnswer } from './rtu-framing.ts'
import type { Scheduler } from './scheduler.ts'

/** A frame as it went by. */
export interface TracedFrame {
  readonly direction: 'sent' | 'received'
  readonly bytes: Buffer
  /** From the end of the frame before to its beginning; absent for the first. */
  readonly gapMs?: number
  /** A frame of Modbus TCP has none. */
  readonly crc: 'ok' | 'bad' | 'none'
}

export interface FrameTraceOptions {
  readonly scheduler: Scheduler
  /** Of a line with RTU frames; absent for Modbus TCP. */
  readonly format?: SerialFormat | undefined
  readonly onFrame: (frame: TracedFrame) => void
}

// A frame ends by silence. What an adapter or the network holds up for less than this is still the same frame.
const silenceMs = 30
// A line that babbles without a pause is told in pieces.
const longestFrame = 512

/** Puts the bytes of a link together to frames, for people to read. */
export class FrameTrace implements LineTap {
  readonly #options: FrameTraceOptions
  #bytes: Buffer = Buffer.alloc(0)
  #beganAtMs = 0
  #lastAtMs = 0
  #endedAtMs: number | undefined
  #cancel: () => void = () => {}

  constructor(options: FrameTraceOptions) {
    this.#options = options
  }

  sent(bytes: Uint8Array): void {
    this.flush()
    const now = this.#options.scheduler.now()
    this.#tell('sent', Buffer.from(bytes), now)
    this.#endedAtMs = now + this.#onLineMs(bytes.length)
  }

  received(bytes: Uint8Array): void {
    const { scheduler } = this.#options
    if (this.#bytes.length === 0) this.#beganAtMs = scheduler.now()
    this.#lastAtMs = scheduler.now()
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    this.#cancel()
    if (this.#bytes.length >= longestFrame) this.flush()
    else this.#cancel = scheduler.after(silenceMs, () => this.flush())
  }

  /** Tells what has come so far. */
  flush(): void {
    this.#cancel()
    if (this.#bytes.length === 0) return
    const bytes = this.#bytes
    this.#bytes = Buffer.alloc(0)
    // The first bytes have been on the line for a while when they arrive.
    this.#tell('received', bytes, this.#beganAtMs - this.#onLineMs(1))
    this.#endedAtMs = this.#lastAtMs
  }

  #tell(direction: TracedFrame['direction'], bytes: Buffer, beganAtMs: number): void {
    const gapMs = this.#endedAtMs === undefined ? {} : { gapMs: Math.max(0, beganAtMs - this.#endedAtMs) }
    this.#options.onFrame({ direction, bytes, ...gapMs, crc: this.#crcOf(bytes) })
  }

  #onLineMs(characters: number): number {
    return this.#options.format === undefined ? 0 : characters * characterMs(this.#options.format)
  }

  #crcOf(bytes: Buffer): TracedFrame['crc'] {
    if (this.#options.format === undefined) return 'none'
    if (bytes.length < shortestAnswer) return 'bad'
    return crc16(bytes.subarray(0, -2)) === bytes.readUInt16LE(bytes.length - 2) ? 'ok' : 'bad'
  }
}
