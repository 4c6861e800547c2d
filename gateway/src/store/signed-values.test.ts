import { makeTimestamp } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { makeSession, moment } from '../../test/session-states.ts'
import { makeTempFolder } from '../../test/signing-rig.ts'
import { openStore } from './database.ts'
import { OcppJournal } from './ocpp-journal.ts'
import { SessionStore } from './sessions.ts'
import { insertSignedValue, pruneSignedValues } from './signed-values.ts'

function open(t: ExecutionContext) {
  const store = openStore(makeTempFolder(t.teardown))
  t.teardown(() => store.close())
  const [books, journal] = [new SessionStore(store), new OcppJournal(store)]
  let values = 0
  return {
    books,
    /** Begins a session, whose number is its name. */
    begin: (id: number, at: number, isSettled: boolean) =>
      store.write(() => books.writeSession({ ...makeSession(id, 1, String(id)), begunAt: moment(at), isSettled })),
    /** A value comes for a transaction. */
    take: (transactionId: string, at: number) => {
      const digest = `value ${++values}`
      const message = { stationId: 'CP1', version: 'ocpp1.6', action: 'MeterValues', messageId: 'm' } as const
      store.write(() => {
        const outcome = { contentHash: '', frame: '', outcome: 'accepted', notes: [] } as const
        const frame = journal.append({ ...message, arrivedAt: makeTimestamp(at), ...outcome })
        const said = { context: '', sampledAt: '', encoding: 'OCMF', text: digest, meter: '', publicKey: '' }
        insertSignedValue(store, {
          frame,
          stationId: 'CP1',
          transactionId,
          ...said,
          digest,
          verdict: 'valid',
          reason: '',
        })
      })
    },
    prune: (beforeMs: number, limits: { most?: number; chunk?: number } = {}) =>
      store.write(() => pruneSignedValues(store, { beforeMs, most: 100, chunk: 100, ...limits })),
    kept: () => store.sql('SELECT transaction_id FROM signed_values ORDER BY number').pluck().all(),
  }
}

test('signed values go by age, but not before their session', (t) => {
  const rig = open(t)
  rig.begin(7, 10, true)
  rig.begin(8, 10, false)
  for (const transaction of ['7', '8', '', 'unknown']) rig.take(transaction, 10)
  rig.take('', 30)
  t.is(rig.prune(10), 0, 'nothing is older')
  t.is(rig.prune(20), 2)
  t.deepEqual(rig.kept(), ['7', '8', ''])
  rig.books.prune({ beforeMs: 20, most: 100, chunk: 100 })
  rig.prune(20)
  t.deepEqual(rig.kept(), ['8', ''], 'what is not settled stays')
  rig.begin(8, 10, true)
  rig.books.prune({ beforeMs: 20, most: 100, chunk: 100 })
  rig.prune(20)
  t.deepEqual(rig.kept(), [''])
})

test('where signed values are too many the oldest go, though not those of a session that is not settled', (t) => {
  const rig = open(t)
  rig.begin(7, 10, true)
  rig.begin(8, 10, false)
  for (const transaction of ['8', '7', '7', '', '7']) rig.take(transaction, 10)
  t.is(rig.prune(0, { most: 2 }), 2)
  t.deepEqual(rig.kept(), ['8', '', '7'])
  for (let n = 0; n < 10; n++) rig.take('', 10)
  t.is(rig.prune(20, { chunk: 3 }), 1, 'it looks at three')
})
