import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { openPipe, type PipeEvents } from './pipe.ts'

const noEvents: PipeEvents = { opened: () => {}, received: () => {}, closed: () => {} }

async function listen(
  t: ExecutionContext,
  onSocket: (socket: Socket) => void,
): Promise<{ server: Server; url: string }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    onSocket(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  return { server, url: `mqtt://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}` }
}

const settings = (url: string) => ({
  config: { url, window: 1 },
  clientId: 'test',
  topicFilter: 'a/+/receipt',
  firstPauseMs: 20,
  longestPauseMs: 40,
})

test('a pipe that is still connecting is closed at once, and lets go of its socket', async (t) => {
  const connected = Promise.withResolvers<Socket>()
  const { url } = await listen(t, connected.resolve) // takes the connection and never says a word
  const pipe = openPipe(settings(url), noEvents)
  const socket = await connected.promise
  const closed = once(socket, 'close')
  socket.resume()
  const before = performance.now()
  await pipe.close()
  await closed
  t.true(performance.now() - before < 5_000, 'not only when the connection times out')
})

test('a broker that is away is tried again until it is there, and told each time', async (t) => {
  const reasons: string[] = []
  let connections = 0
  const { url } = await listen(t, (socket) => {
    connections++
    socket.destroy()
  })
  const third = Promise.withResolvers<void>()
  const pipe = openPipe(settings(url), {
    ...noEvents,
    closed: (reason) => {
      reasons.push(reason)
      if (reasons.length === 3) third.resolve()
    },
  })
  await third.promise
  t.false(pipe.open)
  t.true(connections >= 3)
  pipe.publish('a', 'b', () => t.fail('nothing is kept for later'))
  await pipe.close()
})

test('a certificate file that is missing is a reason like any other, told with its name', async (t) => {
  const told = Promise.withResolvers<string>()
  const base = settings('mqtts://127.0.0.1:1')
  const pipe = openPipe(
    { ...base, config: { ...base.config, tls: { caFile: '/nowhere/ca.pem' } } },
    { ...noEvents, closed: told.resolve },
  )
  t.regex(await told.promise, /\/nowhere\/ca\.pem/)
  await pipe.close()
})
