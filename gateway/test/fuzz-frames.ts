import { encodeMbap } from '../src/modbus/mbap-framing.ts'
import { MbapPort } from '../src/modbus/mbap-port.ts'
import { withCrc } from '../src/modbus/rtu-framing.ts'
import { RtuPort } from '../src/modbus/rtu-port.ts'

export interface FuzzOptions {
  /** Frames for each of the two parsers. */
  readonly frames: number
  readonly random: () => number
}

/** What the ports made of it. */
export interface FuzzReport {
  /** Valid answers that were handed on, so that the fuzz reaches behind the checks. */
  readonly accepted: number
  /** Frames that were handed on and are not the valid answer, in hex. */
  readonly invalid: readonly string[]
  /** The most that a port kept of what it received, in bytes. */
  readonly mostKept: number
}

/** The longest run of random bytes that comes at once. */
export const longestNoise = 2000

interface Fuzzed {
  /** Sends a request for so many registers. */
  ask(unitId: number, functionCode: number, count: number): void
  feed(bytes: Buffer): void
  kept(): number
  readonly answers: Buffer[]
}

// Independent of the code under test: a table-driven CRC, and the frame's layout by hand.
const crcTable = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1
  return crc
})

function hasCrc(frame: Buffer): boolean {
  let crc = 0xffff
  for (const byte of frame.subarray(0, -2)) crc = (crc >>> 8) ^ (crcTable[(crc ^ byte) & 0xff] ?? 0)
  return frame.at(-2) === (crc & 0xff) && frame.at(-1) === crc >>> 8
}

type Request = readonly [unitId: number, functionCode: number, count: number]

function isValidAnswer(frame: Buffer, [unitId, functionCode, count]: Request): boolean {
  if (!hasCrc(frame) || frame[0] !== unitId) return false
  if (frame[1] === (functionCode | 0x80)) return frame.length === 5
  return frame[1] === functionCode && frame[2] === 2 * count && frame.length === 5 + 2 * count
}

function makeRtu(): Fuzzed {
  const scheduler = { now: () => 0, after: () => () => {} }
  const format = { baudRate: 9600, parity: 'none', stopBits: 1 } as const
  const link = { write: () => {}, clear: async () => {} }
  const port = new RtuPort({ link, format, scheduler, reconnectAfterSilence: false })
  return wrap(port)
}

function makeMbap(): Fuzzed {
  const make = () => {
    const link = { write: () => {}, clear: async () => {} }
    return new MbapPort({ link, nextTransactionId: () => 1, onFault: () => {} })
  }
  let port = wrap(make())
  return {
    // After garbage the connection ends, and the next request has a new one.
    ask(...request) {
      port = wrap(make())
      port.ask(...request)
    },
    feed: (bytes) => port.feed(bytes),
    kept: () => port.kept(),
    get answers() {
      return port.answers
    },
  }
}

function wrap(port: RtuPort | MbapPort): Fuzzed {
  const answers: Buffer[] = []
  port.on('data', (frame: Buffer) => answers.push(frame))
  return {
    answers,
    ask: (unitId, functionCode, count) =>
      port.write(withCrc(Buffer.from([unitId, functionCode, 0, 72, count >> 8, count & 255]))),
    feed: (bytes) => port.receive(bytes),
    kept: () => port.received().length,
  }
}

// RTU finds an answer anywhere among the bytes; a TCP stream has it at its front, behind the request's own header.
function wasSent(framing: 'rtu' | 'mbap', frame: Buffer, bytes: Buffer): boolean {
  if (framing === 'rtu') return bytes.includes(frame)
  const header = Buffer.from([0, 1, 0, 0, 0, frame.length - 2])
  return bytes.subarray(0, frame.length + 4).equals(Buffer.concat([header, frame.subarray(0, -2)]))
}

/** Feeds random bytes, and valid answers that were changed in all ways, to both ports. */
export function fuzzFrames({ frames, random }: FuzzOptions): FuzzReport {
  const report = { accepted: 0, invalid: [] as string[], mostKept: 0 }
  const upTo = (end: number) => Math.floor(random() * end)
  for (const [framing, port] of [
    ['rtu', makeRtu()],
    ['mbap', makeMbap()],
  ] as const) {
    for (let i = 0; i < frames; i++) {
      const request = [1 + upTo(247), 3 + upTo(2), 1 + upTo(125)] as const
      port.ask(...request)
      port.answers.length = 0
      const bytes = mutate(toWire(framing, makeBody(request, upTo)), upTo)
      const cut = upTo(bytes.length + 1)
      port.feed(bytes.subarray(0, cut))
      port.feed(bytes.subarray(cut))
      report.mostKept = Math.max(report.mostKept, port.kept())
      report.accepted += port.answers.length
      const strange = port.answers.filter((frame) => !isValidAnswer(frame, request) || !wasSent(framing, frame, bytes))
      report.invalid.push(...[...strange, ...port.answers.slice(1)].map((frame) => frame.toString('hex')))
    }
  }
  return report
}

function toWire(framing: 'rtu' | 'mbap', body: Buffer): Buffer {
  return framing === 'rtu' ? withCrc(body) : encodeMbap(1, body)
}

type UpTo = (end: number) => number

function makeBody([unitId, functionCode, count]: Request, upTo: UpTo): Buffer {
  if (upTo(10) === 0) return Buffer.from([unitId, functionCode | 0x80, upTo(12)])
  const body = Buffer.alloc(3 + 2 * count, upTo(256))
  body.set([unitId, functionCode, 2 * count])
  for (let changes = upTo(8); changes > 0; changes--) body[3 + upTo(2 * count)] = upTo(256)
  return body
}

const mutations: readonly ((bytes: Buffer, upTo: UpTo) => Buffer)[] = [
  (bytes) => bytes,
  (_bytes, upTo) => randomBytes(upTo(300), upTo),
  (bytes, upTo) => flip(bytes, 1 + upTo(3), upTo),
  (bytes, upTo) => bytes.subarray(0, upTo(bytes.length)),
  (bytes, upTo) => bytes.subarray(upTo(bytes.length)),
  (bytes, upTo) => Buffer.concat([randomBytes(upTo(40), upTo), bytes, randomBytes(upTo(40), upTo)]),
  (bytes, upTo) => Buffer.concat([bytes.subarray(0, upTo(bytes.length)), bytes]),
  (bytes, upTo) => setByte(bytes, upTo(Math.min(9, bytes.length)), upTo(256)),
  (bytes) => Buffer.concat([bytes, bytes]),
  (_bytes, upTo) => randomBytes(upTo(longestNoise), upTo),
]

function mutate(bytes: Buffer, upTo: UpTo): Buffer {
  return mutations[upTo(mutations.length)]?.(Buffer.from(bytes), upTo) ?? bytes
}

function randomBytes(length: number, upTo: UpTo): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = upTo(256)
  return bytes
}

function flip(bytes: Buffer, flips: number, upTo: UpTo): Buffer {
  for (let left = flips; left > 0; left--) {
    const at = upTo(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << upTo(8))
  }
  return bytes
}

function setByte(bytes: Buffer, at: number, byte: number): Buffer {
  bytes[at] = byte
  return bytes
}
