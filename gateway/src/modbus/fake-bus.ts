import { WattError } from '@wattline/protocol'
import type { ReadRequest, RegisterBus } from './bus.ts'
import type { WireCost } from './planner.ts'

/** The register at an address, or undefined where the device has none. */
export type ReadWord = (request: ReadRequest, address: number) => number | undefined

/** A bus for tests: answers from a register image, at once, and fails where it is told to. */
export class FakeBus implements RegisterBus {
  connections = 1
  readonly requests: ReadRequest[] = []
  /** Asked before each answer; an error fails the request. */
  fault: (request: ReadRequest) => WattError | undefined = () => undefined
  readonly #readWord: ReadWord
  #isClosed = false

  constructor(readWord: ReadWord) {
    this.#readWord = readWord
  }

  async read(request: ReadRequest): Promise<readonly number[]> {
    const where = `bus fake, unit ${request.unitId}: ${request.count} registers at ${request.address}`
    if (this.#isClosed) throw new WattError('bus/closed', `${where}: the bus was closed`, { retryable: true })
    this.requests.push(request)
    const error = this.fault(request)
    if (error !== undefined) throw error
    return Array.from({ length: request.count }, (_, i) => {
      const word = this.#readWord(request, request.address + i)
      if (word === undefined) throw new WattError('bus/exception', `${where}: exception 2 (illegal data address)`)
      return word
    })
  }

  cost(): WireCost {
    return { requestMs: 20, registerMs: 2 }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }
}
