import { readFileSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, STATUS_CODES } from 'node:http'
import { type AddressInfo, createServer, type Server, Socket } from 'node:net'
import { createServer as createTlsServer, TLSSocket } from 'node:tls'
import { WattError } from '@wattline/protocol'
import type { OcppConfig } from './ocpp-config.ts'
import { type Refusal, toTlsRefusal } from './refusal.ts'
import { findHeadEnd, mendHead } from './upgrade-head.ts'

/** A station that asks for a WebSocket. */
export interface UpgradeRequest {
  readonly request: IncomingMessage
  readonly socket: Socket
  readonly head: Buffer
}

/** What a front tells. */
export interface FrontEvents {
  /** Whatever comes in, this gets requests for a WebSocket and nothing else. */
  upgrade(upgrade: UpgradeRequest): void
  /** Somebody went no further than TLS; who it is, only the address tells. */
  failed(refusal: Refusal, address: string): void
}

/** The ports that stations connect to. */
export interface Front {
  /** Ports in use: plain first, then TLS where there is one. */
  readonly ports: readonly number[]
  /** Reads the files of the TLS port anew: for connections from now on. */
  renewTls(): void
  close(): Promise<void>
}

const longestHeadBytes = 16_384
/** From the first byte, TLS included, to the end of the request. */
const headWithinMs = 10_000

/** Answers a request without taking it, and says why in words. */
export function refuseUpgrade(socket: Socket, status: number, reason: string): void {
  const name = STATUS_CODES[status] ?? ''
  const login = status === 401 ? 'WWW-Authenticate: Basic realm="OCPP"\r\n' : ''
  const head = `HTTP/1.1 ${status} ${name}\r\n${login}Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n`
  socket.end(`${head}Content-Length: ${Buffer.byteLength(reason)}\r\n\r\n${reason}`)
  // A peer that does not close its half must not keep ours.
  socket.setTimeout(headWithinMs, () => socket.destroy())
}

/** Opens the ports. */
export async function openFront(config: OcppConfig, events: FrontEvents): Promise<Front> {
  const http = createHttpServer({ maxHeaderSize: longestHeadBytes }, (_request, response) => {
    response.writeHead(426, { connection: 'close', upgrade: 'websocket', 'content-type': 'text/plain' })
    response.end('This port speaks OCPP over WebSocket: ws://host:port/<station identity>')
  })
  http.on('upgrade', (request, socket, head) => {
    if (isSocket(socket)) events.upgrade({ request, socket, head })
    else socket.destroy()
  })
  http.on('clientError', (_error, socket) => {
    if (isSocket(socket) && socket.writable) refuseUpgrade(socket, 400, 'this is no HTTP request')
    else socket.destroy()
  })
  const accept = (socket: Socket) => {
    // Gone once the socket is destroyed.
    const { remoteAddress = '' } = socket
    readHead(socket, {
      done: () => http.emit('connection', socket),
      isTls: () => events.failed({ code: 'tls-on-plain', reason: 'it speaks TLS on the port without' }, remoteAddress),
    })
  }
  const sockets = new Set<Socket>()
  const servers: Server[] = []
  const open = async (server: Server, port: number) => {
    server.maxConnections = config.maxConnections
    server.on('connection', (socket: Socket) => {
      sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => {}))
    })
    servers.push(server)
    await listen(server, config.host, port)
  }
  let renewTls = () => {}
  const close = async () => {
    for (const socket of sockets) socket.destroy()
    await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))))
  }
  try {
    await open(createServer({ noDelay: true }, accept), config.port)
    if (config.tls !== undefined) {
      const files = config.tls
      const tls = openTls(files, accept, events)
      renewTls = () => tls.setSecureContext(readTlsFiles(files))
      await open(tls, files.port)
    }
  } catch (error) {
    await close()
    throw error
  }
  return { ports: servers.map((server) => (server.address() as AddressInfo).port), renewTls, close }
}

