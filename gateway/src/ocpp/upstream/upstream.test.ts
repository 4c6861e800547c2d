import test from 'ava'
import { actions, at, boot, meterValues, openUpstream, start, status, stop } from '../../../test/upstream-story.ts'
import { upstreamIdsFrom } from './id-mapping.ts'

test('SPEC-160: a station appears upstream as itself: it presents itself first, then tells of its connectors', async (t) => {
  const { csms, rig, say } = openUpstream(t, { config: { identityPrefix: 'DE*ABC*' } })
  await say('StatusNotification', status('Available'))
  await say('BootNotification', boot)
  await rig.advance(1)
  t.like(csms.targets[0], { url: 'ws://csms.test/ocpp/DE*ABC*CP1', identity: 'DE*ABC*CP1', version: 'ocpp1.6' })
  t.deepEqual(csms.of('BootNotification')[0]?.payload, boot)
  t.is(actions(csms).at(-1), 'StatusNotification', 'again after the boot')
  t.like(rig.upstream.views().get('CP1'), { state: 'connected', waiting: 0, aside: 0 })
})

test('SPEC-166: after an outage a station presents itself before it tells of its connectors', async (t) => {
  const { csms, rig, say } = openUpstream(t)
  csms.isReachable = false
  await rig.advance(1)
  await say('StatusNotification', status('Available'))
  await say('BootNotification', boot)
  csms.isReachable = true
  await rig.advance(3_000)
  t.deepEqual(actions(csms), ['BootNotification', 'StatusNotification'])
})

test('of a station that does not appear upstream nothing is kept for it', async (t) => {
  const { csms, rig, say, begin } = openUpstream(t, { config: { stations: [{ id: 'CP9' }] } })
  await say('BootNotification', boot)
  await say('SecurityEventNotification', { type: 'InvalidMessages', timestamp: at(0) })
  const ours = await begin()
  await say('MeterValues', meterValues(1, ours))
  await say('StopTransaction', stop(ours, 5))
  await rig.advance(10_000)
  for (const table of ['messages', 'transactions', 'latest']) {
    t.is(rig.store.db.prepare(`SELECT count(*) FROM upstream_${table}`).pluck().get(), 0, table)
  }
  t.deepEqual([csms.targets, rig.commands], [[], []])
})

test('Q8: a station that has never presented itself is asked to, once it had the time to do so by itself', async (t) => {
  const { csms, rig, say } = openUpstream(t)
  await rig.advance(4_000)
  t.deepEqual(rig.commands, [])
  await rig.advance(2_000)
  const trigger = { stationId: 'CP1', action: 'TriggerMessage', payload: { requestedMessage: 'BootNotification' } }
  t.deepEqual(rig.commands, [trigger])
  await say('BootNotification', boot)
  await rig.advance(1)
  t.deepEqual(
    csms.of('BootNotification').map(({ payload }) => payload),
    [boot],
  )
  rig.upstream.connected('CP1', 'ocpp1.6')
  await rig.advance(6_000)
  t.is(rig.commands.length, 1)
})

test('until upstream accepts the station, nothing else is sent', async (t) => {
  const { csms, rig, say, begin } = openUpstream(t)
  csms.answer = (request) =>
    request.action === 'BootNotification' && csms.of('BootNotification').length < 3
      ? { status: 'Pending', interval: 30, currentTime: at(0) }
      : csms.usualAnswer(request)
  csms.isReachable = false
  await say('BootNotification', boot)
  await begin()
  csms.isReachable = true
  await rig.advance(2_000)
  t.deepEqual(actions(csms), ['BootNotification'])
  await rig.advance(29_000)
  t.deepEqual(actions(csms), ['BootNotification', 'BootNotification'])
  await rig.advance(31_000)
  t.deepEqual(actions(csms), ['BootNotification', 'BootNotification', 'BootNotification', 'StartTransaction'])
})

test('heartbeats are the gateway’s own, at the interval of upstream, and only after silence', async (t) => {
  const { csms, rig, say } = openUpstream(t)
  await say('BootNotification', boot)
  await say('Heartbeat', {})
  await rig.advance(599_000)
  t.deepEqual(csms.of('Heartbeat'), [])
  await say('MeterValues', meterValues(1))
  await rig.advance(599_000)
  t.deepEqual(csms.of('Heartbeat'), [], 'a message is a sign of life as well')
  await rig.advance(2_000)
  t.is(csms.of('Heartbeat').length, 1)
  t.deepEqual(await csms.ask('CP1', 'TriggerMessage', { requestedMessage: 'Heartbeat' }), { status: 'Accepted' })
  await rig.advance(1)
  t.is(csms.of('Heartbeat').length, 2)
  t.deepEqual(rig.commands, [])
})

test('SPEC-166: of a connector’s status upstream gets the latest, with the time at which it came', async (t) => {
  const { csms, rig, say } = openUpstream(t)
  csms.isReachable = false
  await rig.advance(1)
  const times: string[] = []
  for (const word of ['Preparing', 'Charging', 'Finishing', 'Available']) {
    rig.clock.nowMs += 60_000
    times.push(new Date(rig.clock.nowMs).toISOString())
    await say('StatusNotification', status(word))
  }
  await say('StatusNotification', status('Faulted', 2))
  csms.isReachable = true
  await rig.advance(400_000)
  const got = csms
    .of('StatusNotification')
    .map(({ payload }) => [payload['connectorId'], payload['status'], payload['timestamp']])
  t.deepEqual(got, [
    [1, 'Available', times.at(-1)],
    [2, 'Faulted', times.at(-1)],
  ])
})

