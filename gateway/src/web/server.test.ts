import { once } from 'node:events'
import { createServer } from 'node:http'
import test from 'ava'
import { Health } from '../health.ts'
import { startWebServer } from './server.ts'

const sources = (health: Health) => ({
  health: () => health.report(),
  status: () => ({ points: [] }),
  metricsType: 'text/plain; version=0.0.4',
  metrics: async () => 'wattline_up 1\n',
})

test('health is 200 while records are signed, degraded or not, and 503 when none are', async (t) => {
  const health = new Health()
  const server = await startWebServer({ host: '127.0.0.1', port: 0 }, sources(health))
  t.teardown(() => server.close())
  const ask = async () => {
    const answer = await fetch(`${server.url}/healthz`)
    return { code: answer.status, body: await answer.json() }
  }
  t.deepEqual(await ask(), { code: 200, body: { status: 'ok', reasons: [] } })
  const reason = { code: 'port/missing', where: 'bus rs485-1', message: 'no such port' } as const
  t.true(health.raise(reason))
  t.false(health.raise(reason), 'no news')
  t.deepEqual(await ask(), { code: 200, body: { status: 'degraded', reasons: [reason] } })
  health.raise({ code: 'storage/full', where: 'storage', message: 'no room' })
  t.like(await ask(), { code: 503, body: { status: 'failing' } })
  health.clear('storage')
  t.is(health.clear('bus rs485-1')?.code, 'port/missing')
  t.like(await ask(), { code: 200, body: { status: 'ok' } })
})

test('nothing can be written, and large requests are refused', async (t) => {
  const server = await startWebServer({ host: '127.0.0.1', port: 0 }, sources(new Health()))
  t.teardown(() => server.close())
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
    for (const path of ['healthz', 'status', 'metrics']) {
      t.true((await fetch(`${server.url}/${path}`, { method, body: 'x'.repeat(10_000) })).status >= 400)
    }
  }
  const answer = await fetch(`${server.url}/metrics`)
  t.is(await answer.text(), 'wattline_up 1\n')
  t.is(answer.headers.get('cache-control'), 'no-store')
})

test('a port that is taken is told by its name', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const address = other.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const error = await t.throwsAsync(startWebServer({ host: '127.0.0.1', port }, sources(new Health())))
  t.like(error, { code: 'port/occupied' })
  const nowhere = await t.throwsAsync(startWebServer({ host: '192.0.2.1', port: 0 }, sources(new Health())))
  t.like(nowhere, { code: 'port/missing' })
})
