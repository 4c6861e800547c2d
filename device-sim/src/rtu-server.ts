import type { LineTiming } from './line-timing.ts'
import type { Answer, AnswerRequest } from './pdu.ts'
import { encodeRtuFrame, RtuFramer } from './rtu-frame.ts'
import type { Timers } from './timers.ts'

export interface RtuPace extends LineTiming {
  /** How long a meter thinks before it answers. */
  readonly turnaroundMs: number
}

export interface RtuServerOptions {
  readonly write: (bytes: Uint8Array) => void
  readonly answer: AnswerRequest
  readonly timers: Timers
  /** The pace of a real line; a TCP connection has none. */
  readonly pace?: RtuPace
}

// A pseudo-terminal or a socket delivers late when the machine is busy; a shorter silence would cut frames apart.
const shortestSilenceMs = 5
const silenceWithoutPaceMs = 20
// Bytes that a bus without bias resistors shows before an answer.
const noiseBytes = [0x00, 0xff, 0x7e]

/** Meters on one RTU line. A frame with a bad CRC, a broadcast and a foreign unit id get no answer at all. */
export class RtuServer {
  readonly #options: RtuServerOptions
  readonly #framer = new RtuFramer()
  readonly #running = new Set<() => void>()
  #cancelSilence: () => void = () => {}
  #lineFreeAtMs = 0

  constructor(options: RtuServerOptions) {
    this.#options = options
  }

  receive(bytes: Uint8Array): void {
    this.#cancelSilence()
    for (const frame of this.#framer.push(bytes)) this.#handle(frame)
    const { pace } = this.#options
    const silenceMs = pace === undefined ? silenceWithoutPaceMs : Math.max(pace.silenceMs, shortestSilenceMs)
    this.#cancelSilence = this.#after(silenceMs, () => {
      const frame = this.#framer.endOfSilence()
      if (frame !== undefined) this.#handle(frame)
    })
  }

  close(): void {
    for (const cancel of this.#running) cancel()
    this.#running.clear()
  }

  #handle(frame: Uint8Array): void {
    const unitId = frame[0] ?? 0
    // Modbus over Serial Line V1.02 §2.2: no answer is returned to a broadcast.
    if (unitId === 0) return
    const answer = this.#options.answer(unitId, frame.subarray(1))
    if (answer === undefined) return
    const bytes = damage(encodeRtuFrame(unitId, answer.pdu), answer)
    if (this.#options.pace === undefined) this.#after(answer.delayMs, () => this.#options.write(bytes))
    else this.#transmit(bytes, answer.delayMs, frame.length + 2, this.#options.pace)
  }

  // A pseudo-terminal hands over the request at once and takes the answer at once: a real line does neither.
  #transmit(bytes: Uint8Array, delayMs: number, requestBytes: number, pace: RtuPace): void {
    const { timers } = this.#options
    const heardAtMs = timers.now() + requestBytes * pace.characterMs
    const readyAtMs = heardAtMs + Math.max(pace.silenceMs, pace.turnaroundMs) + delayMs
    const startMs = Math.max(readyAtMs, this.#lineFreeAtMs)
    this.#lineFreeAtMs = startMs + bytes.length * pace.characterMs + pace.silenceMs
    this.#sendFrom(bytes, 0, startMs, pace.characterMs)
  }

  #sendFrom(bytes: Uint8Array, sent: number, startMs: number, characterMs: number): void {
    const { timers, write } = this.#options
    const nextAtMs = startMs + (sent + 1) * characterMs
    this.#after(nextAtMs - timers.now(), () => {
      // A timer that fires late catches up with what the line would have carried by now.
      const due = Math.max(sent + 1, Math.min(bytes.length, Math.floor((timers.now() - startMs) / characterMs)))
      write(bytes.subarray(sent, due))
      if (due < bytes.length) this.#sendFrom(bytes, due, startMs, characterMs)
    })
  }

  #after(ms: number, run: () => void): () => void {
    const cancelTimer = this.#options.timers.after(Math.max(0, ms), () => {
      this.#running.delete(cancel)
      run()
    })
    const cancel = () => {
      this.#running.delete(cancel)
      cancelTimer()
    }
    this.#running.add(cancel)
    return cancel
  }
}

function damage(frame: Uint8Array, answer: Answer): Uint8Array {
  if (answer.damage === 'crc') return frame.map((byte, i) => (i === frame.length - 1 ? byte ^ 0xff : byte))
  if (answer.damage === 'truncated') return frame.subarray(0, Math.ceil(frame.length / 2))
  return answer.damage === 'noise' ? Uint8Array.of(...noiseBytes, ...frame) : frame
}
