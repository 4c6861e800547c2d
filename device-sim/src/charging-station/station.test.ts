import test from 'ava'
import type { Payload } from './rpc.ts'
import type { OcppVersion } from './schemas.ts'
import { dig, epochMs, Rig, type RigOptions, sessionsOf } from './station-rig.ts'

const versions: readonly OcppVersion[] = ['1.6', '2.0.1', '2.1']
const everyMinute = { MeterValueSampleInterval: '60', 'SampledDataCtrlr.TxUpdatedInterval': '60' }

async function started(options: RigOptions = {}): Promise<Rig> {
  const rig = new Rig({ preset: everyMinute, ...options })
  rig.station.powerOn()
  await rig.run(2)
  return rig
}

async function begin(rig: Rig, card = 'CARD', evseId = 1): Promise<void> {
  rig.plugIn({}, evseId)
  await rig.run(1)
  void rig.station.presentCard(evseId, card)
  await rig.run(1)
}

async function leave(rig: Rig, card = 'CARD'): Promise<void> {
  void rig.station.presentCard(1, card)
  await rig.run(2)
  rig.station.unplug(1)
  await rig.run(2)
}

const problems = (rig: Rig) => [
  ...rig.csms.heard
    .filter(({ problem }) => problem !== undefined)
    .map(({ action, problem }) => `${action}: ${problem}`),
  ...rig.csms.unsoundAnswers,
]

