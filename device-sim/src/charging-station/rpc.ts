import type { Timers } from '../timers.ts'
import type { Link } from './link.ts'
import type { Quirks } from './quirks.ts'
import type { CheckPayload } from './schemas.ts'

export type Payload = Readonly<Record<string, unknown>>

/** What the CSMS said to a CALL; `unsound` is an answer against its schema. */
export type Reply =
  | { readonly kind: 'result'; readonly payload: Payload }
  | { readonly kind: 'error'; readonly code: string; readonly description: string }
  | { readonly kind: 'unsound'; readonly problem: string }
  /** No answer in time, or the socket went away. */
  | { readonly kind: 'lost' }

/** What the firmware answers: a payload, a code for a CALLERROR, or nothing at all. */
export type Answer = { readonly payload: Payload } | { readonly errorCode: string } | 'silence'

export interface RpcOptions {
  readonly link: Link
  readonly timers: Timers
  readonly quirks: Quirks
  readonly check: CheckPayload
  readonly nextMessageId: () => string
  readonly onCall: (action: string, payload: Payload) => Answer
  readonly onBadMessage: (problem: string) => void
  /** OCPP 2.1 has CALLRESULTERROR. */
  readonly hasResultErrors: boolean
}

interface Waiting {
  readonly action: string
  readonly payload: Payload
  readonly resolve: (reply: Reply) => void
}

const callTimeoutMs = 30_000
const messageType = { call: 2, result: 3, error: 4, resultError: 5 } as const

/** OCPP-J over one socket: one CALL at a time, in the order they were made (OCPP-J 1.6 §4.1.1). */
export class Rpc {
  readonly #options: RpcOptions
  readonly #waiting: Waiting[] = []
  #inFlight: { readonly id: string; readonly waiting: Waiting; readonly cancelTimeout: () => void } | undefined
  #closed = false

  constructor(options: RpcOptions) {
    this.#options = options
  }

  call(action: string, payload: Payload): Promise<Reply> {
    return new Promise((resolve) => {
      if (this.#closed) {
        resolve({ kind: 'lost' })
        return
      }
      this.#waiting.push({ action, payload, resolve })
      this.#next()
    })
  }

  /** The socket is gone: everything that waits is lost. */
  close(): void {
    this.#closed = true
    const lost = [this.#inFlight?.waiting, ...this.#waiting.splice(0)]
    this.#inFlight?.cancelTimeout()
    this.#inFlight = undefined
    for (const waiting of lost) waiting?.resolve({ kind: 'lost' })
  }

  receive(text: string): void {
    const message = parse(text)
    const [type, id, ...rest] = Array.isArray(message) ? message : []
    if (typeof id !== 'string') this.#options.onBadMessage(`unreadable: ${text.slice(0, 200)}`)
    else if (type === messageType.call) this.#answer(id, rest)
    else if (type === messageType.result) this.#settle(id, (action) => this.#toResult(id, action, rest[0]))
    else if (type === messageType.error) {
      this.#settle(id, () => ({ kind: 'error', code: String(rest[0]), description: String(rest[1] ?? '') }))
    } else this.#options.onBadMessage(`message type ${String(type)}`)
  }

  #next(): void {
    const waiting = this.#inFlight === undefined ? this.#waiting.shift() : undefined
    if (waiting === undefined) return
    const id = this.#options.nextMessageId()
    const cancelTimeout = this.#options.timers.after(callTimeoutMs, () => this.#settle(id, () => ({ kind: 'lost' })))
    this.#inFlight = { id, waiting, cancelTimeout }
    this.#send([messageType.call, id, waiting.action, waiting.payload])
  }

  #settle(id: string, toReply: (action: string) => Reply): void {
    const inFlight = this.#inFlight
    if (inFlight?.id !== id) return
    inFlight.cancelTimeout()
    this.#inFlight = undefined
    inFlight.waiting.resolve(toReply(inFlight.waiting.action))
    this.#next()
  }

  #toResult(id: string, action: string, payload: unknown): Reply {
    const problem = this.#options.check(action, 'response', payload)
    if (problem === undefined && isPayload(payload)) return { kind: 'result', payload }
    this.#options.onBadMessage(`${action}: ${problem}`)
    // OCPP 2.1 part 4 §4.2.4: the one who cannot read a result says so.
    if (this.#options.hasResultErrors) this.#send([messageType.resultError, id, 'FormatViolation', '', {}])
    return { kind: 'unsound', problem: problem ?? 'no object' }
  }

  #answer(id: string, [action, payload]: readonly unknown[]): void {
    const name = String(action)
    const problem = this.#options.check(name, 'request', payload)
    const answer = problem === undefined && isPayload(payload) ? this.#options.onCall(name, payload) : undefined
    if (answer === 'silence') return
    if (answer !== undefined && 'payload' in answer) this.#send([messageType.result, id, answer.payload])
    else {
      const missing = problem?.includes('is missing from') ?? false
      const code = answer?.errorCode ?? (missing ? 'NotImplemented' : 'FormatViolation')
      this.#send([messageType.error, id, code, (problem ?? '').slice(0, 255), {}])
    }
  }

  #send(message: readonly unknown[]): void {
    if (this.#options.quirks.has('empty-frames')) this.#options.link.send('')
    this.#options.link.send(JSON.stringify(message))
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // What it is not is said where the message is looked at.
    return undefined
  }
}

function isPayload(value: unknown): value is Payload {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
