/** Modbus over Serial Line V1.02 §6.2.2: polynomial 0xA001, start 0xFFFF, low byte first on the wire. */
export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >> 1) ^ 0xa001 : crc >> 1
  }
  return crc
}

export function encodeRtuFrame(unitId: number, pdu: Uint8Array): Uint8Array {
  const body = Uint8Array.of(unitId, ...pdu)
  const crc = crc16(body)
  return Uint8Array.of(...body, crc & 0xff, crc >> 8)
}

export function hasValidCrc(frame: Uint8Array): boolean {
  // A frame with its own CRC behind it has the CRC 0.
  return frame.length >= 4 && crc16(frame) === 0
}

// Modbus over Serial Line V1.02 §2.5.1: unit id, PDU, CRC.
const maxFrameBytes = 256

/** How long a request frame is, as soon as its first bytes tell it. */
function requestLength(bytes: readonly number[]): number | undefined {
  const functionCode = bytes[1]
  if (functionCode === undefined) return undefined
  if (functionCode >= 1 && functionCode <= 6) return 8
  const byteCount = bytes[6]
  if ((functionCode === 15 || functionCode === 16) && byteCount !== undefined) return 9 + byteCount
  return undefined
}

/**
 * Cuts a stream of bytes into request frames. A frame ends where its function code says so and the CRC agrees,
 * or where the line falls silent; whatever has no valid CRC by then is dropped without a trace, as a meter does.
 */
export class RtuFramer {
  #bytes: number[] = []
  #overrun = false

  /** Whether a frame has begun that is not over. */
  get waits(): boolean {
    return this.#bytes.length > 0 || this.#overrun
  }

  /** Takes bytes and gives the unit id and PDU of every frame that is complete. */
  push(bytes: Uint8Array): Uint8Array[] {
    this.#bytes.push(...bytes)
    const frames: Uint8Array[] = []
    for (let frame = this.#take(); frame !== undefined; frame = this.#take()) frames.push(frame)
    if (this.#bytes.length > maxFrameBytes) this.#overrun = true
    if (this.#overrun) this.#bytes = []
    return frames
  }

  /** The line has been silent for 3.5 characters: what is left is one frame, or nothing. */
  endOfSilence(): Uint8Array | undefined {
    const rest = Uint8Array.from(this.#bytes)
    this.#bytes = []
    this.#overrun = false
    return hasValidCrc(rest) ? rest.subarray(0, -2) : undefined
  }

  #take(): Uint8Array | undefined {
    const length = this.#overrun ? undefined : requestLength(this.#bytes)
    if (length === undefined || this.#bytes.length < length) return undefined
    const frame = Uint8Array.from(this.#bytes.slice(0, length))
    if (!hasValidCrc(frame)) return undefined
    this.#bytes.splice(0, length)
    return frame.subarray(0, -2)
  }
}
