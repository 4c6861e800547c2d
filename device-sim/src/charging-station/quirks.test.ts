import test from 'ava'
import { type Quirk, quirkNames, quirks } from './quirks.ts'
import type { Payload } from './rpc.ts'
import type { OcppVersion } from './schemas.ts'
import { dig, type Heard, Rig, type RigOptions, sessionsOf } from './station-rig.ts'

/**
 * Each switch does what its row says and nothing without it: `shows` must be true of a station with the quirk and
 * false of one without, after the same story.
 */
interface Row {
  readonly version?: OcppVersion
  readonly preset?: RigOptions['preset']
  readonly startWh?: number
  readonly story?: (rig: Rig) => Promise<void>
  readonly shows: (rig: Rig) => boolean | Promise<boolean>
}

const tag20 = 'ABCDEFGHIJKLMNOPQRST'

async function session(rig: Rig): Promise<void> {
  rig.plugIn()
  await rig.run(1)
  void rig.station.presentCard(1, 'CARD')
  await rig.run(40)
  void rig.station.presentCard(1, 'CARD')
  await rig.run(2)
  rig.station.unplug(1)
  await rig.run(2)
}

async function offline(rig: Rig, during: () => Promise<void>): Promise<void> {
  rig.csms.isReachable = false
  rig.csms.cut()
  await during()
  rig.csms.isReachable = true
  await rig.run(70)
}

async function restart(rig: Rig): Promise<void> {
  rig.kill()
  rig.station.powerOn()
  await rig.run(3)
}

const twoSessions = async (rig: Rig) => {
  await session(rig)
  await session(rig)
}

const payloads = (rig: Rig, ...actions: string[]) => rig.csms.heardOf(...actions).map(({ payload }) => payload)
const events = (rig: Rig, type: string) =>
  payloads(rig, 'TransactionEvent').filter(({ eventType }) => eventType === type)
const starts = (rig: Rig) => payloads(rig, 'StartTransaction')
const stops = (rig: Rig) => payloads(rig, 'StopTransaction')
const sampled = (rig: Rig): readonly Payload[] =>
  payloads(rig, 'MeterValues').flatMap((payload) => dig(payload, 'meterValue', 0, 'sampledValue') as Payload[])
const energy = (rig: Rig) => sampled(rig).filter(({ unit }) => unit !== 'W' && unit !== 'A' && unit !== 'Percent')
const firstTime = (rig: Rig) => String(payloads(rig, 'StatusNotification')[0]?.['timestamp'])
const statuses = (rig: Rig) => payloads(rig, 'StatusNotification').filter(({ connectorId }) => connectorId === 1)
const indexOf = (rig: Rig, matches: (heard: Heard) => boolean) => rig.csms.heard.findIndex(matches)

const profile = (more: Payload = {}, schedule: Payload = {}) => ({
  connectorId: 1,
  csChargingProfiles: {
    chargingProfileId: 1,
    stackLevel: 0,
    chargingProfilePurpose: 'TxDefaultProfile',
    chargingProfileKind: 'Relative',
    chargingSchedule: { chargingRateUnit: 'W', chargingSchedulePeriod: [{ startPeriod: 0, limit: 6000 }], ...schedule },
    ...more,
  },
})

const refuses = (standard: Payload, accepted: Payload) => async (rig: Rig) => {
  const status = async (payload: Payload) => (await rig.ask('SetChargingProfile', payload))['status']
  if ((await status(accepted)) !== 'Accepted') throw new Error('refuses everything')
  return (await status(standard)) === 'Rejected'
}

const setting = async (rig: Rig, key: string) =>
  dig(await rig.ask('GetConfiguration', { key: [key] }), 'configurationKey', 0, 'value')
const nothing = async () => undefined

