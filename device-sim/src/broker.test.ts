import test from 'ava'
import mqtt from 'mqtt'
import { startBroker } from './broker.ts'

test('the broker carries a message at QoS 1, on a free port', async (t) => {
  const broker = await startBroker({ host: '127.0.0.1', port: 0 })
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`)
  t.teardown(async () => {
    await client.endAsync(true)
    await broker.stop()
  })
  const received = new Promise<string>((resolve) =>
    client.on('message', (_topic, payload) => resolve(payload.toString())),
  )
  await client.subscribeAsync('a/b', { qos: 1 })
  await client.publishAsync('a/b', 'hello', { qos: 1 })
  t.is(await received, 'hello')
})

test('a port that is taken is told as such', async (t) => {
  const broker = await startBroker({ host: '127.0.0.1', port: 0 })
  t.teardown(() => broker.stop())
  await t.throwsAsync(startBroker({ host: '127.0.0.1', port: broker.port }), { code: 'port/occupied' })
})

test('a stopped broker breaks its clients off', async (t) => {
  const broker = await startBroker({ host: '127.0.0.1', port: 0 })
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, { reconnectPeriod: 0 })
  const closed = new Promise<void>((resolve) => client.on('close', () => resolve()))
  await broker.stop()
  await closed
  t.false(client.connected)
})