function openTls(files: NonNullable<OcppConfig['tls']>, accept: (socket: Socket) => void, events: FrontEvents) {
  const options = { ...readTlsFiles(files), noDelay: true, handshakeTimeout: headWithinMs }
  const tls = createTlsServer(options, accept)
  // Gone once the handshake has failed.
  const addresses = new WeakMap<Socket, string>()
  tls.on('connection', (socket: Socket) => addresses.set(socket, socket.remoteAddress ?? ''))
  tls.on('tlsClientError', (error: Error & { code?: unknown }, socket) => {
    const raw: unknown = Reflect.get(socket, '_parent')
    const address = raw instanceof Socket ? addresses.get(raw) : undefined
    events.failed(toTlsRefusal(String(error.code ?? error.message)), address ?? socket.remoteAddress ?? '')
    socket.destroy()
  })
  return tls
}

/** A client certificate as it was shown. */
export interface ShownCertificate {
  readonly name: string
  /** Unix ms. */
  readonly endsAt: number
  /** Why it proves nothing, as Node's verification calls it; absent for one that our authority has signed. */
  readonly fault?: string
}

/** The client certificate of a connection, where one was shown. */
export function certificateOf(socket: Socket): ShownCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return undefined
  // An object without a prototype, made by Node.
  const names: unknown = certificate.toLegacyObject().subject?.CN
  const shown = { name: typeof names === 'string' ? names : '', endsAt: certificate.validToDate.getTime() }
  if (socket.authorized) return shown
  const fault: unknown = socket.authorizationError
  return { ...shown, fault: fault instanceof Error ? fault.message : String(fault) }
}

function isSocket(socket: unknown): socket is Socket {
  return socket instanceof TLSSocket || (typeof socket === 'object' && socket !== null && 'remoteAddress' in socket)
}

// A certificate is asked for, but its lack is judged later, by the station's profile, and told in words.
function readTlsFiles({ certFile, keyFile, clientCaFile }: NonNullable<OcppConfig['tls']>) {
  const read = (file: string) => {
    try {
      return readFileSync(file)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new WattError('config/unreadable', `${file}: cannot be read: ${reason}`, { cause })
    }
  }
  const own = { cert: read(certFile), key: read(keyFile) }
  return clientCaFile === undefined
    ? own
    : { ...own, ca: read(clientCaFile), requestCert: true, rejectUnauthorized: false }
}

/** RFC 8446 §5.1: the type of the first record of a handshake. No HTTP request begins with it. */
const tlsHandshake = 0x16

// Node takes a request for an upgrade only with `Connection: Upgrade`, which some firmware leaves out. So the head is
// read here, mended, and put back before Node sees it.
function readHead(socket: Socket, events: { done: () => void; isTls: () => void }): void {
  let head = Buffer.alloc(0)
  const timer = setTimeout(() => socket.destroy(), headWithinMs)
  const onData = (chunk: Buffer) => {
    head = Buffer.concat([head, chunk])
    if (head[0] === tlsHandshake) {
      stop()
      socket.destroy()
      events.isTls()
      return
    }
    const end = findHeadEnd(head)
    if (end === undefined && head.length <= longestHeadBytes) return
    stop()
    if (end === undefined) {
      refuseUpgrade(socket, 431, `the request is longer than ${longestHeadBytes} bytes`)
      return
    }
    socket.pause()
    socket.unshift(mendHead(head, end))
    events.done()
    process.nextTick(() => socket.resume())
  }
  const stop = () => {
    clearTimeout(timer)
    socket.off('data', onData).off('close', stop)
  }
  socket.on('data', onData).on('close', stop)
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(toListenError(error, `${host}:${port}`)))
    server.listen({ host, port }, () => resolve())
  })
}

function toListenError(cause: Error, where: string): Error {
  const code = 'code' in cause ? cause.code : undefined
  const options = { cause, retryable: true }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new WattError('port/missing', `${where}: this machine has no such address`, options)
  }
  const reason = code === 'EACCES' ? 'no right to listen here' : 'another program listens here'
  return code === 'EACCES' || code === 'EADDRINUSE'
    ? new WattError('port/occupied', `${where}: ${reason}`, options)
    : cause
}
