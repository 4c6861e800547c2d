import test from 'ava'
import type { Program } from '../src/demo/programs.ts'
import { type KeptMessage, knownCard, type StationLine, startStationLine } from './ocpp-line.ts'

// Every habit of real charging stations against the gateway as it ships, all at once: each station charges with its
// quirk switched on, and then everything that it sent must have ended in one of three ways.

type End = KeptMessage['outcome']

interface Row {
  readonly quirks: readonly string[]
  readonly ocpp?: '1.6' | '2.0.1'
  /** In the order of getting worse: the worst that may have become of a message. */
  readonly worst: End
  /** Whether something must have become of one: where the habit is against the schema. */
  readonly atLeast?: End
  readonly sessions?: number
  readonly more?: object
  readonly steps?: readonly object[]
  /** What is booked of the energy that really flowed: all of it, or no more than that where the station tells less. */
  readonly books?: 'all'
  /** Something that the gateway asks while the station is there. */
  readonly during?: (line: StationLine, id: string) => Promise<void>
}

const session = { idToken: knownCard, firstAt: 0.5, staySeconds: 2.2, everySeconds: 3.5 }
const tag20 = 'ABCDEFGHIJKLMNOPQRST'

// One session, and two where the habit is about what comes between.
const rows: readonly Row[] = [
  { quirks: [], worst: 'accepted', books: 'all' },
  { quirks: [], ocpp: '2.0.1', worst: 'accepted', books: 'all' },
  { quirks: ['no-subprotocol'], worst: 'accepted', books: 'all' }, // Q1
  { quirks: ['throw-away-connection'], ocpp: '2.0.1', worst: 'accepted', books: 'all' }, // Q2
  { quirks: ['old-socket-stays'], worst: 'accepted', steps: [{ at: 2.2, do: 'reconnect' }] }, // Q3
  { quirks: ['no-upgrade-header'], worst: 'accepted', books: 'all' }, // Q4
  { quirks: ['ignores-pings'], worst: 'accepted' }, // Q5
  { quirks: ['bad-frames'], worst: 'accepted' },
  { quirks: ['empty-frames'], worst: 'accepted', books: 'all' }, // Q6
  { quirks: ['counting-message-ids'], worst: 'accepted', steps: [{ at: 3.8, do: 'power-cut', for: 0.2 }], sessions: 2 }, // Q7
  { quirks: ['no-boot-on-reconnect'], worst: 'accepted', steps: [{ at: 2, do: 'reconnect' }] }, // Q8
  { quirks: ['forgets-settings'], worst: 'accepted', steps: [{ at: 2, do: 'reconnect' }] }, // Q9
  { quirks: ['odd-settings'], worst: 'accepted', during: askSettings }, // Q10
  { quirks: ['settings-ignored'], worst: 'accepted', during: askSettings },
  { quirks: ['hangs-on-change-availability'], worst: 'accepted', during: hang }, // Q11
  { quirks: ['long-tag-overrun'], worst: 'mended', atLeast: 'mended', sessions: 0, during: remoteSession }, // Q12
  { quirks: ['long-tag-overrun'], ocpp: '2.0.1', worst: 'accepted' },
  { quirks: ['zoneless-time'], worst: 'mended', atLeast: 'mended' }, // Q13
  { quirks: ['offset-time'], worst: 'accepted' },
  { quirks: ['local-time-as-utc'], worst: 'quarantined' },
  { quirks: ['epoch-before-boot'], worst: 'quarantined' },
  { quirks: ['no-milliseconds'], worst: 'accepted', books: 'all' },
  { quirks: ['replays-stale-status'], worst: 'accepted', steps: [{ at: 1.2, do: 'network-cut', for: 2.5 }] }, // Q14
  { quirks: ['odd-meter-values-transaction-id'], worst: 'accepted' }, // Q15
  { quirks: ['odd-stop-transaction-id'], worst: 'quarantined' },
  { quirks: ['start-never-sent'], worst: 'quarantined' }, // Q16
  { quirks: ['repeats-stop'], worst: 'accepted', books: 'all' }, // Q17
  { quirks: ['repeats-stop', 'repeats-start'], ocpp: '2.0.1', worst: 'accepted', books: 'all' },
  { quirks: ['repeats-stop-otherwise'], worst: 'quarantined' },
  { quirks: ['repeats-start'], worst: 'accepted', books: 'all' },
  {
    quirks: ['start-lost'],
    worst: 'quarantined',
    steps: [
      { at: 0.2, do: 'network-cut', for: 4.2 },
      { at: 3.8, do: 'power-cut', for: 0.2 },
    ],
  }, // Q18
  { quirks: ['meter-values-after-stop'], worst: 'accepted' }, // Q19
  { quirks: ['start-at-end'], worst: 'accepted' }, // Q20
  { quirks: ['charging-before-start'], worst: 'accepted', books: 'all' },
  { quirks: ['available-while-open'], worst: 'accepted' },
  { quirks: ['session-after-refusal'], worst: 'accepted', more: { settings: { StopTransactionOnInvalidId: 'true' } } }, // Q21
  { quirks: ['no-connector-id'], ocpp: '2.0.1', worst: 'accepted', books: 'all' }, // Q22
  { quirks: ['connector-0'], ocpp: '2.0.1', worst: 'accepted', books: 'all' },
  { quirks: ['seq-no-0'], ocpp: '2.0.1', worst: 'accepted', books: 'all' },
  { quirks: ['no-meter-value'], ocpp: '2.0.1', worst: 'accepted' },
  { quirks: ['no-stopped-reason'], ocpp: '2.0.1', worst: 'accepted', books: 'all' },
  { quirks: ['register-per-session'], worst: 'accepted', sessions: 2 }, // Q23
  { quirks: ['register-restarts'], worst: 'accepted', steps: [{ at: 3.8, do: 'power-cut', for: 0.2 }], sessions: 2 },
  { quirks: ['two-contexts'], worst: 'accepted', books: 'all' }, // Q24
  { quirks: ['start-below-last'], worst: 'accepted', sessions: 2 }, // Q25
  { quirks: ['stop-below-last'], worst: 'quarantined' },
  { quirks: ['stop-minus-one'], worst: 'quarantined' },
  { quirks: ['stop-zero'], worst: 'quarantined' },
  { quirks: ['stop-minus-one'], ocpp: '2.0.1', worst: 'quarantined' },
  { quirks: ['fractional-wh'], worst: 'mended', atLeast: 'mended' }, // Q26
  { quirks: ['value-as-number'], worst: 'mended', atLeast: 'mended' },
  { quirks: ['empty-value'], worst: 'mended', atLeast: 'mended' },
  { quirks: ['leading-blanks'], worst: 'mended', atLeast: 'mended' },
  { quirks: ['leading-blanks'], ocpp: '2.0.1', worst: 'mended', atLeast: 'mended' },
  { quirks: ['no-unit'], worst: 'accepted' },
  { quirks: ['kwh-values'], worst: 'accepted', books: 'all' },
  { quirks: ['wrong-unit'], worst: 'accepted' },
  { quirks: ['no-measurand'], worst: 'accepted' },
  { quirks: ['odd-phases'], worst: 'accepted' },
  { quirks: ['roll-over-32-bit'], worst: 'quarantined', more: { evses: [{ startWh: 2 ** 32 - 20 }] } }, // Q27
  { quirks: ['roll-over-six-digits'], worst: 'quarantined', more: { evses: [{ startWh: 999_980 }] } },
  { quirks: ['export-register'], worst: 'accepted' }, // Q28
  { quirks: ['stack-level-0-only'], worst: 'accepted', during: setProfile('Rejected', { stackLevel: 1 }) }, // Q29
  { quirks: ['watt-only'], worst: 'accepted', during: setProfile('Rejected', {}) },
  { quirks: ['relative-only'], worst: 'accepted', during: setProfile('Rejected', {}) },
  { quirks: ['refuses-zero-amps'], worst: 'accepted', during: setProfile('Rejected', {}, 0) },
  { quirks: ['current-steps'], worst: 'accepted', during: setProfile('Accepted', {}, 12) },
  { quirks: ['slow-sampling'], worst: 'accepted' },
]

