import { makeGatewayId, makeMeterId, makePointId, type Receipt } from '@wattline/protocol'
import test from 'ava'
import { Health } from './health.ts'
import type { Log } from './log.ts'
import { makeMetrics } from './metrics.ts'
import { watchUplink } from './watch.ts'

test('SPEC-71: a ledger whose clock was put back is told in health, with the way out, until it is heard again', (t) => {
  const health = new Health()
  const log: Log = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} }
  const watch = watchUplink({ log, health, metrics: makeMetrics(), onFatal: (error) => t.fail(String(error)) })
  const point = makePointId(makeGatewayId('gw-1'), makeMeterId('roof'))
  const receipt: Receipt = {
    ...{ point, ledger: new Uint8Array(65), session: '00000000000000aa', serial: 1 },
    ...{ epoch: 1, sequence: 1, hash: 'a'.repeat(64), mintedWh: 0n, burnedWh: 0n, resend: false },
  }
  watch.settled(receipt, { outcome: 'outdated' }, undefined)
  t.like(health.report().reasons[0], { code: 'receipt/outdated', where: 'ledger: gw-1/roof' })
  t.regex(health.report().reasons[0]!.message, /clock .* start the ledger anew/)
  watch.settled(receipt, { outcome: 'stale' }, undefined)
  t.is(health.report().status, 'degraded')
  watch.settled(receipt, { outcome: 'unchanged' }, undefined)
  t.is(health.report().status, 'ok')
})