for (const version of versions) {
  test(`${version}: a session is told by sound messages, and begins and ends with the register`, async (t) => {
    const rig = await started({ version })
    await begin(rig)
    await rig.run(600)
    await leave(rig)
    const [session, another] = sessionsOf(rig.csms.heard)
    t.is(another, undefined)
    t.is(session?.beginWh, 1000)
    const registerWh = rig.registerWh()
    t.true(registerWh > 2800)
    t.is(session?.endWh, version === '1.6' ? Math.floor(registerWh) : registerWh)
    t.true(rig.csms.heardOf('MeterValues', 'TransactionEvent').length >= 9)
    t.deepEqual(problems(rig), [])
    t.is(rig.station.queueLength, 0)
    t.is(rig.station.evses[0]?.evse.pilot, 'A')
  })

  test(`${version}: offline, a listed card charges; afterwards everything arrives in order, with its own times`, async (t) => {
    const rig = await started({ version })
    const entry =
      version === '1.6'
        ? { idTag: 'HOME', idTagInfo: { status: 'Accepted' } }
        : { idToken: { idToken: 'HOME', type: 'ISO14443' }, idTokenInfo: { status: 'Accepted' } }
    const list = { updateType: 'Full', localAuthorizationList: [entry] }
    t.like(await rig.ask('SendLocalList', { ...list, [version === '1.6' ? 'listVersion' : 'versionNumber']: 7 }), {
      status: 'Accepted',
    })
    rig.csms.cards.set('HOME', 'Accepted')
    rig.csms.isReachable = false
    rig.csms.cut()
    const before = rig.csms.heard.length
    await begin(rig, 'STRANGER')
    t.is(rig.station.queueLength, 0)
    void rig.station.presentCard(1, 'HOME')
    await rig.run(120)
    await leave(rig, 'HOME')
    t.true(rig.station.queueLength >= 3)
    rig.csms.isReachable = true
    await rig.run(90)
    t.is(rig.station.queueLength, 0)
    const told = rig.csms.heard.slice(before).filter(({ action }) => /Transaction|MeterValues/.test(action))
    const times = told.map(({ payload }) => JSON.stringify(payload).match(/"timestamp":"([^"]+)"/)?.[1] ?? '')
    t.deepEqual(times, times.toSorted())
    t.true(Date.parse(times.at(-1)!) < epochMs + 140_000)
    if (version !== '1.6') t.true(told.every(({ payload }) => payload['offline'] === true))
    t.is(sessionsOf(told).length, 1)
    t.is(Math.floor(sessionsOf(told)[0]?.endWh ?? 0), Math.floor(rig.registerWh()))
    t.deepEqual(problems(rig), [])
  })

  test(`${version}: a power cut ends the session when the power is back, and the register stays`, async (t) => {
    const rig = await started({ version })
    await begin(rig)
    await rig.run(100)
    rig.station.powerOff()
    const registerWh = rig.registerWh()
    await rig.run(500)
    t.is(rig.registerWh(), registerWh)
    t.is(rig.station.evses[0]?.evse.pilot, 'E')
    rig.station.powerOn()
    await rig.run(5)
    t.like(sessionsOf(rig.csms.heard)[0], { reason: 'PowerLoss' })
    t.is(Math.floor(sessionsOf(rig.csms.heard)[0]?.endWh ?? 0), Math.floor(registerWh))
    t.is(rig.station.evses[0]?.evse.pilot, 'B')
  })

  test(`${version}: remote start waits for the vehicle, remote stop ends it`, async (t) => {
    const rig = await started({ version })
    const start: readonly [string, Payload] =
      version === '1.6'
        ? ['RemoteStartTransaction', { connectorId: 1, idTag: 'CARD' }]
        : ['RequestStartTransaction', { evseId: 1, remoteStartId: 77, idToken: { idToken: 'CARD', type: 'Central' } }]
    t.is((await rig.ask(...start))['status'], 'Accepted')
    t.is((await rig.ask(...start))['status'], 'Rejected')
    rig.plugIn()
    await rig.run(30)
    t.is(rig.station.evses[0]?.evse.pilot, 'C')
    const event = rig.csms.heardOf('TransactionEvent')[0]?.payload
    const id = dig(event, 'transactionInfo', 'transactionId')
    if (version !== '1.6') t.is(dig(event, 'transactionInfo', 'remoteStartId'), 77)
    const stop = (transactionId: unknown) =>
      rig.ask(version === '1.6' ? 'RemoteStopTransaction' : 'RequestStopTransaction', { transactionId })
    t.is((await stop(version === '1.6' ? 5 : 'other'))['status'], 'Rejected')
    t.is((await stop(version === '1.6' ? 1000 : id))['status'], 'Accepted')
    await rig.run(2)
    t.is(sessionsOf(rig.csms.heard)[0]?.reason, 'Remote')
    t.deepEqual(problems(rig), [])
  })

  test(`${version}: a reserved EVSE is closed to others by card and remotely, also after a restart, and opens to its holder`, async (t) => {
    const rig = await started({ version })
    rig.csms.cards.set('OTHER', 'Accepted')
    const token = (idToken: string) => ({ idToken, type: 'ISO14443' })
    const until = (seconds: number) => new Date(epochMs + rig.timers.now() + seconds * 1000).toISOString()
    const reserve = (id: number, seconds: number) =>
      rig.ask(
        'ReserveNow',
        version === '1.6'
          ? { connectorId: 1, expiryDate: until(seconds), idTag: 'CARD', reservationId: id }
          : { id, evseId: 1, expiryDateTime: until(seconds), idToken: token('CARD') },
      )
    t.is((await reserve(5, 10))['status'], 'Accepted')
    await rig.run(12)
    if (version !== '1.6') {
      t.like(rig.csms.heardOf('ReservationStatusUpdate')[0]?.payload, {
        reservationId: 5,
        reservationUpdateStatus: 'Expired',
      })
    }
    t.is((await reserve(6, 3600))['status'], 'Accepted')
    t.like(rig.csms.heardOf('StatusNotification').at(-1)?.payload, {
      [version === '1.6' ? 'status' : 'connectorStatus']: 'Reserved',
    })
    rig.kill()
    rig.station.powerOn()
    await rig.run(3)
    await begin(rig, 'OTHER')
    t.is(rig.station.evses[0]?.evse.pilot, 'B')
    const remote: readonly [string, Payload] =
      version === '1.6'
        ? ['RemoteStartTransaction', { connectorId: 1, idTag: 'OTHER' }]
        : ['RequestStartTransaction', { evseId: 1, remoteStartId: 1, idToken: token('OTHER') }]
    t.is((await rig.ask(...remote))['status'], 'Rejected')
    void rig.station.presentCard(1, 'CARD')
    await rig.run(2)
    t.is(rig.station.evses[0]?.evse.pilot, 'C')
    t.is(rig.csms.heardOf('StartTransaction', 'TransactionEvent')[0]?.payload['reservationId'], 6)
    t.is((await rig.ask('CancelReservation', { reservationId: 6 }))['status'], 'Rejected')
    t.deepEqual(problems(rig), [])
  })

  test(`${version}: a charging profile bounds the current, survives a restart, and shows in the composite schedule`, async (t) => {
    const rig = await started({ version })
    const profile = (id: number, purpose: string, limit: number, more: Payload = {}) => {
      const schedule = { chargingRateUnit: 'A', chargingSchedulePeriod: [{ startPeriod: 0, limit }] }
      const rest = { stackLevel: 0, chargingProfilePurpose: purpose, chargingProfileKind: 'Relative', ...more }
      return version === '1.6'
        ? { connectorId: 1, csChargingProfiles: { chargingProfileId: id, ...rest, chargingSchedule: schedule } }
        : { evseId: 1, chargingProfile: { id, ...rest, chargingSchedule: [{ id: 1, ...schedule }] } }
    }
    t.is((await rig.ask('SetChargingProfile', profile(1, 'TxProfile', 6)))['status'], 'Rejected')
    t.is((await rig.ask('SetChargingProfile', profile(2, 'TxDefaultProfile', 10)))['status'], 'Accepted')
    rig.kill()
    rig.station.powerOn()
    await rig.run(3)
    await begin(rig)
    await rig.run(5)
    const power = () => (rig.station.evses[0]?.evse.powerMilliwatts ?? 0) / 1000
    t.is(power(), 10 * 230 * 3)
    const event = rig.csms.heardOf('TransactionEvent')[0]?.payload
    const transactionId = version === '1.6' ? 1000 : dig(event, 'transactionInfo', 'transactionId')
    t.is((await rig.ask('SetChargingProfile', profile(3, 'TxProfile', 0, { transactionId })))['status'], 'Accepted')
    await rig.run(2)
    t.is(power(), 0)
    t.is(rig.station.evses[0]?.evse.pilot, 'B')
    const key = version === '1.6' ? 'connectorId' : 'evseId'
    const composite = await rig.ask('GetCompositeSchedule', { [key]: 1, duration: 60 })
    const schedule = version === '1.6' ? 'chargingSchedule' : 'schedule'
    t.is(dig(composite, schedule, 'chargingSchedulePeriod', 0, 'limit'), 0)
    t.is(
      (await rig.ask('ClearChargingProfile', version === '1.6' ? { id: 3 } : { chargingProfileId: 3 }))['status'],
      'Accepted',
    )
    await rig.run(2)
    t.is(power(), 10 * 230 * 3)
    t.deepEqual(problems(rig), [])
  })

  test(`${version}: a tripped RCD ends the session and the EVSE is faulted until it is set again`, async (t) => {
    const rig = await started({ version })
    await begin(rig)
    await rig.run(10)
    rig.station.setFault(1, 'rcd-tripped', true)
    await rig.run(2)
    t.is(sessionsOf(rig.csms.heard)[0]?.reason, version === '1.6' ? 'Other' : 'GroundFault')
    const told = () => rig.csms.heardOf('StatusNotification').at(-1)?.payload
    t.is(told()?.[version === '1.6' ? 'status' : 'connectorStatus'], 'Faulted')
    rig.station.setFault(1, 'rcd-tripped', false)
    await rig.run(2)
    t.is(told()?.[version === '1.6' ? 'status' : 'connectorStatus'], version === '1.6' ? 'Finishing' : 'Occupied')
  })

  test(`${version}: until its boot is accepted a station says nothing else`, async (t) => {
    const rig = new Rig({ version })
    rig.csms.bootStatus = 'Pending'
    rig.csms.cards.set('CARD', 'Accepted')
    rig.station.powerOn()
    await rig.run(400)
    t.deepEqual(new Set(rig.csms.heard.map(({ action }) => action)), new Set(['BootNotification']))
    t.true(rig.csms.heard.length >= 2)
    rig.csms.bootStatus = 'Accepted'
    await rig.run(400)
    t.true(rig.csms.heardOf('StatusNotification').length >= 1)
  })

  test(`${version}: a begin that the CSMS refuses ends as not authorised`, async (t) => {
    const rig = await started({
      version,
      preset: { AllowOfflineTxForUnknownId: 'true', 'AuthCtrlr.OfflineTxForUnknownIdEnabled': 'true' },
    })
    rig.csms.isReachable = false
    rig.csms.cut()
    await begin(rig, 'STRANGER')
    t.is(rig.station.evses[0]?.evse.pilot, 'C')
    rig.csms.isReachable = true
    await rig.run(60)
    t.is(sessionsOf(rig.csms.heard)[0]?.reason, 'DeAuthorized')
    t.is(rig.station.evses[0]?.evse.pilot, 'B')
  })

  test(`${version}: a transaction message that is refused is tried again at growing intervals, then given up`, async (t) => {
    const rig = await started({
      version,
      preset: { ...everyMinute, TransactionMessageRetryInterval: '10', 'OCPPCommCtrlr.MessageAttemptInterval': '10' },
    })
    rig.csms.override = (action, payload) =>
      action === 'StartTransaction' || payload['eventType'] === 'Started' ? { errorCode: 'InternalError' } : undefined
    await begin(rig)
    await rig.run(100)
    const tries = rig.csms.heard.filter(
      ({ action, payload }) => action === 'StartTransaction' || payload['eventType'] === 'Started',
    )
    const [first = 0, second = 0, third = 0] = tries.map(({ atMs }) => Math.round((atMs - tries[0]!.atMs) / 1000))
    t.deepEqual([tries.length, first, second, third], [3, 0, 10, 30])
    t.deepEqual(
      tries.map(({ payload }) => payload),
      [tries[0]?.payload, tries[0]?.payload, tries[0]?.payload],
    )
    t.true(rig.events.some(({ event }) => event === 'transaction.message.dropped'))
    t.true(rig.csms.heardOf('MeterValues', 'TransactionEvent').length > 0)
  })

  test(`${version}: availability waits for the session, and a lock that is stuck is not unlocked`, async (t) => {
    const rig = await started({ version })
    await begin(rig)
    const inoperative =
      version === '1.6'
        ? { connectorId: 1, type: 'Inoperative' }
        : { evse: { id: 1 }, operationalStatus: 'Inoperative' }
    t.is((await rig.ask('ChangeAvailability', inoperative))['status'], 'Scheduled')
    await rig.run(5)
    t.is(rig.station.evses[0]?.evse.pilot, 'C')
    await leave(rig)
    t.is(rig.station.evses[0]?.evse.pilot, 'F')
    await begin(rig)
    t.is(sessionsOf(rig.csms.heard).length, 1)
    rig.station.setFault(1, 'lock-stuck', true)
    const unlock = version === '1.6' ? { connectorId: 1 } : { evseId: 1, connectorId: 1 }
    t.is((await rig.ask('UnlockConnector', unlock))['status'], 'UnlockFailed')
    rig.station.setFault(1, 'lock-stuck', false)
    t.is((await rig.ask('UnlockConnector', unlock))['status'], 'Unlocked')
    t.deepEqual(problems(rig), [])
  })

  test(`${version}: a reset ends the session, restarts the firmware and boots with the reason`, async (t) => {
    const rig = await started({ version })
    await begin(rig)
    await rig.run(10)
    t.is((await rig.ask('Reset', { type: version === '1.6' ? 'Soft' : 'Immediate' }))['status'], 'Accepted')
    await rig.run(10)
    t.is(sessionsOf(rig.csms.heard)[0]?.reason, version === '1.6' ? 'SoftReset' : 'ImmediateReset')
    t.is(rig.csms.heardOf('BootNotification').length, 2)
    if (version !== '1.6') t.is(rig.csms.heardOf('BootNotification')[1]?.payload['reason'], 'RemoteReset')
  })

  test(`${version}: what is triggered is sent, what is unknown is not implemented`, async (t) => {
    const rig = await started({ version })
    for (const requestedMessage of [
      'BootNotification',
      'Heartbeat',
      'StatusNotification',
      'MeterValues',
      'FirmwareStatusNotification',
    ]) {
      const before = rig.csms.heardOf(requestedMessage).length
      t.is((await rig.ask('TriggerMessage', { requestedMessage }))['status'], 'Accepted')
      await rig.run(1)
      t.is(rig.csms.heardOf(requestedMessage).length, before + 1, requestedMessage)
    }
    const asked =
      version === '1.6'
        ? ['Heartbeat', {}]
        : ['PublishFirmware', { location: 'https://x', checksum: 'd41d8cd98f00b204e9800998ecf8427e', requestId: 1 }]
    t.deepEqual(await rig.ask(asked[0] as string, asked[1] as Payload), { errorCode: 'NotImplemented' })
    t.deepEqual(await rig.ask('TriggerMessage', { requestedMessage: 'Nonsense' }), { errorCode: 'FormatViolation' })
    t.deepEqual(problems(rig), [])
  })

  test(`${version}: firmware is updated with a restart, told step by step`, async (t) => {
    const rig = await started({ version })
    const when = new Date(epochMs).toISOString()
    await rig.ask(
      'UpdateFirmware',
      version === '1.6'
        ? { location: 'http://host/fw.bin', retrieveDate: when }
        : { requestId: 3, firmware: { location: 'http://host/fw.bin', retrieveDateTime: when } },
    )
    await rig.run(15)
    const steps = rig.csms.heardOf('FirmwareStatusNotification').map(({ payload }) => payload['status'])
    t.deepEqual(steps, ['Downloading', 'Downloaded', 'Installing', 'Installed'])
    t.deepEqual(problems(rig), [])
  })
}

