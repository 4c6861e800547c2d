import { WattError } from '@wattline/protocol'
import { fastify } from 'fastify'
import type { ListenerConfig } from '../config.ts'
import type { HealthReport } from '../health.ts'

/** What the pages show. */
export interface WebSources {
  health(): HealthReport
  /** JSON for the live view. */
  status(): object
  metrics(): Promise<string>
  readonly metricsType: string
}

export interface WebServer {
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly url: string
  close(): Promise<void>
}

const largestRequest = 1_024
const requestWithinMs = 5_000

/** Serves health, figures and the live view. There is nothing that a request could change. */
export async function startWebServer({ host, port }: ListenerConfig, sources: WebSources): Promise<WebServer> {
  const server = fastify({
    bodyLimit: largestRequest,
    requestTimeout: requestWithinMs,
    forceCloseConnections: true,
    exposeHeadRoutes: true,
  })
  server.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
  })
  server.get('/healthz', (_request, reply) => {
    const report = sources.health()
    return reply.code(report.status === 'failing' ? 503 : 200).send(report)
  })
  server.get('/status', (_request, reply) => reply.send(sources.status()))
  server.get('/metrics', async (_request, reply) => reply.type(sources.metricsType).send(await sources.metrics()))
  try {
    const url = await server.listen({ host, port })
    return { url, close: () => server.close() }
  } catch (error) {
    await server.close()
    throw toListenError(error, `${host}:${port}`)
  }
}

function toListenError(cause: unknown, where: string): unknown {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  const options = { cause, retryable: true }
  if (code === 'EADDRINUSE') return new WattError('port/occupied', `${where}: another program listens here`, options)
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return new WattError('port/missing', `${where}: this machine has no such address`, options)
  }
  if (code === 'EACCES') return new WattError('port/occupied', `${where}: no right to listen here`, options)
  return cause
}