async function askSettings(line: StationLine, id: string): Promise<void> {
  const changed = await line.call(id, 'ChangeConfiguration', { key: 'ConnectionTimeOut', value: '33' })
  const read = await line.call(id, 'GetConfiguration', { key: ['ConnectionTimeOut', 'SupportedFeatureProfiles'] })
  if (!changed.ok || !read.ok) throw new Error(`${id}: ${changed.message} ${read.message}`)
}

// It says nothing more on this connection, so it is taken for gone, and comes again.
async function hang(line: StationLine, id: string): Promise<void> {
  const ask = (action: string, payload: object) => line.ask({ command: 'call', station: id, action, payload })
  const first = await ask('ChangeAvailability', { connectorId: 1, type: 'Operative' })
  const second = await ask('ClearCache', {})
  if (first.code !== 'station/silent' || second.code !== 'station/silent')
    throw new Error(`${id}: ${first.code}, ${second.code} ${second.message}`)
  await line.gateway.event(({ event, station }) => event === 'ocpp.station.hung' && station === id)
}

async function remoteSession(line: StationLine, id: string): Promise<void> {
  const started = await line.call(id, 'RemoteStartTransaction', { connectorId: 1, idTag: tag20 })
  // OCPP 1.6 §5.18: it ends the transaction before it unlocks.
  const unlocked = await line.call(id, 'UnlockConnector', { connectorId: 1 })
  if (!started.ok || !unlocked.ok) throw new Error(`${id}: ${started.message} ${unlocked.message}`)
}

