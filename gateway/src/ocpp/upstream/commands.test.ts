import { type OcppVersion, ocppActions, ocppVersions, WattError } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { requestExamples } from '../../../test/ocpp-requests.ts'
import { FakeUpstream, UpstreamRig, type UpstreamRigOptions } from '../../../test/upstream-rig.ts'
import { CallRefused } from '../call-refused.ts'
import { findSchema } from '../schemas.ts'
import type { OcppPayload } from '../transaction-sink.ts'
import { commandGroupNames, commandGroups, findOwnership, groupOf } from './command-groups.ts'
import { upstreamIdsFrom } from './id-mapping.ts'
import { changesProfiles } from './local-rules.ts'
import { refuseCommand } from './refusals.ts'
import { wayUp } from './what-goes-up.ts'

async function open(t: ExecutionContext, version: OcppVersion = 'ocpp1.6', options: Partial<UpstreamRigOptions> = {}) {
  const csms = new FakeUpstream()
  const rig = new UpstreamRig(t.teardown, { dial: csms.dial, ...options })
  rig.upstream.connected('CP1', version)
  await rig.advance(1)
  const ask = (action: string, payload: unknown) => csms.ask('CP1', action, payload)
  return { csms, rig, ask }
}

const profile16 = (changes: object = {}) => ({
  chargingProfileId: 3,
  stackLevel: 0,
  chargingProfilePurpose: 'TxDefaultProfile',
  chargingProfileKind: 'Absolute',
  chargingSchedule: { chargingRateUnit: 'A', chargingSchedulePeriod: [{ startPeriod: 0, limit: 32 }] },
  ...changes,
})

test('every request to a station is in one group, or belongs to the gateway; every one from a station has its way', (t) => {
  const grouped = Object.values(commandGroups).flat()
  t.is(new Set(grouped).size, grouped.length)
  t.deepEqual(Object.keys(commandGroups).toSorted(), commandGroupNames.toSorted())
  for (const version of ocppVersions) {
    for (const action of ocppActions[version].csms) {
      t.is([groupOf(action), findOwnership(action)].filter((one) => one !== undefined).length, 1, action)
    }
  }
  const ends = ocppVersions.flatMap((version) =>
    ocppActions[version].station.filter((action) => wayUp(action) === 'own'),
  )
  t.deepEqual([...new Set(ends)].toSorted(), [
    'Authorize',
    'BatterySwap',
    'ClosePeriodicEventStream',
    'DataTransfer',
    'Get15118EVCertificate',
    'GetCertificateChainStatus',
    'GetCertificateStatus',
    'Heartbeat',
    'NotifyEVChargingNeeds',
    'NotifyEVChargingSchedule',
    'NotifySettlement',
    'OpenPeriodicEventStream',
    'PullDynamicScheduleUpdate',
    'SignCertificate',
    'VatNumberValidation',
  ])
})

test('SPEC-168: every request can be refused in words that its schema has', (t) => {
  for (const version of ocppVersions) {
    const errors: string[] = []
    for (const action of ocppActions[version].csms) {
      try {
        const answer = refuseCommand({ version, action, reason: 'x'.repeat(2_000) })
        t.deepEqual(findSchema(version, action, 'answer')?.faults(answer), [], action)
        t.notRegex(String(answer['status']), /Accepted|Unlocked/, action)
      } catch (error) {
        t.true(error instanceof CallRefused, `${action} ${String(error)}`)
        errors.push(action)
      }
    }
    // What has no status in its answer.
    if (version === 'ocpp1.6') {
      t.deepEqual(errors, [
        'GetConfiguration',
        'GetDiagnostics',
        'GetInstalledCertificateIds',
        'GetLocalListVersion',
        'UpdateFirmware',
      ])
    }
  }
})

test('every request that may pass arrives as it was given, but for ids; every other one is refused and told', async (t) => {
  for (const version of ocppVersions) {
    const { rig, ask } = await open(t, version)
    for (const [action, payload] of Object.entries(requestExamples[version])) {
      rig.commands.length = 0
      // Refused for what they name; tested one by one below.
      if (/^RemoteStop|^ChangeConf|^SetVariables|^ExtendedTrigger|^ClearChargingProfile/.test(action)) continue
      const answer = await ask(action, payload).catch((error: unknown) => error)
      if (findOwnership(action) === undefined) {
        t.is(rig.commands.length, 1, action)
        if (!/Profile|Reserv/.test(action)) t.deepEqual(rig.commands[0]?.payload, payload as OcppPayload, action)
        t.deepEqual(answer, { status: 'Accepted' })
        const schema = findSchema(version, action, 'request')
        t.deepEqual(schema?.faults(rig.commands[0]?.payload), [], action)
      } else {
        t.deepEqual(rig.commands, [], action)
        t.true(
          rig.log.lines.some((line) => line.event === 'ocpp.upstream.command.refused' && line['action'] === action),
        )
      }
    }
  }
})

