import { WattError } from '@wattline/protocol'
import { FramedPort, type GivenUp } from './framed-port.ts'
import type { Link } from './link.ts'
import { decodeMbap, encodeMbap, type MbapMessage, toRtuAnswer } from './mbap-framing.ts'
import type { ExpectedAnswer } from './rtu-framing.ts'

export interface MbapPortOptions {
  readonly link: Pick<Link, 'write' | 'clear'>
  /** Counts on over all connections, so that an old connection's id is not used again soon. */
  readonly nextTransactionId: () => number
  /** The stream has become unreadable or the server answers what nobody asked: the connection must end. */
  readonly onFault: (error: WattError) => void
}

interface ExpectedMessage extends ExpectedAnswer {
  readonly transactionId: number
}

/** Modbus TCP: every answer must carry the transaction id, unit, function and byte count of the one request in flight. */
export class MbapPort extends FramedPort {
  readonly #options: MbapPortOptions
  #expected: ExpectedMessage | undefined
  #bytes: Buffer = Buffer.alloc(0)

  constructor(options: MbapPortOptions) {
    super()
    this.#options = options
  }

  override prepare(): Promise<void> {
    return this.#options.link.clear()
  }

  protected override send(frame: Buffer): void {
    const transactionId = this.#options.nextTransactionId()
    const [unitId, functionCode] = [frame.readUInt8(0), frame.readUInt8(1)]
    this.#expected = { transactionId, unitId, functionCode, count: frame.readUInt16BE(4) }
    this.#options.link.write(encodeMbap(transactionId, frame.subarray(0, -2)))
  }

  override receive(bytes: Buffer): void {
    if (!this.isOpen) return
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    while (this.isOpen && this.#bytes.length > 0) {
      const next = this.#takeNext()
      if (next === undefined) return
      if (typeof next === 'string') this.#fail(next)
      else this.#deliver(next)
    }
  }

  override received(): Buffer {
    return this.#bytes
  }

  // A late answer meets a closed socket.
  override async giveUp(): Promise<GivenUp> {
    this.#expected = undefined
    return { reconnect: true }
  }

  // The answer, or what is wrong with it, or undefined while it is incomplete.
  #takeNext(): Buffer | string | undefined {
    if (this.#expected === undefined) return 'an answer came that nobody asked for'
    const result = decodeMbap(this.#bytes)
    if (result.kind === 'incomplete') return undefined
    if (result.kind === 'garbage') return result.problem
    this.#bytes = result.rest
    return toAnswer(result.message, this.#expected)
  }

  #deliver(answer: Buffer): void {
    this.#expected = undefined
    this.emit('data', answer)
  }

  #fail(problem: string): void {
    this.isOpen = false
    this.#options.onFault(new WattError('bus/frame', `Modbus TCP: ${problem}`, { retryable: true }))
  }
}

function toAnswer(message: MbapMessage, expected: ExpectedMessage): Buffer | string {
  if (message.transactionId === expected.transactionId) return toRtuAnswer(message.body, expected)
  return `transaction id ${expected.transactionId} expected, got ${message.transactionId}`
}