function setProfile(status: string, more: object, limit = 10) {
  return async (line: StationLine, id: string) => {
    const csChargingProfiles = {
      chargingProfileId: 1,
      stackLevel: 0,
      chargingProfilePurpose: 'TxDefaultProfile',
      chargingProfileKind: 'Absolute',
      chargingSchedule: { chargingRateUnit: 'A', chargingSchedulePeriod: [{ startPeriod: 0, limit }] },
      ...more,
    }
    const { result } = await line.call(id, 'SetChargingProfile', { connectorId: 1, csChargingProfiles })
    const expected = JSON.stringify({ payload: { status }, faults: [] })
    if (JSON.stringify(result) !== expected) throw new Error(`${id}: ${JSON.stringify(result)}`)
  }
}

const nameOf = ({ quirks, ocpp = '1.6' }: Row) => `${quirks.join('-and-') || 'none'}-${ocpp === '1.6' ? '16' : '2'}`

function toStation(row: Row, url: string): object {
  const { quirks, ocpp = '1.6', sessions = 1, more = {}, steps = [] } = row
  const { settings, ...rest } = more as { settings?: object }
  const drivers = sessions === 0 ? [] : [{ ...session, sessions }]
  const remote = sessions === 0 ? [{ at: 0, do: 'plug-in' }] : []
  return {
    id: nameOf(row).slice(0, 40),
    ocpp,
    url,
    quirks,
    drivers,
    steps: [...remote, ...steps],
    // It trusts its own list, and goes on when the CSMS does not know the card.
    settings:
      ocpp === '1.6'
        ? {
            LocalPreAuthorize: 'true',
            StopTransactionOnInvalidId: 'false',
            MeterValueSampleInterval: '1',
            // What is against the schema is in the samples: the stop has some, however short the session was.
            ...(row.atLeast === undefined ? {} : { StopTxnSampledData: 'Energy.Active.Import.Register' }),
            ...settings,
          }
        : {
            'AuthCtrlr.LocalPreAuthorize': 'true',
            'TxCtrlr.StopTxOnInvalidId': 'false',
            'SampledDataCtrlr.TxUpdatedInterval': '1',
            ...settings,
          },
    ...rest,
  }
}

const rank: readonly End[] = ['accepted', 'mended', 'quarantined']
const transactionActions = ['StartTransaction', 'StopTransaction', 'MeterValues', 'TransactionEvent']

const lookEveryMs = 300

/** Resolves when every driver has left, and every station has told everything; gives what really flowed at each. */
async function untilQuiet(sim: Program, ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const unplugged = (id: string) =>
    sim.log.filter((line) => line.event === 'sim.station.step' && line['station'] === id && line['do'] === 'unplug')
      .length
  const hasLeft = (row: Row, at: number) => unplugged(ids[at] ?? '') === (row.sessions ?? 1)
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
    if (!rows.every(hasLeft)) continue
    const from = sim.log.length
    sim.signal('SIGUSR2')
    const lines = await Promise.all(
      ids.map((id) => sim.event(({ event, station }) => event === 'sim.station.register' && station === id, from)),
    )
    if (lines.every(({ queued }) => queued === 0)) {
      return new Map(lines.map((line) => [String(line['station']), Number(line['registerWh'])]))
    }
  }
}

