import { WattError } from '@wattline/protocol'
import { FramedPort, type GivenUp } from './framed-port.ts'
import type { Link } from './link.ts'
import { characterMs, type ExpectedAnswer, findAnswer, type SerialFormat, silenceMs } from './rtu-framing.ts'
import { type Scheduler, waitUntil } from './scheduler.ts'

export interface RtuPortOptions {
  readonly link: Pick<Link, 'write' | 'clear'>
  readonly format: SerialFormat
  readonly scheduler: Scheduler
  /** For a converter's socket: bytes may be stuck in the network for longer than any silence on the line. */
  readonly reconnectAfterSilence: boolean
}

// More than two frames of 256 bytes: a late one and the one that was asked for.
const keptBytes = 1024
// A line that babbles for longer than this is not waited for any more.
const longestWaitMs = 1000

/** Modbus RTU: frames end by silence, and nothing in an answer tells which request it belongs to. */
export class RtuPort extends FramedPort {
  readonly #options: RtuPortOptions
  readonly #silenceMs: number
  #expected: ExpectedAnswer | undefined
  #request: Buffer = Buffer.alloc(0)
  #bytes: Buffer = Buffer.alloc(0)
  #watching = false
  #sentAt = Number.NEGATIVE_INFINITY
  #busyUntil = Number.NEGATIVE_INFINITY

  constructor(options: RtuPortOptions) {
    super()
    this.#options = options
    this.#silenceMs = silenceMs(options.format)
  }

  override async prepare(): Promise<void> {
    const { scheduler, link } = this.#options
    const latest = scheduler.now() + longestWaitMs
    do {
      if (scheduler.now() > latest) {
        throw new WattError('bus/frame', `the line was not silent for ${longestWaitMs} ms`, { retryable: true })
      }
      await waitUntil(scheduler, this.#busyUntil + this.#silenceMs)
      await link.clear()
    } while (scheduler.now() < this.#busyUntil + this.#silenceMs)
  }

  protected override send(frame: Buffer): void {
    const { scheduler, link, format } = this.#options
    this.#expected = { unitId: frame.readUInt8(0), functionCode: frame.readUInt8(1), count: frame.readUInt16BE(4) }
    this.#request = frame
    this.#bytes = Buffer.alloc(0)
    this.#sentAt = scheduler.now()
    this.#busyUntil = this.#sentAt + frame.length * characterMs(format)
    link.write(frame)
  }

  override receive(bytes: Buffer): void {
    this.#busyUntil = Math.max(this.#busyUntil, this.#options.scheduler.now())
    if (this.#expected === undefined) return
    this.#bytes = Buffer.concat([this.#bytes, bytes]).subarray(-keptBytes)
    if (this.#watching) return
    const frame = findAnswer(this.#bytes, this.#expected)
    if (frame === undefined) return
    this.#expected = undefined
    this.emit('data', frame)
  }

  // Adapters that keep their receiver on while they send echo the request.
  override received(): Buffer {
    const isEcho = this.#bytes.subarray(0, this.#request.length).equals(this.#request)
    return isEcho ? this.#bytes.subarray(this.#request.length) : this.#bytes
  }

  override async giveUp(windowMs: number): Promise<GivenUp> {
    const expected = this.#expected
    if (expected === undefined) return { reconnect: false }
    this.#watching = true
    const cameLate = await this.#watch(expected, windowMs)
    this.#watching = false
    this.#expected = undefined
    if (cameLate) return { lateMs: this.#busyUntil - this.#sentAt, reconnect: false }
    return { reconnect: this.#options.reconnectAfterSilence }
  }

  async #watch(expected: ExpectedAnswer, windowMs: number): Promise<boolean> {
    const { scheduler } = this.#options
    const since = scheduler.now()
    for (;;) {
      const cameLate = findAnswer(this.#bytes, expected) !== undefined
      const silentAt = Math.max(since, this.#busyUntil) + (cameLate ? this.#silenceMs : windowMs)
      const now = scheduler.now()
      if (now >= silentAt || now >= since + longestWaitMs + windowMs) return cameLate
      // Looks again often enough to see the answer complete.
      await waitUntil(scheduler, Math.min(silentAt, now + 10))
    }
  }
}