test('a request that is wrong, unknown or of the other direction is refused as OCPP-J says', async (t) => {
  const { rig, ask } = await open(t)
  const code = async (action: string, payload: unknown) => {
    const error = await t.throwsAsync(ask(action, payload), { instanceOf: CallRefused })
    return error instanceof CallRefused ? error.code : undefined
  }
  t.is(await code('Reset', { type: 'Medium' }), 'FormationViolation')
  t.is(await code('Reset', []), 'FormationViolation')
  t.is(await code('GetVariables', {}), 'NotImplemented')
  t.is(await code('BootNotification', {}), 'NotImplemented')
  t.is(await code('StartTransaction', {}), 'NotImplemented')
  t.is(await code('toString', {}), 'NotImplemented')
  t.deepEqual(rig.commands, [])
})

test('the site may allow less: what is not in the list is refused', async (t) => {
  const { rig, ask } = await open(t, 'ocpp1.6', { config: { allow: ['read', 'stop'] } })
  t.deepEqual(await ask('Reset', { type: 'Soft' }), { status: 'Rejected' })
  t.deepEqual(await ask('UnlockConnector', { connectorId: 1 }), { status: 'NotSupported' })
  await t.throwsAsync(ask('UpdateFirmware', { location: 'ftp://x/', retrieveDate: '2027-01-15T08:00:00Z' }), {
    message: /does not allow 'firmware'/,
  })
  t.deepEqual(await ask('GetConfiguration', {}), { status: 'Accepted' })
  t.deepEqual(
    rig.commands.map(({ action }) => action),
    ['GetConfiguration'],
  )
})

test('1.6: settings that the gateway makes are refused, whatever their case; others are passed on', async (t) => {
  const { rig, ask } = await open(t)
  const owned = [
    'AuthorizationKey',
    'authorizationkey',
    'MeterValuesSampledData',
    'SecurityProfile',
    'CentralSystemURL',
    'BackendUrl',
    'SampledDataSignReadings',
    'AllowOfflineTxForUnknownId',
  ]
  for (const key of owned)
    t.deepEqual(await ask('ChangeConfiguration', { key, value: '1' }), { status: 'Rejected' }, key)
  t.deepEqual(rig.commands, [])
  for (const key of ['LightIntensity', 'ConnectionTimeOut', 'UnlockConnectorOnEVSideDisconnect']) {
    await ask('ChangeConfiguration', { key, value: '1' })
  }
  t.is(rig.commands.length, 3)
})

test('2.x: of several variables those that the gateway sets are refused, each in its place', async (t) => {
  const { rig, ask } = await open(t, 'ocpp2.0.1')
  const entry = (component: string, variable: string) => ({
    attributeValue: '1',
    component: { name: component },
    variable: { name: variable },
  })
  rig.answerOfStation = ({ payload }) => ({
    setVariableResult: (payload['setVariableData'] as ReturnType<typeof entry>[]).map(({ component, variable }) => ({
      component,
      variable,
      attributeStatus: 'Accepted',
    })),
  })
  const mixed = [
    entry('SecurityCtrlr', 'BasicAuthPassword'),
    entry('DisplayMessageCtrlr', 'Enabled'),
    entry('samplEDDataCtrlr', 'TxUpdatedInterval'),
  ]
  const answer = await ask('SetVariables', { setVariableData: mixed })
  const results = answer['setVariableResult'] as { attributeStatus: string; component: { name: string } }[]
  t.deepEqual(
    results.map(({ attributeStatus }) => attributeStatus),
    ['Rejected', 'Accepted', 'Rejected'],
  )
  t.is(results[1]?.component.name, 'DisplayMessageCtrlr')
  t.deepEqual(rig.commands[0]?.payload, { setVariableData: [mixed[1]] })
  t.deepEqual(findSchema('ocpp2.0.1', 'SetVariables', 'answer')?.faults(answer), [])
  await ask('SetVariables', { setVariableData: [mixed[0]] })
  t.is(rig.commands.length, 1, 'nothing is left to pass on')
})

test('secrets of a station stay here', async (t) => {
  const { rig, ask } = await open(t)
  rig.answerOfStation = () => ({
    configurationKey: [
      { key: 'AuthorizationKey', readonly: false, value: 'very secret' },
      { key: 'HeartbeatInterval', readonly: false, value: '300' },
    ],
  })
  t.deepEqual(await ask('GetConfiguration', {}), {
    configurationKey: [
      { key: 'AuthorizationKey', readonly: false },
      { key: 'HeartbeatInterval', readonly: false, value: '300' },
    ],
  })
  const newer = await open(t, 'ocpp2.0.1')
  const component = { name: 'SecurityCtrlr' }
  newer.rig.answerOfStation = () => ({
    getVariableResult: [
      {
        attributeStatus: 'Accepted',
        attributeValue: 'very secret',
        component,
        variable: { name: 'BasicAuthPassword' },
      },
    ],
  })
  const answer = await newer.ask('GetVariables', {
    getVariableData: [{ component, variable: { name: 'BasicAuthPassword' } }],
  })
  t.false(JSON.stringify(answer).includes('secret'))
})