test('1.6: keys are read and changed without regard to case, and the password is never told', async (t) => {
  const rig = await started()
  const get = (...key: string[]) => rig.ask('GetConfiguration', { key })
  const change = (key: string, value: string) => rig.ask('ChangeConfiguration', { key, value })
  t.like(await change('heartbeatINTERVAL', '77'), { status: 'Accepted' })
  t.deepEqual(await get('HeartbeatInterval', 'Nonsense'), {
    configurationKey: [{ key: 'HeartbeatInterval', readonly: false, value: '77' }],
    unknownKey: ['Nonsense'],
  })
  t.like(await change('HeartbeatInterval', 'soon'), { status: 'Rejected' })
  t.like(await change('ChargeProfileMaxStackLevel', '9'), { status: 'Rejected' })
  t.like(await change('Nonsense', '1'), { status: 'NotSupported' })
  t.like(await change('AuthorizationKey', 'secret-secret-secret'), { status: 'Accepted' })
  t.false(JSON.stringify(await get()).includes('secret'))
  rig.kill()
  rig.station.powerOn()
  await rig.run(2)
  t.like(await get('HeartbeatInterval'), { configurationKey: [{ value: '77' }] })
  t.is(rig.csms.sockets.at(-1)?.request.password, 'secret-secret-secret')
  t.deepEqual(problems(rig), [])
})

