import test from 'ava'
import type { Payload } from './rpc.ts'
import { dig, epochMs, Rig, sessionsOf } from './station-rig.ts'
import { begin, leave, problems, started, versions } from './story-rig.ts'

for (const version of versions) {
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
