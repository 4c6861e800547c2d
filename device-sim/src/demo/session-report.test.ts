import test from 'ava'
import type { ChargingBooks, GatewaySession, LedgerRecord } from './charging-books.ts'
import { type ChargerFacts, examineSessions } from './session-report.ts'

const point = 'gw-1/CP1.1'
const session: GatewaySession = {
  id: 3,
  station: 'CP1',
  connector: 1,
  version: 'ocpp1.6',
  driver: 'ben',
  begin: { registerWh: 1000, record: `${point}@7/1` },
  end: { registerWh: 1400, record: `${point}@7/4`, how: 'stop' },
  wh: 400,
  countedWh: 400,
  completeness: 'complete',
  isSettled: true,
}
const bill: LedgerRecord = {
  point,
  place: `${point}@7/4`,
  entry: 9,
  kind: 'session',
  postings: [
    { account: 'owner:ben', amount: -150 },
    { account: 'grid:ben', amount: -250 },
    { account: `burned:${point}`, amount: 400 },
  ],
}
const ownersClaim: LedgerRecord = {
  point,
  place: `${point}@7/5`,
  entry: 10,
  kind: 'claim',
  postings: [
    { account: 'grid:ada', amount: -30 },
    { account: `burned:${point}`, amount: 30 },
  ],
}
const charger: ChargerFacts = {
  id: 'CP1.1',
  point,
  station: 'CP1',
  connector: 1,
  countedWh: 430,
  burnedWh: 430,
  openWh: 0,
}

const examine = (books: Partial<ChargingBooks>, facts: Partial<ChargerFacts> = {}) =>
  examineSessions({ sessions: [session], records: [bill, ownersClaim], ...books }, [{ ...charger, ...facts }])

test('a session that was booked once, to its driver, is reported with its entry', (t) => {
  const { sessions, problems } = examine({})
  t.deepEqual(problems, [])
  t.deepEqual(sessions, [
    {
      id: 3,
      station: 'CP1',
      place: 1,
      version: 'ocpp1.6',
      driver: 'ben',
      beginRegisterWh: 1000,
      endRegisterWh: 1400,
      wh: 400,
      entry: 9,
      state: 'booked',
      completeness: 'complete',
      beginRecord: `${point}@7/1`,
      endRecord: `${point}@7/4`,
    },
  ])
})

test('who charges still, and who charged nothing, has no entry', (t) => {
  const { end: _, ...open } = { ...session, id: 5, wh: 20, countedWh: 20, completeness: 'running', isSettled: false }
  const empty = {
    ...session,
    id: 4,
    wh: 0,
    countedWh: 0,
    begin: { registerWh: 1400, record: `${point}@7/5` },
    end: { registerWh: 1400, record: `${point}@7/6`, how: 'stop' },
  }
  const { sessions, problems } = examine({ sessions: [session, empty, open] }, { countedWh: 450, openWh: 20 })
  t.deepEqual(problems, [])
  t.deepEqual(
    sessions.map(({ state, entry }) => [state, entry]),
    [
      ['booked', 9],
      ['booked', undefined],
      ['open', undefined],
    ],
  )
})

const wrong: Record<string, [Partial<ChargingBooks>, Partial<ChargerFacts>, RegExp]> = {
  'a session that was not booked': [
    { records: [ownersClaim] },
    { countedWh: 30, burnedWh: 30 },
    /session 3 at CP1.1: 400 Wh were not booked/,
  ],
  'a session that another pays': [
    { sessions: [{ ...session, driver: 'cleo' }] },
    {},
    /400 Wh were burned, 0 Wh from cleo/,
  ],
  'a session of which too much was burned': [
    { sessions: [{ ...session, wh: 300, countedWh: 300, end: { ...session.end!, registerWh: 1300 } }] },
    {},
    /300 Wh, but 400 Wh were burned/,
  ],
  'a session whose energy is not that of its registers': [
    { sessions: [{ ...session, wh: 390, countedWh: 390 }] },
    {},
    /its registers differ by 400 Wh/,
  ],
  'a session that was booked, though it is in doubt': [
    { sessions: [{ ...session, countedWh: 0 }] },
    {},
    /though it may not be/,
  ],
  'a session that ended and was not signed': [
    { sessions: [{ ...session, end: { registerWh: 1400, how: 'stop' } }] },
    {},
    /ended, and not signed/,
  ],
  'a booking without a session': [{ sessions: [] }, {}, /booked as a session that the gateway does not know/],
  'two sessions on one record': [{ sessions: [session, { ...session, id: 4 }] }, {}, /ends two sessions/],
  'one entry for two records': [
    { records: [bill, { ...ownersClaim, entry: 9 }] },
    {},
    /entry 9 stands for two records/,
  ],
  'energy that nobody was booked': [{}, { countedWh: 431 }, /its register moved by 431 Wh, 430 Wh were burned/],
  'a burn that is nobody’s': [{ records: [bill] }, {}, /430 Wh were burned: 400 Wh of sessions, 0 Wh of the owner/],
  'a session at a place that nobody configured': [
    { sessions: [session, { ...session, id: 6, station: 'CP9', end: { ...session.end!, record: 'x' } }] },
    {},
    /CP9\/1 is no charging point/,
  ],
}
for (const [name, [books, facts, expected]] of Object.entries(wrong)) {
  test(`${name} is a problem`, (t) => {
    t.regex(examine(books, facts).problems.join('\n'), expected)
  })
}
