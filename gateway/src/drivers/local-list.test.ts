import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { stringify } from 'yaml'
import { type AnsweringStation, type DriversRig, driverFile, listSigner, startDrivers } from '../../test/drivers-rig.ts'
import { makeTempFolder } from '../../test/signing-rig.ts'
import type { DriverFile } from './driver-file.ts'
import { signList } from './list-maker.ts'
import { planUpdate } from './local-list.ts'

function limits16(enabled: string, items: number, entries = 1000) {
  const pairs = [
    ['LocalAuthListEnabled', enabled],
    ['localauthlistmaxlength', String(entries)],
    ['SendLocalListMaxLength', String(items)],
  ]
  return { configurationKey: pairs.map(([key, value]) => ({ key, readonly: true, value })) }
}

/** Writes who may charge, and signs it: the whole, or another part than what stands in the file with tokens. */
function write(rig: DriversRig, tokensFile: string, file: DriverFile, signed = file): void {
  writeFileSync(tokensFile, stringify(file), { mode: 0o600 })
  rig.clock.nowMs += 1
  signList(signed, listSigner, { path: rig.listFile, nowMs: rig.clock.nowMs, cost: 10 })
}

async function start(t: ExecutionContext) {
  const tokensFile = join(makeTempFolder(t.teardown), 'drivers.yaml')
  const rig = await startDrivers(t.teardown, { tokensFile })
  return { rig, tokensFile }
}

/** Lets the gateway bring the list, and gives what came of it. */
async function bring(rig: DriversRig, count: number): Promise<unknown> {
  await rig.now.scheduler.advance(10_000)
  return (await rig.log.line('drivers.local-list', count))['outcome']
}

const sent = ({ asked }: AnsweringStation) =>
  asked.filter(({ action }) => action === 'SendLocalList').map(({ payload }) => payload)

test('OCPP 1.6: the list goes in parts of the length that the station takes; then only what has changed; then nothing', async (t) => {
  const { rig, tokensFile } = await start(t)
  write(rig, tokensFile, driverFile)
  await rig.now.scheduler.advance(5_000)
  const station = await rig.station('ocpp1.6', {
    GetConfiguration: limits16('true', 4),
    GetLocalListVersion: { listVersion: 7 },
  })
  t.is(await bring(rig, 1), 'whole list, 10 drivers, version 10')
  const parts = sent(station)
  t.deepEqual(
    parts.map(({ listVersion, updateType, localAuthorizationList: list }) => [
      listVersion,
      updateType,
      (list as []).length,
    ]),
    [
      [8, 'Full', 4],
      [9, 'Differential', 4],
      [10, 'Differential', 2],
    ],
  )
  t.deepEqual(
    parts
      .flatMap(({ localAuthorizationList: list }) => list)
      .map((one) => one as object)
      .slice(0, 2),
    [
      { idTag: '04AA11BB', idTagInfo: { status: 'Accepted', parentIdTag: 'family' } },
      { idTag: '04AA22BB', idTagInfo: { status: 'Accepted' } },
    ],
  )

  station.answers = { ...station.answers, GetLocalListVersion: { listVersion: 10 } }
  const blocked = driverFile.drivers.map((one) => (one.token === 'BOB12345' ? { ...one, blocked: true as const } : one))
  write(rig, tokensFile, { ...driverFile, drivers: blocked })
  t.is(await bring(rig, 2), 'changes, 10 drivers, version 11')
  t.deepEqual(sent(station).slice(3), [
    {
      listVersion: 11,
      updateType: 'Differential',
      localAuthorizationList: [{ idTag: 'BOB12345', idTagInfo: { status: 'Blocked' } }],
    },
  ])

  station.answers = { ...station.answers, GetLocalListVersion: { listVersion: 11 } }
  await rig.restart()
  const back = await rig.station('ocpp1.6', station.answers)
  await rig.now.scheduler.advance(10_000)
  await back.ask('Heartbeat', {})
  t.true(back.asked.some(({ action }) => action === 'GetLocalListVersion'))
  t.deepEqual(sent(back), [], 'the station has it already')

  back.answers = { ...back.answers, GetLocalListVersion: { listVersion: 3 } }
  await rig.restart()
  const lost = await rig.station('ocpp1.6', back.answers)
  t.is(
    await bring(rig, 3),
    'whole list, 10 drivers, version 14',
    'it has another one: all anew, above what it ever had',
  )
  t.is(sent(lost)[0]?.['updateType'], 'Full')
})

