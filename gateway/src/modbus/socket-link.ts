import { connect, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { WattError } from '@wattline/protocol'
import type { Connect, Link, LinkEvents } from './link.ts'

export interface SocketAddress {
  readonly host: string
  readonly port: number
}

const connectTimeoutMs = 5000
const keepAliveMs = 30_000

/** Connects byte pipes over TCP. */
export function socketConnector(address: SocketAddress): Connect {
  const where = `${address.host}:${address.port}`
  return (events, abort) =>
    new Promise((resolve, reject) => {
      const socket = connect({ ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs })
      const signal = AbortSignal.any([abort, AbortSignal.timeout(connectTimeoutMs)])
      const fail = (cause: unknown) => {
        socket.destroy()
        reject(closed(`cannot connect to ${where}: ${toText(cause)}`, cause))
      }
      const aborted = () => fail(signal.reason)
      socket.once('error', fail)
      signal.addEventListener('abort', aborted, { once: true })
      socket.once('connect', () => {
        signal.removeEventListener('abort', aborted)
        socket.off('error', fail)
        resolve(openLink(socket, where, events))
      })
    })
}

function openLink(socket: Socket, where: string, events: LinkEvents): Link {
  let over = false
  let reason: unknown
  socket.on('data', (bytes: Buffer) => {
    if (!over) events.bytes(bytes)
  })
  socket.on('error', (error) => {
    reason = error
  })
  // A half-open connection is of no use: no answer can come any more.
  socket.on('end', () => socket.destroy())
  socket.on('close', () => {
    if (over) return
    over = true
    events.ended(closed(`connection to ${where} closed${reason === undefined ? '' : `: ${toText(reason)}`}`, reason))
  })
  return {
    write: (bytes) => void socket.write(bytes),
    // Two turns of the event loop: what the socket already holds is read in the poll phase between them.
    clear: async () => {
      await nextTurn()
      await nextTurn()
    },
    close: async () => {
      over = true
      socket.destroy()
    },
  }
}

function closed(message: string, cause: unknown): WattError {
  return new WattError('bus/closed', message, { retryable: true, cause })
}

function toText(cause: unknown): string {
  if (cause instanceof AggregateError && cause.message === '') return cause.errors.map(toText).join(', ')
  return cause instanceof Error ? cause.message : String(cause)
}
