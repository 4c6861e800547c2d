import type { TlsIdentity } from './station-security.ts'

/** One WebSocket as the firmware sees it. */
export interface Link {
  send(text: string): void
  /** A close frame; with `abrupt` the socket goes without one. */
  close(how?: 'abrupt'): void
  /** The network is gone: nothing goes out any more, no answer to a ping either, and nobody is told. */
  mute(): void
  /** Sends what no WebSocket peer may send: a frame with reserved bits. */
  sendBadFrame(): void
}

export interface LinkEvents {
  opened(): void
  text(text: string): void
  /** Comes once, also for a link that never opened. */
  closed(reason: string): void
}

export interface LinkRequest {
  readonly url: string
  /** Nothing: no subprotocol is offered. */
  readonly subprotocol: string | undefined
  readonly user: string
  readonly password: string | undefined
  /** What was installed over OCPP; it comes before what lies in files. */
  readonly identity: TlsIdentity
}

/** Opens links; the one place where the firmware meets the network. */
export type OpenLink = (request: LinkRequest, events: LinkEvents) => Link
