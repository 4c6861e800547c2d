import type { Connect } from './link.ts'

/** Sees every byte of a link as it goes by, whatever the port makes of it. */
export interface LineTap {
  sent(bytes: Uint8Array): void
  received(bytes: Uint8Array): void
}

/** The same links, watched. */
export function tapped(connect: Connect, tap: LineTap): Connect {
  return async (events, abort) => {
    const bytes = (received: Buffer) => {
      tap.received(received)
      events.bytes(received)
    }
    const link = await connect({ bytes, ended: (error) => events.ended(error) }, abort)
    const write = (sent: Uint8Array) => {
      tap.sent(sent)
      link.write(sent)
    }
    return { write, clear: () => link.clear(), close: () => link.close() }
  }
}