test('SPEC-169: a station that stays away is seen away, but only after upstream has everything', async (t) => {
  const { csms, rig, begin } = openUpstream(t)
  csms.isReachable = false
  await rig.advance(1)
  await begin()
  rig.upstream.disconnected('CP1')
  await rig.advance(120_000)
  csms.isReachable = true
  await rig.advance(300_000)
  t.deepEqual(actions(csms), ['StartTransaction'])
  t.deepEqual(csms.connected, [])
  t.like(rig.upstream.views().get('CP1'), { state: 'idle', waiting: 0 })
  rig.upstream.connected('CP1', 'ocpp1.6')
  await rig.advance(1)
  t.deepEqual(csms.connected, ['CP1'])
  rig.upstream.disconnected('CP1')
  await rig.advance(30_000)
  await t.throwsAsync(csms.ask('CP1', 'ClearCache', {}), { message: /not connected/ })
  t.deepEqual(csms.connected, ['CP1'], 'a short absence is nobody’s business')
})

test('SPEC-160: Q2: what a station said in another version goes up in that version', async (t) => {
  const { csms, rig, begin } = openUpstream(t)
  csms.isReachable = false
  await rig.advance(1)
  await begin()
  rig.upstream.disconnected('CP1')
  rig.upstream.connected('CP1', 'ocpp2.0.1')
  await rig.say('CP1', 'ocpp2.0.1', 'StatusNotification', {
    timestamp: at(9),
    connectorStatus: 'Available',
    evseId: 1,
    connectorId: 1,
  })
  csms.isReachable = true
  await rig.advance(10_000)
  t.deepEqual(actions(csms), ['StartTransaction', 'StatusNotification'])
  t.deepEqual([...new Set(csms.targets.map(({ version }) => version))], ['ocpp1.6', 'ocpp2.0.1'])
})

test('SPEC-166: security events and alarms wait their turn like transactions; without end they are no more kept', async (t) => {
  const { csms, rig, say } = openUpstream(t)
  csms.isReachable = false
  await rig.advance(1)
  const hear = (n: number) =>
    rig.upstream.heard(
      {
        stationId: 'CP1',
        version: 'ocpp1.6',
        action: 'SecurityEventNotification',
        messageId: String(n),
        payload: {},
        frame: '',
        timeZone: 'UTC',
      },
      { type: 'InvalidMessages', timestamp: at(n) },
    )
  // One commit for all: the disk is not what is tested.
  rig.store.write(() => {
    for (let n = 0; n < 1_003; n++) hear(n)
  })
  await say('SecurityEventNotification', { type: 'InvalidMessages', timestamp: at(2_000) })
  t.is(rig.upstream.views().get('CP1')?.waiting, 1_000)
  t.is(rig.log.lines.filter(({ event }) => event === 'ocpp.upstream.dropped').length, 1)
  csms.isReachable = true
  await rig.advance(400_000)
  t.is(csms.of('SecurityEventNotification').length, 1_000)
})

test('upstream gets the reports that it has asked for, and no others', async (t) => {
  const { csms, rig } = openUpstream(t)
  rig.upstream.connected('CP2', 'ocpp2.0.1')
  await rig.advance(1)
  await csms.ask('CP2', 'GetBaseReport', { requestId: 7, reportBase: 'FullInventory' })
  const report = (requestId: number) => ({ requestId, generatedAt: at(0), seqNo: 0 })
  await rig.say('CP2', 'ocpp2.0.1', 'NotifyReport', report(7))
  await rig.say('CP2', 'ocpp2.0.1', 'NotifyReport', report(8))
  await rig.advance(1)
  t.deepEqual(
    csms.of('NotifyReport').map(({ payload }) => payload),
    [report(7)],
  )
})

test('SPEC-165: a reservation of upstream and one of the gateway never share a number', async (t) => {
  const { csms, rig, say } = openUpstream(t)
  await rig.advance(1)
  await csms.ask('CP1', 'ReserveNow', { connectorId: 1, expiryDate: at(30), idTag: 'CARD', reservationId: 5 })
  t.is(rig.commands[0]?.payload['reservationId'], 5 + upstreamIdsFrom)
  await say('StartTransaction', { ...start(1), reservationId: 5 + upstreamIdsFrom })
  await say('StartTransaction', { ...start(2), reservationId: 5 })
  rig.upstream.connected('CP2', 'ocpp2.0.1')
  for (const reservationId of [6, 6 + upstreamIdsFrom]) {
    const update = { reservationId, reservationUpdateStatus: 'Expired' }
    await rig.say('CP2', 'ocpp2.0.1', 'ReservationStatusUpdate', update)
  }
  await rig.advance(1)
  t.deepEqual(
    csms.of('StartTransaction').map(({ payload }) => payload['reservationId']),
    [5, undefined],
  )
  t.deepEqual(
    csms.of('ReservationStatusUpdate').map(({ payload }) => payload['reservationId']),
    [6],
  )
  t.like(rig.upstream.views().get('CP2'), { waiting: 0, aside: 0 })
})

test('old messages are forgotten, those that wait never', async (t) => {
  const { csms, rig, say, begin } = openUpstream(t)
  const ours = await begin()
  for (let minute = 1; minute <= 30; minute++) await say('MeterValues', meterValues(minute, ours))
  await rig.advance(1)
  csms.isReachable = false
  csms.cut()
  await rig.advance(1)
  await say('MeterValues', meterValues(31, ours))
  const count = () => rig.store.db.prepare('SELECT count(*) FROM upstream_messages').pluck().get()
  t.is(count(), 22, 'the start, the last twenty, and the one that waits')
  rig.upstream.prune(0)
  t.is(count(), 22)
  rig.upstream.prune(rig.clock.nowMs + 1)
  t.is(count(), 1)
  t.is(rig.upstream.views().get('CP1')?.waiting, 1)
})
