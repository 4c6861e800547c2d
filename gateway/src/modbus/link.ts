import type { WattError } from '@wattline/protocol'

/** What a link reports. Nothing is reported after `ended`, nor after `close()`. */
export interface LinkEvents {
  bytes(bytes: Buffer): void
  /** The other side is gone: cable out, socket closed. */
  ended(error: WattError): void
}

/** One connected byte pipe. It never comes back: after its end, a new one is connected. */
export interface Link {
  write(bytes: Uint8Array): void
  /** Resolves when whatever had already reached this machine is delivered or thrown away. */
  clear(): Promise<void>
  /** Resolves when the port or socket is free again. */
  close(): Promise<void>
}

/** Connects once, or rejects with the reason; aborting gives up. */
export type Connect = (events: LinkEvents, abort: AbortSignal) => Promise<Link>
