import test, { type ExecutionContext } from 'ava'
import { blockedToken } from '../../../test/csms-rig.ts'
import { FakeUpstream, UpstreamRig, type UpstreamRigOptions } from '../../../test/upstream-rig.ts'
import { upstreamIdsFrom } from './id-mapping.ts'

const at = (minute: number) => new Date(Date.UTC(2027, 0, 15, 8, minute)).toISOString()
const start = (minute: number, idTag = 'CARD') => ({ connectorId: 1, idTag, meterStart: 100, timestamp: at(minute) })
const stop = (transactionId: number, minute: number) => ({ transactionId, meterStop: 900, timestamp: at(minute) })
const meterValues = (minute: number, transactionId?: number) => ({
  connectorId: 1,
  ...(transactionId === undefined ? {} : { transactionId }),
  meterValue: [{ timestamp: at(minute), sampledValue: [{ value: String(100 + minute) }] }],
})
const status = (word: string, connectorId = 1) => ({ connectorId, errorCode: 'NoError', status: word })
const boot = { chargePointVendor: 'Acme', chargePointModel: 'Wall' }

function open(t: ExecutionContext, options: Partial<UpstreamRigOptions> = {}) {
  const csms = new FakeUpstream()
  const rig = new UpstreamRig(t.teardown, { dial: csms.dial, ...options })
  rig.upstream.connected('CP1', 'ocpp1.6')
  const say = (action: string, payload: object) => rig.say('CP1', 'ocpp1.6', action, payload)
  /** Begins a session; gives the gateway's number for it. */
  const begin = async (minute = 0, idTag = 'CARD') =>
    Number((await say('StartTransaction', start(minute, idTag)))['transactionId'])
  return { csms, rig, say, begin }
}

const actions = (csms: FakeUpstream) => csms.received.map(({ action }) => action)

test('a station appears upstream as itself: it presents itself first, then tells of its connectors', async (t) => {
  const { csms, rig, say } = open(t, { config: { identityPrefix: 'DE*ABC*' } })
  await say('StatusNotification', status('Available'))
  await say('BootNotification', boot)
  await rig.advance(1)
  t.like(csms.targets[0], { url: 'ws://csms.test/ocpp/DE*ABC*CP1', identity: 'DE*ABC*CP1', version: 'ocpp1.6' })
  t.deepEqual(csms.of('BootNotification')[0]?.payload, boot)
  t.is(actions(csms).at(-1), 'StatusNotification', 'again after the boot')
  t.like(rig.upstream.views().get('CP1'), { state: 'connected', waiting: 0, aside: 0 })
})

test('until upstream accepts the station, nothing else is sent', async (t) => {
  const { csms, rig, say, begin } = open(t)
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
  const { csms, rig, say } = open(t)
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

test('upstream’s numbers of transactions are its own: start, values, stop and the way back', async (t) => {
  const { csms, rig, say, begin } = open(t)
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

test('Q17: what a station sends twice upstream gets once; a stop that says otherwise later is not told', async (t) => {
  const { csms, rig, say, begin } = open(t)
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
  const { csms, rig } = open(t)
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

test('of a connector’s status upstream gets the latest, with the time at which it came', async (t) => {
  const { csms, rig, say } = open(t)
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

test('3.7.1: a message that upstream refuses is sent again after growing pauses, then put aside; the others follow', async (t) => {
  const { csms, rig, say, begin } = open(t)
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

test('a start that upstream never takes: its values go without a number, its stop is put aside with the reason', async (t) => {
  const { csms, rig, say, begin } = open(t, { config: { attempts: 1 } })
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

test('silence is no refusal: a message without an answer is sent again for ever, the same one', async (t) => {
  const { csms, rig, begin } = open(t)
  csms.fate = ({ action }) => (action === 'StartTransaction' && csms.received.length < 12 ? 'answer-lost' : undefined)
  await begin()
  await rig.advance(3_600_000)
  t.is(csms.of('StartTransaction').length, 13)
  t.is(new Set(csms.of('StartTransaction').map((one) => JSON.stringify(one))).size, 1)
  t.like(rig.upstream.views().get('CP1'), { waiting: 0, aside: 0 })
})

test('a verdict of upstream against a driver of ours disturbs no session, unless the configuration says so', async (t) => {
  for (const onRefusal of ['continue', 'stop']) {
    const { csms, rig, begin } = open(t, { config: { onRefusal } })
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

test('a station that stays away is seen away, but only after upstream has everything', async (t) => {
  const { csms, rig, begin } = open(t)
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

test('Q2: what a station said in another version goes up in that version', async (t) => {
  const { csms, rig, begin } = open(t)
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

test('a mended message goes up as it was understood, also after a restart', async (t) => {
  const { csms, rig, say } = open(t)
  csms.isReachable = false
  await say('StartTransaction', { ...start(0), meterStart: '100', colour: 'red' })
  await rig.close()
  csms.isReachable = true
  const again = new UpstreamRig(t.teardown, { dial: csms.dial, dataDir: rig.dataDir })
  await again.advance(1)
  t.deepEqual(csms.of('StartTransaction')[0]?.payload, start(0))
})

test('security events and alarms wait their turn like transactions; without end they are no more kept', async (t) => {
  const { csms, rig, say } = open(t)
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
  const { csms, rig } = open(t)
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

test('a reservation of upstream and one of the gateway never share a number', async (t) => {
  const { csms, rig, say } = open(t)
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

test('who is begun for from upstream must be in the list of drivers here', async (t) => {
  const { csms, rig } = open(t)
  await rig.advance(1)
  t.deepEqual(await csms.ask('CP1', 'RemoteStartTransaction', { idTag: blockedToken }), { status: 'Rejected' })
  t.deepEqual(rig.commands, [])
  t.like(await rig.log.line('ocpp.upstream.command.refused'), { action: 'RemoteStartTransaction' })
  t.false(JSON.stringify(rig.log.lines).includes(blockedToken))
  t.deepEqual(await csms.ask('CP1', 'RemoteStartTransaction', { idTag: 'CARD' }), { status: 'Accepted' })
})

test('another CSMS in the place of the old one is told everything anew, and gets no number of the old one', async (t) => {
  const { csms, rig, say, begin } = open(t)
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

test('old messages are forgotten, those that wait never', async (t) => {
  const { csms, rig, say, begin } = open(t)
  const ours = await begin()
  for (let minute = 1; minute <= 30; minute++) await say('MeterValues', meterValues(minute, ours))
  await rig.advance(1)
  csms.isReachable = false
  csms.cut()
  await rig.advance(1)
  await say('MeterValues', meterValues(31, ours))
  const count = () => rig.store.db.prepare('SELECT count(*) FROM upstream_messages').pluck().get()
  t.is(count(), 32)
  rig.upstream.prune(0)
  t.is(count(), 21, 'the last twenty are remembered')
  rig.upstream.prune(rig.clock.nowMs + 1)
  t.is(count(), 1)
  t.is(rig.upstream.views().get('CP1')?.waiting, 1)
})