test('Q1 to Q29: everything that a station sends ends accepted, mended or put aside, and never in a CALLERROR', async (t) => {
  const line = await startStationLine(t, {
    noSubprotocol: 'ocpp1.6',
    pingSeconds: 5,
    heartbeatSeconds: 10,
    callTimeoutSeconds: 3,
    timeZone: 'Europe/Berlin',
  })
  const ids = rows.map((row) => nameOf(row).slice(0, 40))
  t.is(new Set(ids).size, ids.length)
  const sim = await line.startSim(rows.map((row) => toStation(row, line.url)))
  const during = rows.flatMap(({ during: ask }, at) => (ask === undefined ? [] : [{ ask, id: ids[at] ?? '' }]))
  await Promise.all(
    during.map(async ({ ask, id }) => {
      await line.gateway.event(({ event, station }) => event === 'ocpp.station.connected' && station === id)
      await ask(line, id)
    }),
  )
  const flowedWh = await untilQuiet(sim, ids)
  const dropped = sim.log.filter(({ event }) => event === 'sim.station.transaction.message.dropped')
  await sim.stop()
  const messages = await line.messages()
  t.deepEqual(dropped, [], 'no station gave up a message')
  const refused = line.gateway.log.filter(
    ({ event, action }) =>
      event === 'ocpp.call.failed' || (event === 'ocpp.call.refused' && transactionActions.includes(String(action))),
  )
  t.deepEqual(refused, [], 'no CALLERROR for a transaction message')
  for (const [at, row] of rows.entries()) {
    const own = messages.filter(({ station }) => station === ids[at])
    const energy = own.filter(({ action }) => transactionActions.includes(action))
    t.true(energy.length > 0, `${ids[at]}: it has told of a session`)
    const worst = Math.max(...energy.map(({ outcome }) => rank.indexOf(outcome)))
    t.true(
      worst <= rank.indexOf(row.worst),
      `${ids[at]}: ${JSON.stringify(energy.filter(({ outcome }) => outcome !== 'accepted'))}`,
    )
    t.true(worst >= rank.indexOf(row.atLeast ?? 'accepted'), `${ids[at]}: nothing had to be mended`)
    t.true(
      own.every(({ outcome, notes }) => (outcome === 'accepted') === (notes.length === 0)),
      `${ids[at]}: a reason in words for each`,
    )
  }

  const bookedWh = await bookedByStation(line)
  for (const [at, row] of rows.entries()) {
    const id = ids[at] ?? ''
    const startWh = (row.more as { evses?: readonly { startWh: number }[] })?.evses?.[0]?.startWh ?? 0
    const flowed = (flowedWh.get(id) ?? 0) - startWh
    const booked = bookedWh.get(id) ?? []
    t.true(
      booked.every((wh) => wh >= 0),
      `${id}: nothing negative`,
    )
    const sum = booked.reduce((all, wh) => all + wh, 0)
    // A station that begins anew at 0 has no register left to compare with.
    if (!row.quirks.includes('register-restarts')) t.true(sum <= flowed + 1, `${id}: ${sum} of ${flowed} Wh`)
    if (!row.quirks.includes('register-restarts')) t.true(flowed > 0, `${id}: it has charged`)
    if (row.books === 'all') t.true(sum >= flowed - 1, `${id}: ${sum} of ${flowed} Wh`)
  }
})

/** What counts of each session, by station. */
async function bookedByStation(line: StationLine): Promise<ReadonlyMap<string, readonly number[]>> {
  const { stdout } = await line.ocpp('sessions', '--json')
  const sessions: { readonly station: string; readonly countedWh: string }[] = JSON.parse(stdout)
  const stations = Map.groupBy(sessions, ({ station }) => station)
  return new Map([...stations].map(([id, own]) => [id, own.map(({ countedWh }) => Number(countedWh))]))
}