test('2.0.1: variables are read, set and reported', async (t) => {
  const rig = await started({ version: '2.0.1' })
  const named = (component: string, variable: string) => ({
    component: { name: component },
    variable: { name: variable },
  })
  const heartbeat = named('OCPPCommCtrlr', 'HeartbeatInterval')
  const password = named('SecurityCtrlr', 'BasicAuthPassword')
  const set = await rig.ask('SetVariables', {
    setVariableData: [
      { ...heartbeat, attributeValue: '77' },
      { ...named('SmartChargingCtrlr', 'RateUnit'), attributeValue: 'A' },
      { ...named('Nobody', 'X'), attributeValue: '1' },
      { ...named('TxCtrlr', 'X'), attributeValue: '1' },
    ],
  })
  const statuses = (answer: Payload, key: string) =>
    (answer[key] as Payload[]).map(({ attributeStatus }) => attributeStatus)
  t.deepEqual(statuses(set, 'setVariableResult'), ['Accepted', 'Rejected', 'UnknownComponent', 'UnknownVariable'])
  const got = await rig.ask('GetVariables', { getVariableData: [heartbeat, password] })
  t.deepEqual(statuses(got, 'getVariableResult'), ['Accepted', 'Rejected'])
  t.like(got, { getVariableResult: [{ attributeValue: '77' }] })
  t.like(await rig.ask('GetBaseReport', { requestId: 4, reportBase: 'FullInventory' }), { status: 'Accepted' })
  await rig.run(1)
  t.deepEqual(
    rig.csms.heardOf('NotifyReport').map(({ payload }) => [payload['seqNo'], payload['tbc']]),
    [
      [0, true],
      [1, false],
    ],
  )
  t.like(await rig.ask('GetTransactionStatus', {}), { messagesInQueue: false })
  t.deepEqual(problems(rig), [])
})