const rows: Readonly<Record<Exclude<Quirk, 'no-upgrade-header' | 'ignores-pings'>, Row>> = {
  'no-subprotocol': { shows: (rig) => rig.csms.sockets[0]?.request.subprotocol === undefined },
  'throw-away-connection': {
    version: '2.0.1',
    shows: (rig) =>
      rig.csms.sockets.length === 2 &&
      rig.csms.sockets[0]?.request.subprotocol === 'ocpp1.6' &&
      rig.csms.open.length === 1,
  },
  'old-socket-stays': {
    async story(rig) {
      rig.station.reconnect()
      await rig.run(2)
    },
    shows: (rig) => rig.csms.open.length === 2,
  },
  'bad-frames': { shows: (rig) => rig.csms.sockets.length === 2 && rig.csms.open.length === 1 },
  'empty-frames': { shows: (rig) => rig.csms.emptyFrames === rig.csms.heard.length },
  'counting-message-ids': {
    story: restart,
    shows: (rig) => rig.csms.heardOf('BootNotification').every(({ messageId }) => messageId === '1000001'),
  },
  'no-boot-on-reconnect': {
    story: (rig) => offline(rig, nothing),
    shows: (rig) => payloads(rig, 'BootNotification').length === 1 && rig.csms.sockets.length > 1,
  },
  'forgets-settings': {
    async story(rig) {
      await rig.ask('ChangeConfiguration', { key: 'ConnectionTimeOut', value: '33' })
      await offline(rig, nothing)
    },
    shows: async (rig) => (await setting(rig, 'ConnectionTimeOut')) === '120',
  },
  'odd-settings': {
    shows: async (rig) =>
      (await setting(rig, 'SupportedFeatureProfiles')) === undefined &&
      (await setting(rig, 'ChargingScheduleAllowedChargingRateUnit')) === 'Power',
  },
  'settings-ignored': {
    async story(rig) {
      const answer = await rig.ask('ChangeConfiguration', { key: 'ConnectionTimeOut', value: '33' })
      if (answer['status'] !== 'Accepted') throw new Error('a change is always accepted')
    },
    shows: async (rig) => (await setting(rig, 'ConnectionTimeOut')) === '120',
  },
  'hangs-on-change-availability': {
    async story(rig) {
      void rig.csms.ask('ChangeAvailability', { connectorId: 1, type: 'Inoperative' })
      await rig.run(5)
    },
    async shows(rig) {
      const before = rig.csms.heard.length
      await rig.run(400)
      return rig.csms.heard.length === before
    },
  },
  'long-tag-overrun': {
    async story(rig) {
      rig.csms.cards.set(tag20, 'Accepted')
      await rig.ask('RemoteStartTransaction', { connectorId: 1, idTag: tag20 })
      rig.plugIn()
      await rig.run(5)
      rig.station.unplug(1)
      await rig.run(3)
    },
    shows: (rig) => String(stops(rig)[0]?.['idTag'] ?? '').length > 20,
  },
  'zoneless-time': { shows: (rig) => firstTime(rig) === '2026-11-21T11:00:00.040' },
  'offset-time': { shows: (rig) => firstTime(rig) === '2026-11-21T19:00:00.040+10:00' },
  'local-time-as-utc': {
    async story(rig) {
      await rig.ask('TriggerMessage', { requestedMessage: 'Heartbeat' })
      await session(rig)
    },
    shows: (rig) =>
      firstTime(rig).startsWith('2026-11-21T11:00:00') &&
      String(starts(rig)[0]?.['timestamp']).startsWith('2026-11-21T09'),
  },
  'epoch-before-boot': {
    preset: { AllowOfflineTxForUnknownId: 'true' },
    async story(rig) {
      rig.kill()
      rig.csms.isReachable = false
      rig.station.powerOn()
      await session(rig)
      rig.csms.isReachable = true
      await rig.run(70)
    },
    shows: (rig) => starts(rig)[0]?.['timestamp']?.toString().startsWith('1970-01-01') ?? false,
  },
  'no-milliseconds': { shows: (rig) => firstTime(rig) === '2026-11-21T09:00:00Z' },
  'replays-stale-status': {
    story: (rig) =>
      offline(rig, async () => {
        rig.plugIn()
        await rig.run(5)
        rig.station.unplug(1)
        await rig.run(5)
      }),
    shows: (rig) => statuses(rig).some(({ status }) => status === 'Preparing'),
  },
  'odd-meter-values-transaction-id': {
    story: twoSessions,
    shows: (rig) =>
      payloads(rig, 'MeterValues').every(
        ({ transactionId }) => Number(transactionId) < 1000 || Number(transactionId) > 1001,
      ),
  },
  'odd-stop-transaction-id': {
    story: twoSessions,
    shows: (rig) => stops(rig).every(({ transactionId }) => transactionId !== 1000 && transactionId !== 1001),
  },
  'start-never-sent': { story: session, shows: (rig) => starts(rig).length === 0 && stops(rig).length === 1 },
  'repeats-stop': {
    story: session,
    shows: (rig) => stops(rig).length === 2 && JSON.stringify(stops(rig)[0]) === JSON.stringify(stops(rig)[1]),
  },
  'repeats-stop-otherwise': {
    story: session,
    shows: (rig) => Number(stops(rig)[1]?.['meterStop']) === Number(stops(rig)[0]?.['meterStop']) + 1,
  },
  'repeats-start': {
    story: session,
    shows(rig) {
      const [first, second] = rig.csms.heardOf('StartTransaction')
      return (
        first?.messageId !== second?.messageId && JSON.stringify(first?.payload) === JSON.stringify(second?.payload)
      )
    },
  },
  'start-lost': {
    preset: { AllowOfflineTxForUnknownId: 'true' },
    story: (rig) =>
      offline(rig, async () => {
        await session(rig)
        await restart(rig)
      }),
    shows: (rig) => starts(rig).length === 0 && stops(rig).length === 1,
  },
  'meter-values-after-stop': {
    story: session,
    shows: (rig) =>
      indexOf(
        rig,
        ({ action, payload }) => action === 'MeterValues' && JSON.stringify(payload).includes('Transaction.End'),
      ) > indexOf(rig, ({ action }) => action === 'StopTransaction'),
  },
  'start-at-end': {
    story: session,
    shows: (rig) =>
      stops(rig).length === 0 && starts(rig).length === 1 && Number(starts(rig)[0]?.['meterStart']) > 1000,
  },
  'charging-before-start': {
    story: session,
    shows: (rig) =>
      indexOf(rig, ({ payload }) => payload['status'] === 'Charging') <
      indexOf(rig, ({ action }) => action === 'StartTransaction'),
  },
  'available-while-open': {
    story: session,
    shows: (rig) => !statuses(rig).some(({ status }) => status === 'Charging'),
  },
  'session-after-refusal': {
    preset: { AllowOfflineTxForUnknownId: 'true' },
    async story(rig) {
      rig.csms.isReachable = false
      rig.csms.cut()
      rig.plugIn()
      void rig.station.presentCard(1, 'STRANGER')
      await rig.run(5)
      rig.csms.isReachable = true
      await rig.run(60)
    },
    shows: (rig) => rig.station.evses[0]?.evse.pilot === 'C',
  },
  'no-connector-id': {
    version: '2.0.1',
    story: session,
    shows: (rig) => events(rig, 'Started').every((event) => dig(event, 'evse', 'connectorId') === undefined),
  },
  'connector-0': {
    version: '2.0.1',
    story: session,
    shows: (rig) => events(rig, 'Started').every((event) => dig(event, 'evse', 'connectorId') === 0),
  },
  'seq-no-0': { version: '2.0.1', story: session, shows: (rig) => events(rig, 'Ended')[0]?.['seqNo'] === 0 },
  'no-meter-value': {
    version: '2.0.1',
    story: session,
    shows: (rig) => events(rig, 'Ended')[0]?.['meterValue'] === undefined,
  },
  'no-stopped-reason': {
    version: '2.0.1',
    story: session,
    shows: (rig) => dig(events(rig, 'Ended')[0], 'transactionInfo', 'stoppedReason') === undefined,
  },
  'register-per-session': {
    story: twoSessions,
    shows: (rig) => starts(rig).every(({ meterStart }) => meterStart === 0),
  },
  'register-restarts': {
    async story(rig) {
      await session(rig)
      rig.station.powerOff()
      rig.station.powerOn()
      await rig.run(3)
      await session(rig)
    },
    shows: (rig) => starts(rig)[1]?.['meterStart'] === 0,
  },
  'two-contexts': {
    story: session,
    shows: (rig) =>
      new Set(energy(rig).map(({ context }) => context)).size === 2 && energy(rig)[1]?.['value'] === '1000',
  },
  'start-below-last': {
    story: twoSessions,
    shows: (rig) => Number(starts(rig)[1]?.['meterStart']) === Number(stops(rig)[0]?.['meterStop']) - 5,
  },
  'stop-below-last': {
    story: session,
    shows: (rig) => Number(stops(rig)[0]?.['meterStop']) === Math.floor(rig.registerWh()) - 5,
  },
  'stop-minus-one': { story: session, shows: (rig) => stops(rig)[0]?.['meterStop'] === -1 },
  'stop-zero': { story: session, shows: (rig) => stops(rig)[0]?.['meterStop'] === 0 },
  'fractional-wh': { story: session, shows: (rig) => !Number.isInteger(stops(rig)[0]?.['meterStop']) },
  'value-as-number': { story: session, shows: (rig) => sampled(rig).every(({ value }) => typeof value === 'number') },
  'empty-value': { story: session, shows: (rig) => sampled(rig).some(({ value }) => value === '') },
  'leading-blanks': {
    story: session,
    shows: (rig) => sampled(rig).every(({ value }) => String(value).startsWith('  ')),
  },
  'no-unit': { story: session, shows: (rig) => sampled(rig).every(({ unit }) => unit === undefined) },
  'kwh-values': {
    story: session,
    shows: (rig) => energy(rig).every(({ unit, value }) => unit === 'kWh' && Number(value) > 1 && Number(value) < 2),
  },
  'wrong-unit': { story: session, shows: (rig) => energy(rig).every(({ unit }) => unit === 'Celsius') },
  'no-measurand': { story: session, shows: (rig) => energy(rig).every(({ measurand }) => measurand === undefined) },
  'odd-phases': { story: session, shows: (rig) => sampled(rig).some(({ phase }) => phase === 'N') },
  'roll-over-32-bit': {
    startWh: 2 ** 32 - 10,
    story: session,
    shows: (rig) =>
      Number(starts(rig)[0]?.['meterStart']) === 2 ** 32 - 10 && Number(stops(rig)[0]?.['meterStop']) < 200,
  },
  'roll-over-six-digits': {
    startWh: 999_990,
    story: session,
    shows: (rig) => Number(starts(rig)[0]?.['meterStart']) === 999_990 && Number(stops(rig)[0]?.['meterStop']) < 200,
  },
  'export-register': {
    story: session,
    shows: (rig) => energy(rig).every(({ measurand }) => measurand === 'Energy.Active.Export.Register'),
  },
  'stack-level-0-only': { shows: refuses(profile({ stackLevel: 1 }), profile()) },
  'watt-only': { shows: refuses(profile({}, { chargingRateUnit: 'A' }), profile()) },
  'relative-only': { shows: refuses(profile({ chargingProfileKind: 'Absolute' }), profile()) },
  'refuses-zero-amps': {
    shows: refuses(profile({}, { chargingSchedulePeriod: [{ startPeriod: 0, limit: 0 }] }), profile()),
  },
  'current-steps': {
    async story(rig) {
      const schedule = { chargingRateUnit: 'A', chargingSchedulePeriod: [{ startPeriod: 0, limit: 12 }] }
      await rig.ask('SetChargingProfile', profile({}, schedule))
      rig.plugIn()
      void rig.station.presentCard(1, 'CARD')
      await rig.run(5)
    },
    shows: (rig) => rig.station.evses[0]?.evse.powerMilliwatts === 10 * 690_000,
  },
  'slow-sampling': { story: session, shows: (rig) => payloads(rig, 'MeterValues').length === 1 },
}

