import test from 'ava'
import { makeMetrics } from './metrics.ts'

test('how each station stands upstream is a figure of its own, and goes with the station', async (t) => {
  const metrics = makeMetrics()
  const views = new Map([
    ['CP1', { identity: 'DE*CP1', state: 'connected', waiting: 0, aside: 1 }],
    ['CP2', { identity: 'DE*CP2', state: 'unreachable', reason: 'no route', waiting: 7, aside: 0 }],
  ] as const)
  const format = () =>
    metrics.format({ values: () => new Map(), waiting: () => new Map(), databaseBytes: () => 0, upstream: () => views })
  const text = await format()
  t.regex(text, /^wattline_upstream_connected\{station="CP1"\} 1$/m)
  t.regex(text, /^wattline_upstream_connected\{station="CP2"\} 0$/m)
  t.regex(text, /^wattline_upstream_messages\{station="CP2",state="waiting"\} 7$/m)
  t.regex(text, /^wattline_upstream_messages\{station="CP1",state="aside"\} 1$/m)
  const without = await metrics.format({
    values: () => new Map(),
    waiting: () => new Map(),
    databaseBytes: () => 0,
    upstream: () => new Map(),
  })
  t.notRegex(without, /station="CP1"/)
})
