import test from 'ava'
import { blockedToken } from '../../../test/csms-rig.ts'
import { FakeUpstream, UpstreamRig } from '../../../test/upstream-rig.ts'
import { actions, at, boot, meterValues, openUpstream, start, stop } from '../../../test/upstream-story.ts'

test('SPEC-164: upstream’s numbers of transactions are its own: start, values, stop and the way back', async (t) => {
  const { csms, rig, say, begin } = openUpstream(t)
  const ours = await begin()
  await say('MeterValues', meterValues(1, ours))
  await rig.advance(1)
  const theirs = csms.of('MeterValues')[0]?.payload['transactionId']
  t.is(theirs, 9_000_000)
  t.not(theirs, ours)
  t.deepEqual(csms.of('StartTransaction')[0]?.payload, start(0), 'times and values as the station gave them')
  await csms.ask('CP1', 'RemoteStopTransaction', { transactionId: theirs })
  t.deepEqual(rig.commands, [{ stationId: 'CP1', action: 'RemoteStopTransaction', payload: { transactionId: ours } }])
  t.deepEqual(await csms.ask('CP1', 'RemoteStopTransaction', { transactionId: ours }), { status: 'Rejected' })
  await say('StopTransaction', stop(ours, 5))
  await rig.advance(1)
  t.deepEqual(csms.of('StopTransaction')[0]?.payload, { ...stop(ours, 5), transactionId: theirs })
})

test('SPEC-162: Q17: what a station sends twice upstream gets once; a stop that says otherwise later is not told', async (t) => {
  const { csms, rig, say, begin } = openUpstream(t)
  const ours = await begin()
  t.is(await begin(), ours)
  for (const payload of [meterValues(1, ours), meterValues(1, ours), meterValues(2, ours)])
    await say('MeterValues', payload)
  await say('StopTransaction', stop(ours, 5))
  await say('StopTransaction', stop(ours, 5))
  await say('StopTransaction', { ...stop(ours, 6), meterStop: 950 })
  await rig.advance(1)
  t.deepEqual(actions(csms), ['StartTransaction', 'MeterValues', 'MeterValues', 'StopTransaction'])
  t.like(await rig.log.line('ocpp.upstream.skipped'), { station: 'CP1' })
})

test('2.x: an event that comes again with another offline flag is one event; what comes late says so', async (t) => {
  const { csms, rig } = openUpstream(t)
  const event = (seqNo: number) => ({
    eventType: seqNo === 0 ? 'Started' : 'Updated',
    timestamp: at(seqNo),
    triggerReason: 'MeterValuePeriodic',
    seqNo,
    transactionInfo: { transactionId: 'tx-1' },
  })
  const say = (payload: object) => rig.say('CP2', 'ocpp2.0.1', 'TransactionEvent', payload)
  rig.upstream.connected('CP2', 'ocpp2.0.1')
  await rig.advance(1)
  await say(event(0))
  await rig.advance(1)
  csms.isReachable = false
  csms.cut()
  await rig.advance(1)
  await say({ ...event(0), offline: true })
  await say(event(1))
  csms.isReachable = true
  await rig.advance(10_000)
  const got = csms.of('TransactionEvent', 'CP2').map(({ payload }) => payload)
  t.deepEqual(got, [event(0), { ...event(1), offline: true }])
})

test('SPEC-163: 3.7.1: a message that upstream refuses is sent again after growing pauses, then put aside; the others follow', async (t) => {
  const { csms, rig, say, begin } = openUpstream(t)
  csms.fate = ({ action }) => (action === 'MeterValues' ? { refused: 'no such unit' } : undefined)
  const ours = await begin()
  await say('MeterValues', meterValues(1, ours))
  await say('StopTransaction', stop(ours, 5))
  await rig.advance(59_000)
  t.is(csms.of('MeterValues').length, 1)
  await rig.advance(2_000)
  t.is(csms.of('MeterValues').length, 2)
  await rig.advance(118_000)
  t.is(csms.of('MeterValues').length, 2)
  t.deepEqual(csms.of('StopTransaction'), [], 'order is kept')
  await rig.advance(3_000)
  t.is(csms.of('MeterValues').length, 3)
  t.is(csms.of('StopTransaction').length, 1)
  t.is(new Set(csms.of('MeterValues').map(({ messageId, payload }) => JSON.stringify([messageId, payload]))).size, 1)
  t.like(await rig.log.line('ocpp.upstream.aside'), {
    level: 'error',
    action: 'MeterValues',
    reason: 'refused 3 times: InternalError: no such unit',
  })
  t.like(rig.upstream.views().get('CP1'), { waiting: 0, aside: 1 })
})

