import { makeTimestamp } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { makeTempFolder } from '../../test/signing-rig.ts'
import { openStore, type Store } from './database.ts'
import { UpstreamQueue } from './upstream-queue.ts'

function open(t: ExecutionContext): { store: Store; queue: UpstreamQueue } {
  const store = openStore(makeTempFolder(t.teardown))
  t.teardown(() => store.close())
  return { store, queue: new UpstreamQueue(store) }
}

const entry = (n: number, changes: object = {}) => ({
  stationId: 'CP1',
  version: 'ocpp1.6' as const,
  action: 'MeterValues',
  contentHash: `hash ${n}`,
  arrivedAt: makeTimestamp(n),
  content: { payload: { n } },
  isLate: false,
  ...changes,
})

test('what is looked for at each message is found by an index, however much waits', (t) => {
  const { store, queue } = open(t)
  store.write(() => {
    for (let n = 0; n < 3_000; n++) queue.append(entry(n, { stationId: `CP${n % 3}` }))
  })
  store.db.exec('ANALYZE')
  const texts: string[] = []
  const watched = new UpstreamQueue({
    ...store,
    sql: (text) => {
      texts.push(text)
      return store.sql(text)
    },
  })
  const head = watched.head('CP1')
  watched.append(entry(5_000))
  if (head !== undefined) watched.delivered(head)
  watched.counts('CP1')
  watched.noticesWaiting('CP1')
  watched.prune(0, 10)
  t.true(texts.length >= 8)
  for (const text of texts) {
    const statement = store.db.prepare(`EXPLAIN QUERY PLAN ${text}`)
    const plan = statement.all(...Array.from(text.matchAll(/\?/g), () => 1)) as { detail: string }[]
    t.false(
      plan.some(({ detail }) => /^SCAN (upstream_messages|m)\b(?!.*USING.*INDEX)/.test(detail)),
      `${text}: ${JSON.stringify(plan)}`,
    )
  }
})

test('a message whose frame is gone has no content, and the queue goes on', (t) => {
  const { queue } = open(t)
  queue.append(entry(1, { content: { frame: 77 } }))
  queue.append(entry(2))
  const first = queue.head('CP1')
  t.is(first?.payload, undefined)
  queue.putAside(first?.number ?? 0, 'gone')
  t.deepEqual(queue.head('CP1')?.payload, { n: 2 })
  t.deepEqual(queue.counts('CP1'), { waiting: 1, aside: 1 })
})

test('the queues of two stations do not know each other', (t) => {
  const { queue } = open(t)
  t.true(queue.append(entry(1)))
  t.true(queue.append(entry(1, { stationId: 'CP2' })))
  t.false(queue.append(entry(1)))
  t.true(queue.append(entry(3, { action: 'StopTransaction' })))
  t.false(queue.append(entry(3, { action: 'StopTransaction' })))
  t.deepEqual(queue.stationsWaiting(), ['CP1', 'CP2'])
  t.not(queue.head('CP1')?.messageId, queue.head('CP2')?.messageId)
})
