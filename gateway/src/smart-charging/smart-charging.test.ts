import { makeTimestamp, WattError } from '@wattline/protocol'
import test from 'ava'
import * as v from 'valibot'
import { KeptLog } from '../../test/csms-rig.ts'
import { Health } from '../health.ts'
import { LatestValues } from '../latest-values.ts'
import { makeMetrics } from '../metrics.ts'
import { FakeScheduler } from '../modbus/fake-scheduler.ts'
import type { StationCall } from '../ocpp/intake.ts'
import { checkOutgoing } from '../ocpp/outgoing.ts'
import { siteShape } from './site-config.ts'
import { SmartCharging } from './smart-charging.ts'

const beganMs = Date.parse('2026-11-21T12:00:00Z')

type Call = { readonly action: string; readonly payload: object; readonly atMs: number }

/** The sharing of a house in virtual time; what is sent is answered as `answer` says. */
function rig(site: object = {}) {
  const scheduler = new FakeScheduler()
  const health = new Health()
  const log = new KeptLog()
  const values = new LatestValues(() => scheduler.now())
  const calls: Call[] = []
  const house = { ampere: 2, isRead: true }
  const behaviour = { answer: (_: Call): object => ({ status: 'Accepted' }) }
  const sharing = new SmartCharging({
    site: v.parse(siteShape, {
      mainFuseA: 25,
      phases: 1,
      meter: 'house',
      stations: [{ id: 'CP1', phases: ['L1'] }],
      ...site,
    }),
    scheduler,
    clock: { now: () => makeTimestamp(beganMs + scheduler.now()), status: () => 'S' },
    log,
    health,
    valuesOf: (meter, ageMs) => values.within(meter, ageMs),
    call: async (_, action, payload) => {
      checkOutgoing('ocpp1.6', action, payload)
      const call = { action, payload: payload as object, atMs: scheduler.now() }
      calls.push(call)
      return { payload: behaviour.answer(call) }
    },
  })
  sharing.start()
  const run = async (seconds: number) => {
    for (let second = 0; second < seconds; second += 1) {
      if (house.isRead) {
        const takenAt = makeTimestamp(beganMs + scheduler.now())
        values.take('house', { takenAt, list: [{ measurand: 'Current.Import', value: house.ampere }] }, 1)
      }
      await scheduler.advance(1000)
    }
  }
  const hear = (action: string, payload: object, answer?: object) => {
    const call: StationCall = {
      stationId: 'CP1',
      version: 'ocpp1.6',
      action,
      messageId: '1',
      payload,
      frame: '',
      timeZone: 'UTC',
    }
    sharing.heard(call, payload as never, answer as never)
  }
  const begin = () => {
    hear('StartTransaction', { connectorId: 1 }, { transactionId: 17, idTagInfo: { status: 'Accepted' } })
    hear('StatusNotification', { connectorId: 1, status: 'Charging' })
  }
  return { sharing, health, log, calls, house, behaviour, run, hear, begin }
}

const profileOf = (call: Call | undefined) => Object(call?.payload).csChargingProfiles
const limitOf = (call: Call | undefined) => profileOf(call)?.chargingSchedule.chargingSchedulePeriod[0].limit

test('a station that connects is told the safe current, and asked for its state where it keeps silent', async (t) => {
  const { sharing, calls, run } = rig()
  sharing.connected('CP1', 'ocpp1.6')
  await run(12)
  t.deepEqual(
    calls.map(({ action }) => action),
    ['SetChargingProfile', 'TriggerMessage'],
  )
  t.like(profileOf(calls[0]), { chargingProfilePurpose: 'TxDefaultProfile', chargingSchedule: { duration: undefined } })
  t.is(limitOf(calls[0]), 6)
})

test('a transaction is given what the house leaves, under its own number', async (t) => {
  const { sharing, calls, run, begin } = rig()
  sharing.connected('CP1', 'ocpp1.6')
  await run(3)
  begin()
  await run(60)
  t.like(profileOf(calls.at(-1)), { chargingProfilePurpose: 'TxProfile', transactionId: 17 })
  t.is(limitOf(calls.at(-1)), 16)
})

test('a lost measurement is told, is a state of health, and sets the safe current within 10 s', async (t) => {
  const { sharing, calls, house, health, log, run, begin } = rig()
  sharing.connected('CP1', 'ocpp1.6')
  await run(3)
  begin()
  await run(60)
  house.isRead = false
  const lostMs = calls.length
  await run(10)
  t.is(limitOf(calls.at(-1)), 6)
  t.is(calls.length, lostMs + 1)
  t.like(health.report(), { status: 'degraded', reasons: [{ code: 'site/unmeasured' }] })
  house.isRead = true
  await run(2)
  t.is(health.report().status, 'ok')
  t.deepEqual(
    log.lines.map(({ event }) => event).filter((event) => event.startsWith('site.measurement')),
    ['site.measurement.back', 'site.measurement.lost', 'site.measurement.back'],
  )
})

test('a station without smart charging is named, and left alone for a while', async (t) => {
  const { sharing, behaviour, calls, health, run, begin } = rig()
  behaviour.answer = () => {
    throw new WattError('station/refused', 'CP1 refused', {
      cause: Object.assign(new Error(), { rpcErrorCode: 'NotImplemented' }),
    })
  }
  sharing.connected('CP1', 'ocpp1.6')
  begin()
  await run(300)
  t.is(calls.length, 1)
  t.like(health.report().reasons[0], { code: 'site/disobeyed', where: 'charger CP1/1' })
  await run(400)
  t.is(calls.length, 2)
})

test('a station whose clock is wrong is told times of its own', async (t) => {
  const { sharing, calls, run, hear, begin } = rig()
  sharing.connected('CP1', 'ocpp1.6')
  await run(3)
  begin()
  hear('StatusNotification', { connectorId: 1, status: 'Charging', timestamp: '2026-11-21T14:00:03.000Z' })
  await run(30)
  const told = profileOf(calls.at(-1)).chargingSchedule.startSchedule
  t.true(Date.parse(told) > beganMs + 6_600_000)
})

test('a station that is not of the site is nobody', async (t) => {
  const { sharing, calls, run } = rig()
  sharing.connected('CP9', 'ocpp1.6')
  sharing.disconnected('CP9')
  await run(20)
  t.is(calls.length, 0)
})

test('limit and allocation stand in the metrics', async (t) => {
  const { sharing, run, begin } = rig()
  sharing.connected('CP1', 'ocpp1.6')
  await run(3)
  begin()
  await run(60)
  const sources = {
    values: () => new Map(),
    waiting: () => new Map(),
    databaseBytes: () => 0,
    upstream: () => new Map(),
    site: () => sharing.view(),
  }
  const text = await makeMetrics().format(sources)
  t.regex(text, /wattline_site_measured\{site="house"\} 1/)
  t.regex(text, /wattline_charger_offered_amperes\{charger="CP1\/1"\} 16/)
  t.regex(text, /wattline_charger_state\{charger="CP1\/1",state="charging"\} 1/)
  t.regex(text, /wattline_site_limit_amperes\{limit="house L1"\} /)
})
