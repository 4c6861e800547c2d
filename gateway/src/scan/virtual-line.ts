import { WattError } from '@wattline/protocol'
import { exceptionBody, type SeenRequest } from '../modbus/bus-rig.ts'
import type { FakeScheduler } from '../modbus/fake-scheduler.ts'
import type { Connect } from '../modbus/link.ts'
import { characterMs, crc16, type SerialFormat, silenceMs, withCrc } from '../modbus/rtu-framing.ts'

/** A device on a virtual line. */
export interface VirtualDevice {
  readonly unitId: number
  readonly format: SerialFormat
  /** The word at an address, or undefined where it has none. */
  readonly wordAt: (functionCode: number, address: number) => number | undefined
  readonly turnaroundMs?: number
}

/** A line in virtual time, for tests of a scan: devices that hear a request only at their own settings. */
export class VirtualLine {
  readonly devices: VirtualDevice[]
  /** What becomes of an answer's bytes on their way. */
  spoil: (answer: Buffer) => Buffer = (answer) => answer
  /** What the line brings whenever a request ends. */
  rest: Buffer = Buffer.alloc(0)
  readonly opened: SerialFormat[] = []
  readonly functionCodes = new Set<number>()
  requests = 0
  #deliver: (bytes: Buffer) => void = () => {}
  readonly #scheduler: FakeScheduler

  constructor(scheduler: FakeScheduler, devices: readonly VirtualDevice[]) {
    this.#scheduler = scheduler
    this.devices = [...devices]
  }

  /** Another client talks on the line, as long as a port is open. */
  say(bytes: Buffer): void {
    this.#deliver(bytes)
  }

  /** Connects as a port with these settings would. */
  connectAt(format: SerialFormat): Connect {
    return async (events, abort) => {
      if (abort.aborted) throw new WattError('bus/closed', 'aborted', { retryable: true })
      this.opened.push(format)
      let isOpen = true
      const deliver = (bytes: Buffer) => {
        if (isOpen) events.bytes(bytes)
      }
      this.#deliver = deliver
      return {
        write: (bytes) => this.#take(Buffer.from(bytes), format, deliver),
        clear: async () => {},
        close: async () => {
          isOpen = false
        },
      }
    }
  }

  #take(frame: Buffer, format: SerialFormat, deliver: (bytes: Buffer) => void): void {
    this.requests++
    if (this.rest.length > 0) this.#scheduler.after(frame.length * characterMs(format), () => deliver(this.rest))
    if (crc16(frame.subarray(0, -2)) !== frame.readUInt16LE(frame.length - 2)) return
    const request: SeenRequest = {
      unitId: frame.readUInt8(0),
      functionCode: frame.readUInt8(1),
      address: frame.readUInt16BE(2),
      count: frame.readUInt16BE(4),
      transactionId: 0,
      tag: this.requests,
    }
    this.functionCodes.add(request.functionCode)
    for (const device of this.devices) {
      // A receiver looks at the first stop bit only.
      const hears = device.format.baudRate === format.baudRate && device.format.parity === format.parity
      if (device.unitId !== request.unitId || !hears) continue
      const answer = this.spoil(withCrc(answerOf(device, request)))
      const beginsMs = frame.length * characterMs(format) + Math.max(silenceMs(format), device.turnaroundMs ?? 5)
      for (let i = 0; i < answer.length; i++) {
        const endsMs = beginsMs + (i + 1) * characterMs(format)
        this.#scheduler.after(endsMs, () => deliver(answer.subarray(i, i + 1)))
      }
    }
  }
}

function answerOf(device: VirtualDevice, request: SeenRequest): Buffer {
  const words = Array.from({ length: request.count }, (_, i) =>
    device.wordAt(request.functionCode, request.address + i),
  )
  if (words.includes(undefined)) return exceptionBody(request, 2)
  const body = Buffer.alloc(3 + 2 * words.length)
  body.set([request.unitId, request.functionCode, 2 * words.length])
  words.forEach((word, i) => void body.writeUInt16BE(word ?? 0, 3 + 2 * i))
  return body
}