test('SPEC-168: a charging profile above the limit of the site is lowered to it, in ampere and in watt', async (t) => {
  const { rig, ask } = await open(t, 'ocpp1.6', { rules: { mostAmps: () => 16 } })
  await ask('SetChargingProfile', { connectorId: 1, csChargingProfiles: profile16() })
  const watts = {
    chargingRateUnit: 'W',
    chargingSchedulePeriod: [
      { startPeriod: 0, limit: 22_000 },
      { startPeriod: 60, limit: 7_360, numberPhases: 1 },
      { startPeriod: 120, limit: 1_000 },
    ],
  }
  await ask('SetChargingProfile', { connectorId: 1, csChargingProfiles: profile16({ chargingSchedule: watts }) })
  await ask('RemoteStartTransaction', { idTag: 'CARD', connectorId: 1, chargingProfile: profile16() })
  const limits = rig.commands.map(({ payload }) => {
    const profile = (payload['csChargingProfiles'] ?? payload['chargingProfile']) as ReturnType<typeof profile16>
    return profile.chargingSchedule.chargingSchedulePeriod.map(({ limit }) => limit)
  })
  t.deepEqual(limits, [[16], [11_040, 3_680, 1_000], [16]])
  t.is(rig.log.lines.filter(({ event }) => event === 'ocpp.upstream.profile.capped').length, 3)
  const newer = await open(t, 'ocpp2.1', { config: { maxProfileAmps: 1 }, rules: { mostAmps: () => 6 } })
  const schedule = {
    id: 1,
    chargingRateUnit: 'A',
    chargingSchedulePeriod: [{ startPeriod: 0, limit: 10, limit_L2: 20, limit_L3: 3 }],
  }
  await newer.ask('SetChargingProfile', {
    evseId: 1,
    chargingProfile: {
      id: 1,
      stackLevel: 0,
      chargingProfilePurpose: 'TxDefaultProfile',
      chargingProfileKind: 'Absolute',
      chargingSchedule: [schedule],
    },
  })
  t.regex(JSON.stringify(newer.rig.commands), /"limit":6,"limit_L2":6,"limit_L3":3/)
})

test('SPEC-165: profiles of upstream have numbers of their own, and it can clear no others', async (t) => {
  const { rig, ask } = await open(t)
  await ask('SetChargingProfile', { connectorId: 1, csChargingProfiles: profile16() })
  t.like(rig.commands[0]?.payload['csChargingProfiles'], { chargingProfileId: 3 + upstreamIdsFrom })
  await ask('ClearChargingProfile', { id: 3 })
  t.deepEqual(rig.commands[1]?.payload, { id: 3 + upstreamIdsFrom })
  t.deepEqual(await ask('ClearChargingProfile', { connectorId: 1 }), { status: 'Unknown' })
  t.deepEqual(await ask('ClearChargingProfile', { id: upstreamIdsFrom }), { status: 'Unknown' }, 'one of the gateway’s')
  const tx = profile16({ chargingProfilePurpose: 'TxProfile', transactionId: 77 })
  t.deepEqual(await ask('SetChargingProfile', { connectorId: 1, csChargingProfiles: tx }), { status: 'Rejected' })
  t.is(rig.commands.length, 2)
  const newer = await open(t, 'ocpp2.0.1')
  newer.rig.answerOfStation = () => ({ status: 'Accepted' })
  await newer.ask('GetChargingProfiles', { requestId: 4, chargingProfile: { chargingProfileId: [1] } })
  t.deepEqual(newer.rig.commands[0]?.payload['chargingProfile'], { chargingProfileId: [1 + upstreamIdsFrom] })
  const described = (id: number) => ({
    ...profile16(),
    id,
    chargingProfileId: undefined,
    chargingSchedule: [{ id: 1, chargingRateUnit: 'A', chargingSchedulePeriod: [{ startPeriod: 0, limit: 6 }] }],
  })
  const chargingProfile = [described(1), described(1 + upstreamIdsFrom)].map((one) => JSON.parse(JSON.stringify(one)))
  await newer.rig.say('CP1', 'ocpp2.0.1', 'ReportChargingProfiles', {
    requestId: 4,
    chargingLimitSource: 'CSO',
    evseId: 1,
    chargingProfile,
  })
  await newer.rig.advance(1)
  const [report] = newer.csms.of('ReportChargingProfiles')
  t.deepEqual(
    ((report?.payload['chargingProfile'] ?? []) as { id: number }[]).map(({ id }) => id),
    [1],
  )
})

