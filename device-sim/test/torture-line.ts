import { describingWord, nowTicks, type RegisterPlace } from '../../protocol/test/self-describing.ts'
import { toLineTiming } from '../src/line-timing.ts'
import { encodeException } from '../src/pdu.ts'
import { openPty, type Pty } from '../src/pty.ts'
import { encodeRtuFrame, RtuFramer } from '../src/rtu-frame.ts'

export const tortureBaudRate = 115_200

/** One device on the line, and how it is read. */
export interface TortureDevice {
  readonly unitId: number
  readonly functionCode: 3 | 4
  /** Registers of the shortest and of the longest read. */
  readonly counts: readonly [number, number]
  /** What its profile promises; the device itself may take fewer. */
  readonly maxCount: number
  readonly mostRegisters: number
  /** How long it thinks, at least and at most. */
  readonly latencyMs: readonly [number, number]
  readonly minGapMs?: number
}

export type Manner = 'sound' | 'doubled' | 'late' | 'lost' | 'spoiled' | 'cut' | 'trickled' | 'noisy' | 'busy'

// Shares of a hundred.
const shares: readonly (readonly [Manner, number])[] = [
  ['doubled', 12],
  ['late', 5],
  ['lost', 2],
  ['spoiled', 4],
  ['cut', 2],
  ['trickled', 10],
  ['noisy', 4],
  ['busy', 1],
]

export interface TortureLineOptions {
  readonly path: string
  readonly devices: readonly TortureDevice[]
  readonly random: () => number
  /** How late a late answer is, at least and at most. */
  readonly lateMs: readonly [number, number]
  /** Until how long after its request an answer may come once more. */
  readonly repeatMs: number
}

const timing = toLineTiming({ baudRate: tortureBaudRate, parity: 'none', stopBits: 1 })

/** Devices on one line that answer late, twice, spoiled, byte by byte or never. */
export class TortureLine {
  readonly counts = new Map<Manner, number>()
  requests = 0
  readonly #options: TortureLineOptions
  readonly #framer = new RtuFramer()
  readonly #timers = new Set<NodeJS.Timeout>()
  #pty: Pty | undefined
  #freeAtMs = 0

  constructor(options: TortureLineOptions) {
    this.#options = options
  }

  async open(): Promise<void> {
    const onBytes = (bytes: Uint8Array) => {
      for (const frame of this.#framer.push(bytes)) this.#answer(frame)
    }
    const onLost = (error: Error) => {
      throw error
    }
    this.#pty = await openPty({ link: this.#options.path, onBytes, onLost })
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    await this.#pty?.close()
    this.#pty = undefined
  }

  #answer(frame: Uint8Array): void {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
    const [unitId, functionCode] = [view.getUint8(0), view.getUint8(1)]
    const device = this.#options.devices.find((known) => known.unitId === unitId)
    if (device === undefined || device.functionCode !== functionCode) return
    this.requests++
    const [address, count] = [view.getUint16(2), view.getUint16(4)]
    if (count > device.mostRegisters) this.#sendAfter(encodeRtuFrame(unitId, encodeException(functionCode, 3)), 0)
    else this.#misbehave(encodeRtuFrame(unitId, describeRegisters({ unitId, functionCode, address }, count)), device)
  }

  #misbehave(answer: Uint8Array, device: TortureDevice): void {
    const { lateMs, repeatMs } = this.#options
    const manner = this.#pickManner()
    this.counts.set(manner, (this.counts.get(manner) ?? 0) + 1)
    const inTimeMs = this.#between(...device.latencyMs)
    if (manner === 'lost') return
    if (manner === 'busy')
      this.#sendAfter(encodeRtuFrame(device.unitId, encodeException(device.functionCode, 6)), inTimeMs)
    else if (manner === 'late') this.#sendAfter(answer, this.#between(...lateMs), { latestMs: lateMs[1] + 1000 })
    else if (manner === 'spoiled') this.#sendAfter(this.#flipBits(answer), inTimeMs)
    else if (manner === 'cut') this.#sendAfter(answer.subarray(0, this.#upTo(answer.length)), inTimeMs)
    else if (manner === 'trickled') this.#sendAfter(answer, inTimeMs, { everyMs: this.#between(0.2, 4) })
    else if (manner === 'noisy') this.#sendAfter(Uint8Array.of(0, this.#upTo(256), ...answer), inTimeMs)
    else this.#sendAfter(answer, inTimeMs)
    if (manner === 'doubled') this.#sendAfter(answer, this.#between(inTimeMs, repeatMs), { latestMs: repeatMs })
  }

  #pickManner(): Manner {
    let at = 100 * this.#options.random()
    for (const [manner, share] of shares) {
      if (at < share) return manner
      at -= share
    }
    return 'sound'
  }

  // One to three flipped bits: a CRC of 16 bits sees all of these, in frames of this length.
  #flipBits(frame: Uint8Array): Uint8Array {
    const flipped = Uint8Array.from(frame)
    for (let flips = 1 + this.#upTo(3); flips > 0; flips--) {
      const at = this.#upTo(flipped.length)
      flipped[at] = (flipped[at] ?? 0) ^ (1 << this.#upTo(8))
    }
    return flipped
  }

  // A line carries one frame after the other, whoever sends it: what finds it busy waits its turn. What may come until
  // `latestMs` only, and cannot by then, does not come.
  #sendAfter(bytes: Uint8Array, delayMs: number, { everyMs = 0, latestMs = Number.POSITIVE_INFINITY } = {}): void {
    const requestMs = 8 * timing.characterMs
    const startMs = performance.now()
    this.#at(startMs + requestMs + Math.max(timing.silenceMs, delayMs), () =>
      this.#send(bytes, { everyMs, untilMs: startMs + latestMs }),
    )
  }

  #send(bytes: Uint8Array, when: { readonly everyMs: number; readonly untilMs: number }): void {
    const nowMs = performance.now()
    if (nowMs > when.untilMs) return
    if (nowMs < this.#freeAtMs) {
      this.#at(this.#freeAtMs, () => this.#send(bytes, when))
      return
    }
    const { everyMs } = when
    const paceMs = Math.max(everyMs, timing.characterMs)
    this.#freeAtMs = nowMs + bytes.length * paceMs + timing.silenceMs
    const chunk = everyMs === 0 ? bytes.length : 1 + this.#upTo(4)
    for (let sent = 0; sent < bytes.length; sent += chunk) {
      const part = bytes.subarray(sent, sent + chunk)
      this.#at(nowMs + (sent + part.length) * paceMs, () => this.#pty?.write(part))
    }
  }

  #at(momentMs: number, run: () => void): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        run()
      },
      Math.max(0, momentMs - performance.now()),
    )
    this.#timers.add(timer)
  }

  #between(from: number, to: number): number {
    return from + this.#options.random() * (to - from)
  }

  #upTo(end: number): number {
    return Math.floor(this.#options.random() * end)
  }
}

function describeRegisters({ address, ...place }: RegisterPlace, count: number): Uint8Array {
  const ticks = nowTicks()
  const words = Array.from({ length: count }, (_, i) => describingWord({ ...place, address: address + i }, ticks))
  return Uint8Array.of(place.functionCode, 2 * count, ...words.flatMap((word) => [word >> 8, word & 0xff]))
}
