import type { Answer, AnswerRequest } from './pdu.ts'
import { encodeRtuFrame, RtuFramer } from './rtu-frame.ts'
import type { Timers } from './timers.ts'

/** An answer as it goes over the line. */
export interface AnswerFrame {
  readonly bytes: Uint8Array
  readonly answer: Answer
}

export interface RtuServerOptions {
  readonly answer: AnswerRequest
  /** Called once for a request that is answered; more than one frame comes from more than one meter. */
  readonly send: (frames: readonly AnswerFrame[], requestBytes: number) => void
  readonly timers: Timers
  /** What ends a frame. */
  readonly silenceMs: number
}

// Bytes that a bus without bias resistors shows before an answer.
const noiseBytes = [0x00, 0xff, 0x7e]

/** Meters that hear RTU frames. A frame with a bad CRC, a broadcast and a foreign unit id get no answer at all. */
export class RtuServer {
  readonly #options: RtuServerOptions
  readonly #framer = new RtuFramer()
  #cancelSilence: () => void = () => {}

  constructor(options: RtuServerOptions) {
    this.#options = options
  }

  receive(bytes: Uint8Array): void {
    this.#cancelSilence()
    for (const frame of this.#framer.push(bytes)) this.#handle(frame)
    if (!this.#framer.waits) return
    this.#cancelSilence = this.#options.timers.after(this.#options.silenceMs, () => {
      const frame = this.#framer.endOfSilence()
      if (frame !== undefined) this.#handle(frame)
    })
  }

  #handle(frame: Uint8Array): void {
    const unitId = frame[0] ?? 0
    // Modbus over Serial Line V1.02 §2.2: no answer is returned to a broadcast.
    if (unitId === 0) return
    const answers = this.#options.answer(unitId, frame.subarray(1))
    if (answers.length === 0) return
    const frames = answers.map((answer) => ({ bytes: damage(encodeRtuFrame(unitId, answer.pdu), answer), answer }))
    this.#options.send(frames, frame.length + 2)
  }
}

function damage(frame: Uint8Array, answer: Answer): Uint8Array {
  if (answer.damage === 'crc') return frame.map((byte, i) => (i === frame.length - 1 ? byte ^ 0xff : byte))
  if (answer.damage === 'truncated') return frame.subarray(0, Math.ceil(frame.length / 2))
  return answer.damage === 'noise' ? Uint8Array.of(...noiseBytes, ...frame) : frame
}