test('SPEC-164: a start that upstream never takes: its values go without a number, its stop is put aside with the reason', async (t) => {
  const { csms, rig, say, begin } = openUpstream(t, { config: { attempts: 1 } })
  csms.answer = (request) =>
    request.action === 'StartTransaction' ? { idTagInfo: { status: 'Accepted' } } : csms.usualAnswer(request)
  const ours = await begin()
  await say('MeterValues', meterValues(1, ours))
  await say('StopTransaction', stop(ours, 5))
  await say('StopTransaction', stop(12_345, 6))
  await rig.advance(1)
  t.deepEqual(csms.of('MeterValues')[0]?.payload, meterValues(1))
  t.deepEqual(csms.of('StopTransaction'), [], 'never under the number of somebody else’s session')
  t.like(rig.upstream.views().get('CP1'), { waiting: 0, aside: 3 })
  t.regex(String((await rig.log.line('ocpp.upstream.aside', 2))['reason']), /never took the start/)
})

test('SPEC-163: silence is no refusal: a message without an answer is sent again for ever, the same one', async (t) => {
  const { csms, rig, begin } = openUpstream(t)
  csms.fate = ({ action }) => (action === 'StartTransaction' && csms.received.length < 12 ? 'answer-lost' : undefined)
  await begin()
  await rig.advance(3_600_000)
  t.is(csms.of('StartTransaction').length, 13)
  t.is(new Set(csms.of('StartTransaction').map((one) => JSON.stringify(one))).size, 1)
  t.like(rig.upstream.views().get('CP1'), { waiting: 0, aside: 0 })
})

test('SPEC-167: a verdict of upstream against a driver of ours disturbs no session, unless the configuration says so', async (t) => {
  for (const onRefusal of ['continue', 'stop']) {
    const { csms, rig, begin } = openUpstream(t, { config: { onRefusal } })
    csms.answer = (request) =>
      request.action === 'StartTransaction'
        ? { transactionId: 5, idTagInfo: { status: 'Blocked' } }
        : csms.usualAnswer(request)
    const ours = await begin()
    await rig.advance(1)
    t.like(await rig.log.line('ocpp.upstream.verdict'), { station: 'CP1', status: 'Blocked', session: onRefusal })
    const stops = [{ stationId: 'CP1', action: 'RemoteStopTransaction', payload: { transactionId: ours } }]
    t.deepEqual(rig.commands, onRefusal === 'stop' ? stops : [])
  }
})

test('a mended message goes up as it was understood, also after a restart', async (t) => {
  const { csms, rig, say } = openUpstream(t)
  csms.isReachable = false
  await say('StartTransaction', { ...start(0), meterStart: '100', colour: 'red' })
  await rig.close()
  csms.isReachable = true
  const again = new UpstreamRig(t.teardown, { dial: csms.dial, dataDir: rig.dataDir })
  await again.advance(1)
  t.deepEqual(csms.of('StartTransaction')[0]?.payload, start(0))
})

test('SPEC-167: who is begun for from upstream must be in the list of drivers here', async (t) => {
  const { csms, rig } = openUpstream(t)
  await rig.advance(1)
  t.deepEqual(await csms.ask('CP1', 'RemoteStartTransaction', { idTag: blockedToken }), { status: 'Rejected' })
  t.deepEqual(rig.commands, [])
  t.like(await rig.log.line('ocpp.upstream.command.refused'), { action: 'RemoteStartTransaction' })
  t.false(JSON.stringify(rig.log.lines).includes(blockedToken))
  t.deepEqual(await csms.ask('CP1', 'RemoteStartTransaction', { idTag: 'CARD' }), { status: 'Accepted' })
})

test('SPEC-164: another CSMS in the place of the old one is told everything anew, and gets no number of the old one', async (t) => {
  const { csms, rig, say, begin } = openUpstream(t)
  await say('BootNotification', boot)
  const ours = await begin()
  await rig.advance(1)
  await rig.close()
  const other = new FakeUpstream()
  const config = { url: 'wss://other.test' }
  const again = new UpstreamRig(t.teardown, { dial: other.dial, dataDir: rig.dataDir, config })
  again.upstream.connected('CP1', 'ocpp1.6')
  await again.say('CP1', 'ocpp1.6', 'StopTransaction', stop(ours, 5))
  await again.advance(1)
  t.deepEqual(actions(csms), ['BootNotification', 'StartTransaction'])
  t.deepEqual(actions(other), ['BootNotification'])
  t.like(again.upstream.views().get('CP1'), { waiting: 0, aside: 1 })
})
