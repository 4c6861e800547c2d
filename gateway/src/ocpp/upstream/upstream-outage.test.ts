import { type OcppVersion, WattError } from '@wattline/protocol'
import test from 'ava'
import { RpcUpstream } from '../../../test/rpc-upstream.ts'
import { makeTempFolder } from '../../../test/signing-rig.ts'
import { type Received, UpstreamRig } from '../../../test/upstream-rig.ts'
import { FakeScheduler } from '../../modbus/fake-scheduler.ts'
import { makeWebSocketDial } from './web-socket-wire.ts'
import type { Dial } from './wire.ts'

const hourMs = 3_600_000
const sessions = 30
const hoursEach = 6

interface Said {
  readonly action: string
  readonly payload: Record<string, unknown>
  /** Milliseconds, from the payload. */
  readonly at: number
}

const time = (ms: number) => new Date(ms).toISOString()

test('three days without upstream, 30 sessions, restarts: none lost, none doubled, order and times kept', async (t) => {
  const csms = await RpcUpstream.start(t.teardown)
  const dataDir = makeTempFolder(t.teardown)
  const stations: Readonly<Record<string, OcppVersion>> = { CP1: 'ocpp1.6', CP2: 'ocpp1.6', CP3: 'ocpp2.0.1' }
  const ids = Object.keys(stations)
  const said = new Map<string, Said[]>(ids.map((id) => [id, []]))
  let isCut = false
  let rig = open()

  function open(): UpstreamRig {
    const scheduler = new FakeScheduler()
    const real = makeWebSocketDial(scheduler)
    const dial: Dial = async (target, events, giveUp) => {
      if (isCut) throw new WattError('upstream/unreachable', 'no route', { retryable: true })
      return await real(target, events, giveUp)
    }
    const opened = new UpstreamRig(t.teardown, { dial, dataDir, scheduler, config: { url: csms.url } })
    for (const [id, version] of Object.entries(stations)) opened.upstream.connected(id, version)
    return opened
  }
  async function say(id: string, action: string, at: number, payload: Record<string, unknown>) {
    said.get(id)?.push({ action, payload, at })
    return await rig.say(id, stations[id] ?? 'ocpp1.6', action, payload)
  }
  const event = (at: number, seqNo: number, session: number) => ({
    eventType: seqNo === 0 ? 'Started' : seqNo > hoursEach ? 'Ended' : 'Updated',
    timestamp: time(at),
    triggerReason: 'MeterValuePeriodic',
    seqNo,
    transactionInfo: { transactionId: `tx-${session}` },
    meterValue: [{ timestamp: time(at), sampledValue: [{ value: seqNo * 1_000 }] }],
  })
  /** One hour of one station: a session of six hours, then an hour's pause. */
  const ours = new Map<string, number>()
  async function liveHour(id: string, hour: number): Promise<void> {
    const [session, part] = [Math.floor(hour / (hoursEach + 1)), hour % (hoursEach + 1)]
    const at = rig.clock.nowMs
    if (stations[id] !== 'ocpp1.6') {
      await say(id, 'TransactionEvent', at, event(at, part, session))
      if (part === hoursEach) await say(id, 'TransactionEvent', at + 1, event(at + 1, part + 1, session))
      return
    }
    if (part === 0) {
      const answer = await say(id, 'StartTransaction', at, {
        connectorId: 1,
        idTag: 'CARD',
        meterStart: hour,
        timestamp: time(at),
      })
      ours.set(id, Number(answer['transactionId']))
    }
    const transactionId = ours.get(id)
    const meterValue = [{ timestamp: time(at), sampledValue: [{ value: String(hour) }] }]
    await say(id, 'MeterValues', at, { connectorId: 1, transactionId, meterValue })
    if (part === hoursEach)
      await say(id, 'StopTransaction', at + 1, { transactionId, meterStop: hour, timestamp: time(at + 1) })
  }

  await rig.until(() => csms.clients.size === ids.length)
  isCut = true
  csms.cut()
  await rig.until(() => ids.every((id) => rig.upstream.views().get(id)?.state === 'unreachable'))
  const hours = (sessions / ids.length) * (hoursEach + 1)
  const outageStart = rig.clock.nowMs
  for (let hour = 0; hour < hours; hour++) {
    for (const id of ids) await liveHour(id, hour)
    await rig.advance(hourMs)
    if (hour % 24 === 23) {
      const { clock } = rig
      rig.kill()
      rig = open()
      rig.clock.nowMs = clock.nowMs
    }
  }
  t.true(rig.clock.nowMs - outageStart >= 69 * hourMs, 'about three days')
  const total = [...said.values()].reduce((sum, { length }) => sum + length, 0)
  t.is(
    [...rig.upstream.views().values()].reduce((sum, { waiting }) => sum + waiting, 0),
    total,
  )

  isCut = false
  // Time passes only while nobody waits for a real answer: the limit for those is virtual.
  const isQuiet = (id: string) => {
    const { state, waiting } = rig.upstream.views().get(id) ?? { state: 'idle', waiting: 0 }
    return state === 'unreachable' || waiting === 0
  }
  while (ids.some((id) => rig.upstream.views().get(id)?.waiting !== 0)) {
    await rig.advance(1_000)
    await rig.until(() => ids.every(isQuiet))
  }
  t.deepEqual(csms.faults, [], 'each message fits its schema, in the eyes of another library')
  for (const id of ids) {
    const got = csms.received.filter(({ identity, action }) => identity === id && action !== 'Heartbeat')
    const list = said.get(id) ?? []
    t.is(new Set(got.map(({ messageId }) => messageId)).size, list.length)
    t.deepEqual(got.map(withoutNumber), list.map(withoutNumber))
    checkNumbers(got)
  }
  t.is(
    csms.of('StartTransaction').length +
      csms.of('TransactionEvent').filter(({ payload }) => payload['eventType'] === 'Started').length,
    sessions,
  )
  t.is(
    csms.of('StopTransaction').length +
      csms.of('TransactionEvent').filter(({ payload }) => payload['eventType'] === 'Ended').length,
    sessions,
  )
  t.true(csms.of('TransactionEvent').every(({ payload }) => payload['offline'] === true))

  function checkNumbers(messages: readonly Received[]): void {
    let theirs: unknown
    for (const message of messages.filter(({ identity }) => stations[identity] === 'ocpp1.6')) {
      if (message.action === 'StartTransaction') theirs = csms.usualAnswer(message)['transactionId']
      else t.is(message.payload['transactionId'], theirs)
    }
  }
})

function withoutNumber({
  action,
  payload,
}: {
  readonly action: string
  readonly payload: Readonly<Record<string, unknown>>
}) {
  const { transactionId: _, offline: __, ...rest } = payload
  return [action, rest]
}
