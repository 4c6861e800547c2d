import { setImmediate as turn } from 'node:timers/promises'
import { makeMeterId, WattError } from '@wattline/protocol'
import test from 'ava'
import { HandClock, makeTempFolder, observeExport, openRig } from '../test/signing-rig.ts'
import type { Attestor } from './attest.ts'
import { Health } from './health.ts'
import type { Log } from './log.ts'
import { makeMetrics } from './metrics.ts'
import { Readings } from './readings.ts'
import { watchReadings } from './watch.ts'

const roof = makeMeterId('roof')

function watched(attestor: Attestor) {
  const lines: string[] = []
  const fatal: unknown[] = []
  const line = (level: string) => (event: string) => lines.push(`${level} ${event}`)
  const log: Log = { error: line('error'), warn: line('warn'), info: line('info'), debug: () => {} }
  const health = new Health()
  const watch = watchReadings({ log, health, metrics: makeMetrics(), onFatal: (error) => fatal.push(error) })
  return { readings: new Readings(attestor, watch), watch, health, lines, fatal }
}

test('readings that come in one turn share one transaction', async (t) => {
  const batches: number[] = []
  const { readings } = watched({
    attest: (observations) => {
      batches.push(observations.length)
      return []
    },
  })
  const clock = new HandClock()
  for (let n = 0; n < 3; n++) readings.push({ meterId: roof, seen: observeExport(n, clock) })
  await turn()
  readings.push({ meterId: roof, seen: observeExport(9, clock) })
  readings.flush()
  await turn()
  t.deepEqual(batches, [3, 1])
})

test('a full disk stops the signing, is told once, and the signing goes on by itself', async (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  const { readings, health, lines, fatal } = watched(rig.attestor)
  const { db } = rig.session.store
  const read = async (wh: number) => {
    rig.clock.nowMs += 60_000
    readings.push({ meterId: roof, seen: observeExport(wh, rig.clock) })
    await turn()
  }
  await read(1_000)
  db.pragma(`max_page_count = ${Number(db.pragma('page_count', { simple: true }))}`)
  for (let n = 1; n < 40; n++) await read(1_000 + n)
  t.like(health.report(), { status: 'failing', reasons: [{ code: 'storage/full', where: 'storage' }] })
  t.deepEqual(
    lines.filter((line) => line.startsWith('error')),
    ['error storage.failed'],
  )
  const stored = rig.texts().length
  t.true(stored < 40)
  db.pragma('max_page_count = 100000')
  await read(1_050)
  t.is(rig.texts().length, stored + 1)
  t.is(health.report().status, 'ok')
  t.true(lines.includes('info storage.recovered'))
  t.deepEqual(fatal, [])
})

test('damaged storage and bugs end the program', async (t) => {
  for (const error of [new WattError('storage/corrupt', 'x'), new TypeError('bug')]) {
    const { readings, fatal } = watched({
      attest: () => {
        throw error
      },
    })
    readings.push({ meterId: roof, seen: observeExport(1, new HandClock()) })
    await turn()
    t.deepEqual(fatal, [error])
  }
})

test('a state is told when it changes, with what a person can do', async (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  const { readings, health, lines } = watched(rig.attestor)
  for (const wh of [1_000, 1_001, 900, 901, 1_010]) {
    rig.clock.nowMs += 60_000
    readings.push({ meterId: roof, seen: observeExport(wh, rig.clock) })
    await turn()
    if (wh === 900) t.regex(health.report().reasons[0]?.message ?? '', /accept-swap: export 900 Wh, 1001 Wh before$/)
  }
  t.deepEqual(lines, ['warn point.state.changed', 'info point.state.changed'])
  t.is(health.report().status, 'ok')
})