test('OCPP 2.x: items, bytes and entries limit the list; what has gone from it makes it whole again', async (t) => {
  const { rig, tokensFile } = await start(t)
  write(rig, tokensFile, driverFile)
  await rig.now.scheduler.advance(5_000)
  const result = (name: string, value: string) => ({
    attributeStatus: 'Accepted',
    attributeValue: value,
    component: { name: 'LocalAuthListCtrlr' },
    variable: { name },
  })
  const variables = [
    result('Enabled', 'true'),
    result('ItemsPerMessage', '50'),
    result('BytesPerMessage', '800'),
    result('Entries', '5'),
  ]
  const station = await rig.station('ocpp2.0.1', {
    GetVariables: { getVariableResult: variables },
    GetLocalListVersion: { versionNumber: 0 },
  })
  t.is(await bring(rig, 1), 'whole list, 5 drivers, version 2')
  const [first] = sent(station)
  t.deepEqual((first?.['localAuthorizationList'] as object[] | undefined)?.[0], {
    idToken: { idToken: '04AA11BB', type: 'ISO14443' },
    idTokenInfo: { status: 'Accepted', groupIdToken: { idToken: 'family', type: 'Central' } },
  })
  station.answers = { ...station.answers, GetLocalListVersion: { versionNumber: 2 } }
  write(rig, tokensFile, { ...driverFile, drivers: driverFile.drivers.slice(1, 2) })
  t.is(await bring(rig, 2), 'whole list, 1 drivers, version 3')
  t.is(sent(station).at(-1)?.['updateType'], 'Full')
})

test('stations without a local list, or with theirs off, are left alone; a refusal is made good with the whole list', async (t) => {
  const { rig, tokensFile } = await start(t)
  write(rig, tokensFile, driverFile)
  await rig.now.scheduler.advance(5_000)
  const station = await rig.station('ocpp1.6', { GetConfiguration: limits16('false', 4) })
  t.is(await bring(rig, 1), 'the station has no local list, or it is switched off')
  station.answers = { GetConfiguration: limits16('true', 4), GetLocalListVersion: { listVersion: -1 } }
  await station.ask('BootNotification', { chargePointVendor: 'A', chargePointModel: 'B' })
  t.is(await bring(rig, 2), 'the station has no local list')
  t.deepEqual(sent(station), [])
  station.answers = {
    GetConfiguration: limits16('true', 100),
    GetLocalListVersion: { listVersion: 0 },
    SendLocalList: { status: 'VersionMismatch' },
  }
  await station.ask('BootNotification', { chargePointVendor: 'A', chargePointModel: 'B' })
  t.is(await bring(rig, 3), 'refused with VersionMismatch; it is sent in full next time')
  station.answers = { ...station.answers, SendLocalList: { status: 'Accepted' } }
  await station.ask('BootNotification', { chargePointVendor: 'A', chargePointModel: 'B' })
  t.is(await bring(rig, 4), 'whole list, 10 drivers, version 1')
})

test('only what the signed list knows is sent, and nothing from a file that others can read', async (t) => {
  const { rig, tokensFile } = await start(t)
  const signed = { ...driverFile, drivers: driverFile.drivers.slice(0, 3) }
  write(rig, tokensFile, driverFile, signed)
  await rig.now.scheduler.advance(5_000)
  const answers = { GetConfiguration: limits16('true', 100), GetLocalListVersion: { listVersion: 0 } }
  const station = await rig.station('ocpp1.6', answers)
  t.is(await bring(rig, 1), 'whole list, 3 drivers, version 1')
  chmodSync(tokensFile, 0o644)
  await station.ask('BootNotification', { chargePointVendor: 'A', chargePointModel: 'B' })
  await rig.now.scheduler.advance(10_000)
  const failed = await rig.log.line('drivers.local-list.failed')
  t.regex(String(failed['message']), /has mode 0644: others may read its tokens/)
  t.is(sent(station).length, 1)
})

test('an update without anything new is none; an empty list is sent as such', (t) => {
  t.deepEqual(planUpdate([], undefined, 10).messages, [[]])
  const one = { idToken: 'A', type: 'ISO14443', answer: { status: 'Accepted' as const } }
  const { entries } = planUpdate([one], undefined, 10)
  t.deepEqual(planUpdate([one], { version: 1, entries }, 10).messages, [])
})