test('two EVSEs share the limit of the station and charge on their own', async (t) => {
  const evse = { maxCurrentA: 32, phases: 3 as const, hasVentilation: false, startWh: 0 }
  const rig = await started({ evses: [evse, evse] })
  const schedule = { chargingRateUnit: 'A', chargingSchedulePeriod: [{ startPeriod: 0, limit: 20 }] }
  const profile = {
    chargingProfileId: 1,
    stackLevel: 0,
    chargingProfilePurpose: 'ChargePointMaxProfile',
    chargingProfileKind: 'Relative',
    chargingSchedule: schedule,
  }
  t.like(await rig.ask('SetChargingProfile', { connectorId: 0, csChargingProfiles: profile }), { status: 'Accepted' })
  rig.csms.cards.set('OTHER', 'Accepted')
  await begin(rig, 'CARD', 1)
  await rig.run(3)
  const currents = () => rig.station.evses.map(({ evse: { powerMilliwatts } }) => powerMilliwatts / 690_000)
  t.deepEqual(currents(), [16, 0])
  await begin(rig, 'OTHER', 2)
  await rig.run(3)
  t.deepEqual(currents(), [10, 10])
  await leave(rig)
  await rig.run(3)
  t.deepEqual(currents(), [0, 16])
  t.true(rig.registerWh(2) > 0)
})

test('a stop with another card of the same group is accepted, a stranger’s is not', async (t) => {
  const rig = await started()
  rig.csms.override = (action, { idTag }) =>
    action === 'Authorize' || action === 'StartTransaction'
      ? {
          result: {
            idTagInfo: { status: 'Accepted', parentIdTag: idTag === 'OTHER' ? 'X' : 'FAMILY' },
            ...(action === 'StartTransaction' ? { transactionId: 1 } : {}),
          },
        }
      : undefined
  await begin(rig)
  void rig.station.presentCard(1, 'OTHER')
  await rig.run(2)
  t.is(rig.station.evses[0]?.evse.pilot, 'C')
  void rig.station.presentCard(1, 'PARTNER')
  await rig.run(2)
  t.is(rig.station.evses[0]?.evse.pilot, 'B')
  t.like(rig.csms.heardOf('StopTransaction')[0]?.payload, { idTag: 'PARTNER' })
})
