import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import WebSocket, { type ClientOptions } from 'ws'
import type { OpenLink } from './link.ts'
import type { Quirks } from './quirks.ts'

export interface TlsFiles {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

const handshakeTimeoutMs = 20_000

/**
 * Real WebSockets. ocpp-rpc's client is not used here: it chooses message ids, sends pings and connects again by
 * itself, so it cannot stand in for a station that does any of these wrongly.
 */
export function webSocketLinks(quirks: Quirks, tls: TlsFiles = {}): OpenLink {
  const read = (path: string | undefined) => (path === undefined ? undefined : readFileSync(path))
  return ({ url, subprotocol, user, password, identity }, events) => {
    const options: ClientOptions = {
      perMessageDeflate: subprotocol !== undefined && subprotocol !== 'ocpp1.6',
      handshakeTimeout: handshakeTimeoutMs,
      autoPong: !quirks.has('ignores-pings'),
      ...trusted([read(tls.ca)?.toString(), ...identity.roots]),
      cert: identity.cert ?? read(tls.cert),
      key: identity.key ?? read(tls.key),
      // A password may be any bytes: one character each.
      ...(password === undefined ? {} : { headers: { authorization: `Basic ${basic(user, password)}` } }),
      ...(quirks.has('no-upgrade-header') ? { finishRequest: withoutUpgrade } : {}),
    }
    const ws = new WebSocket(url, subprotocol === undefined ? [] : [subprotocol], options)
    let socket: Socket | undefined
    let trouble = ''
    let isMute = false
    ws.on('upgrade', (response) => {
      socket = response.socket
    })
    ws.on('open', () => events.opened())
    ws.on('message', (bytes) => events.text(bytes.toString()))
    // 'close' always follows.
    ws.on('error', (error) => {
      trouble = error.message
    })
    ws.once('close', (code, reason) => events.closed(trouble || `${code} ${reason.toString()}`.trim()))
    return {
      send(text) {
        if (ws.readyState === WebSocket.OPEN && !isMute) ws.send(text)
      },
      close(how) {
        if (how === 'abrupt') ws.terminate()
        else ws.close(1000)
      },
      mute() {
        isMute = true
        if (ws.readyState === WebSocket.OPEN) ws.pause()
        else ws.terminate()
      },
      // FIN, RSV1 and opcode 1; masked, empty.
      sendBadFrame: () => void socket?.write(Uint8Array.of(0xc1 | 0x30, 0x80, 0, 0, 0, 0)),
    }
  }
}

function trusted(roots: readonly (string | undefined)[]): ClientOptions {
  const ca = roots.filter((root) => root !== undefined)
  return ca.length === 0 ? {} : { ca }
}

function basic(user: string, password: string): string {
  return Buffer.from(`${user}:${password}`, 'latin1').toString('base64')
}

// A server then sees a plain GET.
const withoutUpgrade: NonNullable<ClientOptions['finishRequest']> = (request) => {
  request.removeHeader('Connection')
  request.end()
}
