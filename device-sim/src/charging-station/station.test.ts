import test from 'ava'
import type { Payload } from './rpc.ts'
import { dig, epochMs, sessionsOf } from './station-rig.ts'
import { begin, everyMinute, leave, problems, started, versions } from './story-rig.ts'

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
}

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
