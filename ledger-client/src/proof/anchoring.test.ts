import { setTimeout as sleep } from 'node:timers/promises'
import { WattError } from '@wattline/protocol'
import test from 'ava'
import { Health } from '../health.ts'
import { makeLogger } from '../log.ts'
import { startAnchoring } from './anchoring.ts'

const log = makeLogger('error')

test('anchoring goes on while there is work and after storage that was full, and ends with its ledger', async (t) => {
  const health = new Health()
  let steps = 0
  const enough = Promise.withResolvers<void>()
  const step = () => {
    if (++steps === 2) throw new WattError('storage/full', 'no room', { retryable: true })
    if (steps >= 5) enough.resolve()
    return true
  }
  const stop = startAnchoring({ step }, { health, log })
  await enough.promise
  stop()
  const seen = steps
  await sleep(30)
  t.is(steps, seen)
  t.deepEqual(health.troubles(), [])
})

test('damage is told once, and nothing more is anchored', async (t) => {
  const health = new Health()
  const told: unknown[] = []
  const ended = Promise.withResolvers<void>()
  const step = (): boolean => {
    setImmediate(() => ended.resolve())
    throw new WattError('storage/corrupt', 'records: number 3 is missing')
  }
  const stop = startAnchoring(
    { step },
    { health, log: Object.assign(Object.create(log), { error: (fields: unknown) => told.push(fields) }) },
  )
  t.teardown(stop)
  await ended.promise
  t.deepEqual(health.troubles(), [{ code: 'storage/corrupt', message: 'records: number 3 is missing' }])
  t.deepEqual(told, [{ event: 'anchor.failed', code: 'storage/corrupt', reason: 'records: number 3 is missing' }])
})
