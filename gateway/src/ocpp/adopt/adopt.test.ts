import test, { type ExecutionContext } from 'ava'
import { type CsmsRigOptions, connectStation, type RawStation, startCsms } from '../../../test/csms-rig.ts'
import { AdoptedStations } from '../../store/adopted-stations.ts'
import { openStore } from '../../store/database.ts'
import { type AdoptionReport, Commissioner } from './commissioner.ts'

/** How a station treats changes of its settings. */
interface Habits {
  /** Its settings, as it spells them. */
  readonly has: Record<string, string>
  readonly takes?: (key: string, value: string) => string
  /** Says yes and does nothing. */
  readonly ignores?: boolean
  readonly clockAheadMs?: number
}

/** Answers what a commissioning asks, in the words of 1.6. */
class AnsweringStation {
  readonly asked: [action: string, payload: Record<string, unknown>][] = []
  readonly #habits: Habits
  readonly #nowMs: () => number

  constructor(habits: Habits, nowMs: () => number) {
    this.#habits = habits
    this.#nowMs = nowMs
  }

  get settings() {
    return this.#habits.has
  }

  attach({ socket }: RawStation): void {
    socket.on('message', (data: Buffer) => {
      const [type, id, action, payload] = JSON.parse(data.toString())
      if (type !== 2) return
      this.asked.push([action, payload])
      socket.send(JSON.stringify([3, id, this.#answer(action, payload)]))
      if (payload.requestedMessage === 'StatusNotification') this.#tellStatus(socket)
    })
  }

  #tellStatus(socket: RawStation['socket']): void {
    const timestamp = new Date(this.#nowMs() + (this.#habits.clockAheadMs ?? 0)).toISOString()
    const status = { connectorId: 1, errorCode: 'NoError', status: 'Available', timestamp }
    socket.send(JSON.stringify([2, 'status', 'StatusNotification', status]))
  }

  #spellingOf(key: string): string | undefined {
    return Object.keys(this.#habits.has).find((known) => known.toLowerCase() === key.toLowerCase())
  }

  #answer(action: string, payload: Record<string, unknown>): object {
    if (action === 'GetConfiguration') {
      const keys = (payload['key'] as string[]).map((key) => this.#spellingOf(key) ?? '')
      const known = keys.filter((key) => key !== '')
      return { configurationKey: known.map((key) => ({ key, readonly: false, value: this.#habits.has[key] })) }
    }
    if (action !== 'ChangeConfiguration') return { status: 'Accepted' }
    const { key, value } = payload as { key: string; value: string }
    const spelling = Object.hasOwn(this.#habits.has, key) ? key : undefined
    if (spelling === undefined) return { status: 'NotSupported' }
    const status = this.#habits.takes?.(key, value) ?? 'Accepted'
    if (status === 'Accepted' && this.#habits.ignores !== true) this.#habits.has[key] = value
    return { status }
  }
}

const standard = () => ({
  MeterValuesSampledData: 'Energy.Active.Import.Register',
  MeterValueSampleInterval: '0',
  ClockAlignedDataInterval: '0',
  HeartbeatInterval: '86400',
  LocalAuthorizeOffline: 'true',
  AuthorizationKey: '',
  SecurityProfile: '0',
})

async function startRig(t: ExecutionContext, config = {}, options: CsmsRigOptions = {}) {
  let commissioner: Commissioner | undefined
  const rig = await startCsms(t.teardown, config, {
    ...options,
    parts: () => ({ onReady: (station) => commissioner?.ready(station) }),
  })
  const made = new Commissioner({
    config: rig.config,
    csms: rig.csms,
    clock: rig.clock,
    log: rig.log,
    settleMs: 50,
  })
  commissioner = made
  t.teardown(() => made.stop())
  const connect = async (habits: Habits, id = 'CP1', headers = {}) => {
    const raw = await connectStation(`ws://127.0.0.1:${rig.port}/${id}`, ['ocpp1.6'], { headers })
    const station = new AnsweringStation(habits, () => rig.clock.nowMs)
    station.attach(raw)
    return { raw, station }
  }
  const adopt = (profile?: 0 | 1 | 2 | 3, waitSeconds = 60) => made.adopt({ station: 'CP1', profile, waitSeconds })
  return { ...rig, connect, adopt, commissioner: made }
}

const outcomeOf = ({ settings }: AdoptionReport, name: string) => settings.find((one) => one.name === name)
const words = ({ steps }: AdoptionReport) => steps.map((step) => step.words).join('\n')

test('a station takes the best of everything, and nothing is changed that is so already', async (t) => {
  const { connect, adopt } = await startRig(t)
  const { station } = await connect({ has: standard() })
  const report = await adopt()
  t.like(outcomeOf(report, 'MeterValueSampleInterval'), { outcome: 'taken', value: '15' })
  t.like(outcomeOf(report, 'LocalAuthorizeOffline'), { outcome: 'kept' })
  t.regex(
    station.settings['MeterValuesSampledData'] ?? '',
    /^Energy\.Active\.Import\.Register,.*Current\.Import.*Voltage$/,
  )
  t.is(station.settings['HeartbeatInterval'], '300')
  t.regex(words(report), /its clock is right/)
  t.false(
    station.asked.some(([, { key }]) => key === 'AuthorizationKey'),
    'no password where none is asked for',
  )
  const before = station.asked.length
  t.true((await adopt()).settings.every(({ outcome }) => outcome === 'kept'))
  const known = (key: unknown) => Object.hasOwn(station.settings, String(key))
  const changed = station.asked
    .slice(before)
    .filter(([action, { key }]) => action === 'ChangeConfiguration' && known(key))
  t.deepEqual(changed, [])
})

test('what a station refuses is followed by the next best, key by key, and told', async (t) => {
  const { connect, adopt } = await startRig(t)
  const { station } = await connect({
    has: standard(),
    takes: (key, value) => {
      if (key === 'MeterValuesSampledData') return /Voltage|Power/.test(value) ? 'Rejected' : 'Accepted'
      if (key === 'MeterValueSampleInterval') return Number(value) < 60 ? 'Rejected' : 'RebootRequired'
      return key === 'HeartbeatInterval' ? 'Rejected' : 'Accepted'
    },
  })
  const report = await adopt()
  t.like(outcomeOf(report, 'MeterValuesSampledData'), {
    outcome: 'taken-other',
    value: 'Energy.Active.Import.Register,Current.Import',
  })
  t.is(station.settings['MeterValuesSampledData'], 'Energy.Active.Import.Register,Current.Import')
  t.like(outcomeOf(report, 'MeterValueSampleInterval'), {
    outcome: 'after-restart',
    value: '60',
    refused: ['15', '30'],
  })
  t.like(outcomeOf(report, 'HeartbeatInterval'), { outcome: 'refused', value: '86400', refused: ['300'] })
})

test('Q10: a station that says yes and does nothing is found out; one that spells keys otherwise is understood', async (t) => {
  const { connect, adopt } = await startRig(t)
  await connect({ has: standard(), ignores: true })
  t.like(outcomeOf(await adopt(), 'MeterValueSampleInterval'), { outcome: 'ignored', value: '0' })
  const odd = Object.fromEntries(Object.entries(standard()).map(([key, value]) => [key.toLowerCase(), value]))
  const { station } = await connect({ has: odd })
  const report = await adopt()
  t.like(outcomeOf(report, 'MeterValueSampleInterval'), { outcome: 'taken' })
  t.is(station.settings['metervaluesampleinterval'], '15')
})

test('Q10: what a station must have and has not is told; what it may lack is passed over', async (t) => {
  const { connect, adopt } = await startRig(t)
  await connect({ has: { MeterValuesSampledData: '' } })
  const { settings } = await adopt()
  t.deepEqual(
    settings.filter(({ outcome }) => outcome === 'unknown').map(({ name }) => name),
    ['MeterValueSampleInterval', 'ClockAlignedDataInterval', 'HeartbeatInterval', 'LocalAuthorizeOffline'],
  )
})

test('Q9: what a station has forgotten is set again, also after a restart of the gateway', async (t) => {
  const rig = await startRig(t)
  const first = await rig.connect({ has: standard() })
  await rig.adopt()
  first.raw.socket.close()
  const second = await rig.connect({ has: standard() })
  await second.raw.call('BootNotification', { chargePointVendor: 'v', chargePointModel: 'm' })
  t.like(await rig.log.line('ocpp.station.restored'), { station: 'CP1' })
  t.is(second.station.settings['MeterValueSampleInterval'], '15')
  t.deepEqual(second.station.settings, first.station.settings)
  const store = openStore(rig.dataDir)
  t.teardown(() => store.close())
  const kept = new AdoptedStations(store).find('CP1')?.settings ?? []
  t.true(kept.some(({ name, value }) => name === 'MeterValueSampleInterval' && value === '15'))
  t.false(JSON.stringify(kept).includes('AuthorizationKey'))
})

test('a clock that is wrong by hours is told as a zone, one by minutes as a clock', async (t) => {
  for (const [aheadMs, expected] of [
    [7_200_000, /7200 s ahead, by whole or half hours/],
    [-400_000, /400 s behind, and it does not take ours/],
  ] as const) {
    const { connect, adopt } = await startRig(t)
    await connect({ has: standard(), clockAheadMs: aheadMs })
    const report = await adopt()
    t.regex(words(report), expected)
    t.true(report.steps.some(({ ok }) => !ok))
  }
})

function basicOf(password: Buffer | string, id = 'CP1') {
  return { authorization: `Basic ${Buffer.concat([Buffer.from(`${id}:`), Buffer.from(password)]).toString('base64')}` }
}

test('profile 1: the password is made, given, and demanded once it was shown, as bytes or as their hex', async (t) => {
  const rig = await startRig(t)
  for (const form of ['bytes', 'hex'] as const) {
    const { raw, station } = await rig.connect({ has: standard() })
    const adopting = rig.adopt(1)
    t.like(await raw.closed(), { reason: 'connect with the new security profile' })
    const key = station.settings['AuthorizationKey'] ?? ''
    t.regex(key, /^[0-9a-f]{40}$/)
    t.is(station.settings['SecurityProfile'], '1')
    const password = form === 'bytes' ? Buffer.from(key, 'hex') : key
    const back = await rig.connect({ has: standard() }, 'CP1', basicOf(password))
    const report = await adopting
    t.regex(words(report), /security profile 1 is demanded from now on/)
    await t.throwsAsync(rig.connect({ has: {} }), { message: /^401: no password was sent/ })
    await t.throwsAsync(rig.connect({ has: {} }, 'CP1', basicOf('wrong')), { message: /^401: the password is wrong/ })
    t.is((await back.raw.call('Heartbeat', {}))[0], 3)
    const told = JSON.stringify([rig.log.lines, report, rig.csms.stations()])
    for (const secret of [key, Buffer.from(key, 'hex').toString('base64'), basicOf(password).authorization.slice(6)]) {
      t.false(told.includes(secret), 'nothing of the secret is told')
    }
    // The next round begins without a password.
    back.raw.socket.close()
    rig.csms.adopted.change('CP1', { profile: 0, passwordHash: undefined })
  }
})

test('profile 1: a station that never shows its new password is let in as before, and told so', async (t) => {
  const rig = await startRig(t)
  const { raw } = await rig.connect({ has: standard() })
  const adopting = rig.adopt(1)
  await raw.closed()
  await rig.connect({ has: standard() })
  const report = await adopting
  t.regex(words(report), /let in as before until it connects with security profile 1/)
  t.false(report.steps.every(({ ok }) => ok))
})

test('profile 1: a station that takes no password keeps what it had', async (t) => {
  const rig = await startRig(t)
  const { AuthorizationKey: _, ...has } = standard()
  await rig.connect({ has })
  const report = await rig.adopt(1)
  t.regex(words(report), /does not take a password \(AuthorizationKey: unknown\)/)
  t.like(rig.csms.adopted.find('CP1'), { profile: 0, nextProfile: undefined, nextPasswordHash: undefined })
})

test('a station that knocks is let in by adopting it, and set up when it comes; abandoned, it is turned away', async (t) => {
  const rig = await startRig(t, { unknownStations: 'refuse' })
  await t.throwsAsync(rig.connect({ has: {} }), { message: /^403: station 'CP1' is not in the configuration/ })
  t.like(rig.csms.stations()[0]?.refused, { code: 'unknown-station', times: 1, address: '127.0.0.1' })
  t.regex(rig.csms.stations()[0]?.refused?.advice ?? '', /ocpp adopt/)
  const absent = await rig.adopt(undefined, 0)
  t.regex(words(absent), /let in from now on, but it is not connected: last time: station 'CP1' is not/)
  const adopting = rig.adopt()
  const { raw } = await rig.connect({ has: standard() })
  t.like(outcomeOf(await adopting, 'MeterValueSampleInterval'), { outcome: 'taken' })
  t.true(rig.commissioner.abandon('CP1'))
  t.is((await raw.closed()).reason, 'no longer adopted')
  await t.throwsAsync(rig.connect({ has: {} }), { message: /^403/ })
  t.false(rig.commissioner.abandon('CP1'))
})

test('an order that cannot be is refused before anything is done', async (t) => {
  const rig = await startRig(t, { stations: [{ id: 'CP9' }] })
  await t.throwsAsync(rig.adopt(2), { message: /needs ocpp\.tls/ })
  await t.throwsAsync(rig.commissioner.adopt({ station: 'CP9', profile: 1, waitSeconds: 1 }), {
    message: /CP9 is in the configuration/,
  })
  t.is(rig.csms.adopted.size, 0)
})
