import { readFileSync } from 'node:fs'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { WattError } from '@wattline/protocol'
import type { TlsFiles } from './config.ts'
import type { Health } from './health.ts'
import type { Metrics } from './metrics.ts'
import type { OrderPages } from './orders/order-pages.ts'

/** The page for supervisors and Prometheus. */
export interface StatusServer {
  readonly port: number
  close(): Promise<void>
}

/** Serves /healthz and /metrics, and wallets where they are configured; over TLS alone where it has a certificate. */
export async function startStatusServer(
  { tls, ...place }: { readonly host: string; readonly port: number; readonly tls?: TlsFiles },
  parts: { readonly health: Health; readonly metrics: Metrics; readonly wallets?: OrderPages },
): Promise<StatusServer> {
  const listener: RequestListener = (request, response) => {
    const path = request.url?.split('?')[0]
    if (parts.wallets?.serves(path ?? '') === true) return void parts.wallets.serve(request, response)
    if (request.method !== 'GET') return send(response, 405, 'text/plain', 'GET expected\n')
    if (path === '/healthz') return sendHealth(response, parts.health)
    if (path !== '/metrics') return send(response, 404, 'text/plain', '/healthz or /metrics expected\n')
    parts.metrics.format().then(
      ({ contentType, body }) => send(response, 200, contentType, body),
      (error: unknown) => send(response, 500, 'text/plain', `${String(error)}\n`),
    )
  }
  const server = tls === undefined ? createServer(listener) : createTlsServer(readTls(tls), listener)
  // A client that says nothing must not hold a connection for ever.
  server.requestTimeout = 10_000
  server.maxConnections = 500
  const address = await new Promise<AddressInfo>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const problem =
        cause.code === 'EADDRINUSE' ? 'is in use by another program' : `cannot be listened on (${cause.code})`
      reject(new WattError('port/occupied', `http: ${place.host}:${place.port} ${problem}`, { cause }))
    })
    server.listen(place, () => {
      const bound = server.address()
      if (typeof bound === 'object' && bound !== null) resolve(bound)
    })
  })
  return {
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function readTls({ certFile, keyFile }: TlsFiles): { readonly cert: Buffer; readonly key: Buffer } {
  return { cert: readPem('certFile', certFile), key: readPem('keyFile', keyFile) }
}

function readPem(name: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new WattError('config/unreadable', `http.tls.${name}: ${path}: cannot be read`, { cause })
  }
}

function sendHealth(response: ServerResponse, health: Health): void {
  const troubles = health.troubles()
  const status = troubles.length === 0 ? 'ok' : 'degraded'
  send(response, status === 'ok' ? 200 : 503, 'application/json', `${JSON.stringify({ status, troubles })}\n`)
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'content-type': contentType }).end(body)
}
