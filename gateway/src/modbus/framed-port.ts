import { EventEmitter } from 'node:events'

// Modbus V1.1b3 §6.3 and §6.4: read holding registers, read input registers.
const readFunctions: readonly number[] = [3, 4]

/** What became of a request that was given up. */
export interface GivenUp {
  /** Milliseconds from sending to the late answer, if it came while the line was watched. */
  readonly lateMs?: number
  /** Whether a late answer can only be kept out by a new connection. */
  readonly reconnect: boolean
}

/**
 * A port as modbus-serial takes it (`new ModbusRTU(port)`), over a link that is connected already. It emits
 * `data` at most once per `write`, and only for the exact answer: modbus-serial itself would take any frame
 * that comes next.
 */
export abstract class FramedPort extends EventEmitter {
  isOpen = true

  open(callback: (error: Error | null) => void): void {
    callback(null)
  }

  close(callback?: () => void): void {
    this.isOpen = false
    callback?.()
  }

  /** Sends a request, given as an RTU frame. Nothing but a read leaves this program. */
  write(frame: Buffer): void {
    const functionCode = frame[1] ?? 0
    if (!readFunctions.includes(functionCode)) throw new Error(`function ${functionCode} is not a read`)
    this.send(frame)
  }

  protected abstract send(frame: Buffer): void
  /** Takes what the link brought. */
  abstract receive(bytes: Buffer): void
  /** Resolves when the next request may be sent. */
  abstract prepare(): Promise<void>
  /** What came instead of the answer to the request in flight; empty if nothing did. */
  abstract received(): Buffer
  /** Gives the request in flight up. `windowMs` is how long to watch for its late answer. */
  abstract giveUp(windowMs: number): Promise<GivenUp>
}