test('SPEC-168: what a local rule objects to is refused in its words: a reserved connector is occupied', async (t) => {
  const { rig, ask } = await open(t, 'ocpp1.6', {
    rules: {
      objectionTo: ({ action, payload }) =>
        action === 'ReserveNow' && payload['connectorId'] === 1
          ? { reason: 'reserved here', status: 'Occupied' }
          : undefined,
    },
  })
  const reserve = (connectorId: number) => ({
    connectorId,
    expiryDate: '2027-01-15T08:00:00Z',
    idTag: 'CARD',
    reservationId: 1,
  })
  t.deepEqual(await ask('ReserveNow', reserve(1)), { status: 'Occupied' })
  t.deepEqual(await ask('ReserveNow', reserve(2)), { status: 'Accepted' })
  t.deepEqual(await ask('ReserveNow', { ...reserve(2), idTag: 'BLOCKED' }), { status: 'Rejected' })
  t.is(rig.commands.length, 1)
  t.like(await rig.log.line('ocpp.upstream.command.refused'), { station: 'CP1', reason: 'reserved here' })
})

test('SPEC-168: where the gateway shares the current of the house, no profile of upstream takes its place', async (t) => {
  const { rig, ask } = await open(t, 'ocpp1.6', {
    rules: { objectionTo: (command) => (changesProfiles(command) ? { reason: 'shared here' } : undefined) },
  })
  const refused = { status: 'Rejected' }
  t.deepEqual(await ask('SetChargingProfile', { connectorId: 1, csChargingProfiles: profile16() }), refused)
  t.deepEqual(await ask('RemoteStartTransaction', { idTag: 'CARD', chargingProfile: profile16() }), refused)
  t.deepEqual(await ask('ClearChargingProfile', { id: 3 }), { status: 'Unknown' })
  t.deepEqual(rig.commands, [])
  t.deepEqual(await ask('RemoteStartTransaction', { idTag: 'CARD' }), { status: 'Accepted' })
  t.deepEqual(await ask('GetCompositeSchedule', { connectorId: 1, duration: 60 }), { status: 'Accepted' })
})

test('what is refused on its way to the station is refused upstream; what the station says goes up as it says it', async (t) => {
  const { rig, ask } = await open(t)
  const reserve = { connectorId: 1, expiryDate: '2027-01-15T08:00:00Z', idTag: 'CARD', reservationId: 1 }
  rig.answerOfStation = () => {
    throw new WattError('message/invalid', 'not sent: reserved for somebody else')
  }
  t.deepEqual(await ask('ReserveNow', reserve), { status: 'Occupied' })
  t.deepEqual(await ask('RemoteStartTransaction', { idTag: 'CARD', connectorId: 1 }), { status: 'Rejected' })
  t.like(await rig.log.line('ocpp.upstream.command.refused', 2), { reason: 'not sent: reserved for somebody else' })
  const answers = [
    ['station/refused', 'NotSupported'],
    ['station/silent', 'GenericError'],
    ['station/offline', 'GenericError'],
  ] as const
  for (const [code, word] of answers) {
    rig.answerOfStation = () => {
      throw new WattError(code, 'why')
    }
    const error = await t.throwsAsync(ask('ReserveNow', reserve), { instanceOf: CallRefused, message: 'why' })
    t.is(error instanceof CallRefused ? error.code : '', word)
  }
})

test('certificates of stations are not upstream’s to renew', async (t) => {
  const { rig, ask } = await open(t)
  t.deepEqual(await ask('ExtendedTriggerMessage', { requestedMessage: 'SignChargePointCertificate' }), {
    status: 'Rejected',
  })
  t.deepEqual(await ask('ExtendedTriggerMessage', { requestedMessage: 'StatusNotification' }), { status: 'Accepted' })
  t.is(rig.commands.length, 1)
})

test('a station that gives no answer, or a wrong one, is a CALLERROR upstream; too many at once are refused', async (t) => {
  const { rig, ask } = await open(t)
  rig.answerOfStation = () => 'yes'
  await t.throwsAsync(ask('ClearCache', {}), { message: /no readable answer/ })
  let release: () => void = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  rig.answerOfStation = async () => {
    await held
    return { status: 'Accepted' }
  }
  const many = Array.from({ length: 12 }, () => ask('ClearCache', {}).catch((error: Error) => error.message))
  release()
  const answers = await Promise.all(many)
  t.is(answers.filter((one) => one === 'too many requests at once').length, 2)
})
