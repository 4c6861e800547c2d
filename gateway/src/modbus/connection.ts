import { WattError } from '@wattline/protocol'
import ModbusSerial from 'modbus-serial'
import { toBusError } from './bus-errors.ts'
import type { FramedPort, GivenUp } from './framed-port.ts'
import type { Link } from './link.ts'
import type { Scheduler } from './scheduler.ts'

export interface WireRequest {
  readonly unitId: number
  readonly functionCode: 3 | 4
  /** Zero-based PDU address. */
  readonly address: number
  /** Registers that go on the wire. */
  readonly count: number
}

export interface WireAnswer {
  readonly words: readonly number[]
  readonly elapsedMs: number
}

interface ConnectionOptions {
  readonly busId: string
  readonly link: Link
  readonly port: FramedPort
  readonly scheduler: Scheduler
}

// modbus-serial is CommonJS: what its types call the default export is a property of the export.
const ModbusClient = ModbusSerial.default

// A timer this late means that the process was busy, and that the answer may lie unread in the kernel.
const stallMs = 10
const graceMs = 50

/** One connected link with its port: asks one request at a time, until it ends. */
export class Connection {
  readonly #options: ConnectionOptions
  readonly #client: InstanceType<typeof ModbusClient>
  #interrupt: ((error: WattError) => void) | undefined
  #ended: WattError | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#client = new ModbusClient(options.port)
    this.#client.open()
  }

  /** Sends one request and waits for its answer; throws `bus/timeout`, `bus/frame`, `bus/exception`, `bus/closed`. */
  async exchange(request: WireRequest, timeoutMs: number): Promise<WireAnswer> {
    await this.#options.port.prepare()
    if (this.#ended !== undefined) throw this.#ended
    const sentAt = this.#options.scheduler.now()
    return await new Promise<WireAnswer>((resolve, reject) => {
      const settle = () => {
        cancel()
        this.#interrupt = undefined
      }
      const fail = (error: WattError) => {
        settle()
        reject(error)
      }
      const cancel = this.#after(timeoutMs, () => fail(this.#unanswered(request, timeoutMs)))
      this.#interrupt = fail
      this.#send(request, (error, words) => {
        if (error !== null) return fail(toBusError(error, this.#describe(request)))
        settle()
        resolve({ words, elapsedMs: this.#options.scheduler.now() - sentAt })
      })
    })
  }

  /** After an exchange that failed: watches for the late answer. */
  giveUp(windowMs: number): Promise<GivenUp> {
    return this.#options.port.giveUp(windowMs)
  }

  /** Ends the connection; an exchange under way fails with the error. */
  async end(error: WattError): Promise<void> {
    if (this.#ended !== undefined) return
    this.#ended = error
    this.#options.port.isOpen = false
    this.#interrupt?.(error)
    await this.#options.link.close()
  }

  #send(request: WireRequest, done: (error: Error | null, words: readonly number[]) => void): void {
    const { unitId, address, count } = request
    const next = (error: Error | null, result?: { data: number[] }) => done(error, result?.data ?? [])
    if (request.functionCode === 3) this.#client.writeFC3(unitId, address, count, next)
    else this.#client.writeFC4(unitId, address, count, next)
  }

  #after(delayMs: number, expire: () => void): () => void {
    const { scheduler } = this.#options
    const dueAt = scheduler.now() + delayMs
    let cancel = scheduler.after(delayMs, () => {
      if (scheduler.now() - dueAt > stallMs) cancel = scheduler.after(graceMs, expire)
      else expire()
    })
    return () => cancel()
  }

  #unanswered(request: WireRequest, timeoutMs: number): WattError {
    const bytes = this.#options.port.received()
    const where = this.#describe(request)
    if (bytes.length === 0) {
      return new WattError('bus/timeout', `${where}: no answer within ${Math.round(timeoutMs)} ms`, { retryable: true })
    }
    const shown = bytes.subarray(0, 32).toString('hex')
    return new WattError('bus/frame', `${where}: ${bytes.length} bytes that are not the answer: ${shown}`, {
      retryable: true,
    })
  }

  #describe({ unitId, functionCode, address, count }: WireRequest): string {
    return `bus ${this.#options.busId}, unit ${unitId}: ${count} registers at ${address} with function ${functionCode}`
  }
}