async function live(row: Row, active: readonly Quirk[]): Promise<Rig> {
  const preset = { MeterValueSampleInterval: '10', 'SampledDataCtrlr.TxUpdatedInterval': '10', ...row.preset }
  const evses = [{ maxCurrentA: 32, phases: 3 as const, hasVentilation: false, startWh: row.startWh ?? 1000 }]
  const rig = new Rig({ version: row.version ?? '1.6', quirks: active, preset, evses })
  rig.station.powerOn()
  await rig.run(8)
  await row.story?.(rig)
  return rig
}

for (const [quirk, row] of Object.entries(rows)) {
  const name = quirkNames.find((known) => known === quirk)!
  test(`${quirks[name][0]}, ${name}: ${quirks[name][1]}`, async (t) => {
    t.true(await row.shows(await live(row, [name])), 'the quirk shows')
    t.false(await row.shows(await live(row, [])), 'nothing shows without it')
  })
}

test('each of the 29 habits has at least one switch, and each switch its test', (t) => {
  const numbers = new Set(Object.values(quirks).map(([number]) => number))
  t.deepEqual(
    [...numbers],
    Array.from({ length: 29 }, (_, i) => `Q${i + 1}`),
  )
  const onTheWire = ['no-upgrade-header', 'ignores-pings']
  t.deepEqual([...Object.keys(rows), ...onTheWire].sort(), [...quirkNames].sort())
})

test('with no quirk every message of the story is sound', async (t) => {
  const rig = await live({ shows: () => true }, [])
  await twoSessions(rig)
  t.deepEqual(
    rig.csms.heard.filter(({ problem }) => problem !== undefined),
    [],
  )
  t.is(sessionsOf(rig.csms.heard).length, 2)
})
