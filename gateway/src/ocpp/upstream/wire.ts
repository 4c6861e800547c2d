import type { OcppVersion } from '@wattline/protocol'
import type { OcppPayload } from '../transaction-sink.ts'

/** What is needed to appear upstream as a station. */
export interface WireTarget {
  /** With the identity. */
  readonly url: string
  readonly version: OcppVersion
  readonly identity: string
  /** Basic authentication. Any bytes. */
  readonly password?: Buffer
  readonly tls?: { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer }
  readonly pingMs: number
  readonly callTimeoutMs: number
  readonly maxMessageBytes: number
}

/** A request of upstream. */
export interface WireCall {
  readonly action: string
  readonly payload: unknown
}

/** What happens on a connection besides answers. */
export interface WireEvents {
  /** Answers a request; throws `CallRefused` for a CALLERROR. */
  answer(call: WireCall): Promise<OcppPayload>
  ended(reason: string): void
}

/** A connection upstream that stands. */
export interface Wire {
  /**
   * Sends a request under this id and gives its answer. Rejects with `UpstreamRefusal` on a CALLERROR, and with a
   * retryable `WattError` where there is none: whether it arrived is open then.
   */
  call(messageId: string, action: string, payload: OcppPayload): Promise<unknown>
  close(reason: string): void
}

/** Connects; rejects with `upstream/unreachable`, also when it is given up. */
export type Dial = (target: WireTarget, events: WireEvents, giveUp: AbortSignal) => Promise<Wire>

/** A CALLERROR of upstream. */
export class UpstreamRefusal extends Error {
  override readonly name = 'UpstreamRefusal'
  readonly code: string

  constructor(code: string, description: string) {
    super(description === '' ? code : `${code}: ${description}`)
    this.code = code
  }
}
