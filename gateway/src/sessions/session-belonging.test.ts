import test from 'ava'
import { time, values } from '../../test/session-rig.ts'
import {
  begin,
  checkStory,
  event,
  idToken,
  meter,
  plain,
  plainSession,
  type Story,
  start,
  stop,
  values2,
} from '../../test/session-stories.ts'

// Which session a message belongs to, where sessions begin and end, and what is put aside.
const stories: Record<string, Story> = {
  'Q14: two sessions that arrive hours late within a moment are two, with their own times': {
    async tell(rig) {
      await rig.send('StatusNotification', { connectorId: 1, errorCode: 'NoError', status: 'Available' }, 30_000)
      const first = (await rig.send('StartTransaction', start(5000, 0)))['transactionId']
      await rig.send('MeterValues', meter(first, values(5100, 60)))
      await rig.send('StopTransaction', stop(first, 5200, 120))
      const second = (await rig.send('StartTransaction', start(5200, 200)))['transactionId']
      await rig.send('StopTransaction', stop(second, 5300, 260))
    },
    lines: [plain, { wh: 100, completeness: 'complete', remarks: [] }],
    signed: [
      [5000, 5200],
      [5200, 5300],
    ],
  },
  'Q15: 0, -1 and made-up transaction ids belong to the one session that can be meant': {
    async tell(rig) {
      await begin(rig, 5000, 0)
      await rig.send('MeterValues', meter(0, values(5050, 30)), 30)
      await rig.send('MeterValues', meter(-1, values(5100, 60)), 60)
      await rig.send('MeterValues', meter(987_654, values(5150, 90)), 90)
      await rig.send('StopTransaction', stop(-1, 5200, 120), 120)
    },
    lines: [{ ...plain, remarks: ['matched-without-id'] }],
    signed: [[5000, 5200]],
  },
  'Q15: a stop without a usable id ends nothing where two sessions could be meant': {
    async tell(rig) {
      await begin(rig, 5000, 0)
      await begin(rig, 0, 0, { connectorId: 2 })
      await rig.send('StopTransaction', stop(0, 5200, 120), 120)
    },
    lines: [
      { wh: 0, completeness: 'running' },
      { wh: 0, completeness: 'running' },
    ],
    signed: [],
    quarantined: ['StopTransaction'],
  },
  'Q16: a stop for a transaction that nobody knows is put aside': {
    async tell(rig) {
      await rig.send('StopTransaction', stop(4711, 900, 120), 120)
    },
    lines: [],
    signed: [],
    quarantined: ['StopTransaction'],
  },
  'Q17: the same start and the same stop again change nothing': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      rig.clock.nowMs += 1000
      const again = await rig.send('StartTransaction', { ...start(5000, 0), timestamp: time(0).replace('.000', '') })
      if (again['transactionId'] !== id) throw new Error('another transaction')
      await rig.send('MeterValues', meter(id, values(5100, 60)), 60)
      for (let n = 0; n < 3; n++) await rig.send('MeterValues', meter(id, values(5100, 60)))
      for (let n = 0; n < 3; n++) await rig.send('StopTransaction', stop(id, 5200, 120), 120 + n)
      await rig.send('StartTransaction', start(5000, 0))
    },
    lines: [plain],
    signed: [[5000, 5200]],
  },
  'Q17: a stop that comes again with other values does not count': {
    async tell(rig) {
      const id = await plainSession(rig)
      await rig.send('StopTransaction', stop(id, 5201, 121), 121)
    },
    lines: [{ ...plain, remarks: ['stopped-twice'] }],
    signed: [[5000, 5200]],
  },
  'Q18: a session whose start is lost goes from the first value seen to its stop, on nobody’s account': {
    async tell(rig) {
      await rig.send('MeterValues', meter(77, values(5050, 30)), 30)
      await rig.send('MeterValues', meter(77, values(5100, 60)), 60)
      await rig.send('StopTransaction', stop(77, 5200, 120), 120)
      rig.clock.nowMs += 3_600_000
      rig.sink.tidy({ beforeMs: 0 })
    },
    lines: [{ place: 'CP1/1', wh: 150, completeness: 'begin missing', remarks: ['begin-missing'] }],
    signed: [[5050, 5200]],
  },
  'Q19: values that keep the old transaction after its stop move the register and no session': {
    async tell(rig) {
      const id = await plainSession(rig)
      await rig.send('MeterValues', meter(id, values(5205, 130, { context: 'Transaction.End' })), 130)
      await begin(rig, 5210, 200)
      await rig.send('MeterValues', meter(id, values(5220, 230)), 230)
    },
    lines: [plain, { wh: 0, completeness: 'running' }],
    signed: [[5000, 5200]],
  },
  'Q20: a session that is never stopped is closed by the next start, with its last value': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      await rig.send('MeterValues', meter(id, values(5100, 60)), 60)
      await plainSession(rig, 5150, 300)
      await rig.send('StopTransaction', stop(id, 5150, 120), 600)
    },
    lines: [
      { wh: 100, completeness: 'end missing', remarks: ['after-end', 'closed-by-next-start'] },
      { ...plain, wh: 200 },
    ],
    signed: [
      [5000, 5100],
      [5150, 5350],
    ],
  },
  'Q20: a start that is sent at the end takes no energy of whoever charges next': {
    async tell(rig) {
      for (const from of [5000, 6000]) {
        await rig.send('MeterValues', meter(-1, values(from + 500, from)), from)
        await begin(rig, from + 900, from + 60)
        const status = { connectorId: 1, errorCode: 'NoError', status: 'Available', timestamp: time(from + 90) }
        await rig.send('StatusNotification', status, from + 90)
      }
    },
    lines: [{ wh: 0, completeness: 'end missing' }, { wh: 0 }],
    signed: [[5900, 5900]],
  },
  'Q20: told to be available, a session goes on as long as its own values come': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      const status = { connectorId: 1, errorCode: 'NoError', status: 'Available', timestamp: time(10) }
      await rig.send('StatusNotification', status, 10)
      await rig.send('MeterValues', meter(id, values(5100, 60)), 60)
      await rig.send('StopTransaction', stop(id, 5200, 120), 120)
    },
    lines: [plain],
    signed: [[5000, 5200]],
  },
  'Q21: a session that goes on after a refusal is kept and closed, on nobody’s account': {
    async tell(rig) {
      for (const [n, idTag] of ['BLOCKED', 'TWICE'].entries()) {
        const id = await begin(rig, 5000 + 100 * n, 300 * n, { idTag })
        await rig.send('StopTransaction', stop(id, 5100 + 100 * n, 300 * n + 120), 300 * n + 120)
      }
    },
    lines: [1, 2].map(() => ({ place: 'CP1/1', wh: 100, completeness: 'complete', remarks: ['not-authorised'] })),
    signed: [
      [5000, 5100],
      [5100, 5200],
    ],
  },
  'Q22: numbers that are always 0 prove nothing, and the session ends all the same': {
    version: 'ocpp2.0.1',
    async tell(rig) {
      const at = { evse: { id: 1, connectorId: 0 } }
      await rig.send('TransactionEvent', event('Started', 0, 0, { ...at, idToken, meterValue: [values2(5000, 0)] }), 0)
      await rig.send('TransactionEvent', event('Updated', 0, 60, { ...at, meterValue: [values2(5100, 60)] }), 60)
      await rig.send('TransactionEvent', event('Ended', 0, 120, { ...at, meterValue: [values2(5200, 120)] }), 120)
    },
    lines: [{ ...plain, completeness: 'not told', remarks: ['sequence-useless'] }],
    signed: [[5000, 5200]],
  },
  'Q22: events without any reading make a session without energy': {
    version: 'ocpp2.0.1',
    async tell(rig) {
      await rig.send('TransactionEvent', event('Started', 0, 0, { evse: { id: 1 }, idToken }), 0)
      await rig.send('TransactionEvent', event('Ended', 1, 120), 120)
    },
    lines: [{ wh: 0, completeness: 'complete', remarks: ['no-register'] }],
    signed: [],
  },
  'Q22: without connector, reason and place in later events, and offline, a session is whole': {
    version: 'ocpp2.0.1',
    async tell(rig) {
      const begin2 = values2(5000, 0, 'Transaction.Begin')
      const first = { evse: { id: 1 }, idToken, offline: true, meterValue: [begin2] }
      await rig.send('TransactionEvent', event('Started', 0, 0, first), 9000)
      await rig.send('TransactionEvent', event('Updated', 1, 60, { offline: true, meterValue: [values2(5100, 60)] }))
      const last = { offline: true, meterValue: [values2(5200, 120, 'Transaction.End')] }
      await rig.send('TransactionEvent', event('Ended', 2, 120, last))
    },
    lines: [plain],
    signed: [[5000, 5200]],
  },
  'SPEC-116: an end whose last values are still on their way waits for them': {
    version: 'ocpp2.0.1',
    async tell(rig) {
      const first = { evse: { id: 1 }, idToken, meterValue: [values2(5000, 0, 'Transaction.Begin')] }
      await rig.send('TransactionEvent', event('Started', 0, 0, first), 0)
      await rig.send('TransactionEvent', event('Ended', 2, 120), 120)
      await rig.send('TransactionEvent', event('Updated', 1, 119, { meterValue: [values2(5200, 119)] }), 130)
    },
    lines: [plain],
    signed: [[5000, 5200]],
  },
  'SPEC-116: an end waits a quarter of an hour for what is missing, and then says where the gap is': {
    version: 'ocpp2.0.1',
    async tell(rig) {
      const first = { evse: { id: 1 }, idToken, meterValue: [values2(5000, 0, 'Transaction.Begin')] }
      await rig.send('TransactionEvent', event('Started', 7, 0, first), 0)
      await rig.send('TransactionEvent', event('Ended', 10, 120, { meterValue: [values2(5200, 120)] }), 120)
      rig.clock.nowMs += 899_000
      rig.sink.tidy({ beforeMs: 0 })
      if (rig.signed.length !== 1) throw new Error('settled too early')
      rig.clock.nowMs += 1000
      rig.sink.tidy({ beforeMs: 0 })
      rig.sink.tidy({ beforeMs: 0 })
    },
    lines: [{ ...plain, completeness: 'gap at 8' }],
    signed: [[5000, 5200]],
  },
  'SPEC-119: a session of which nothing is heard for seven days is closed with its last value': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      await rig.send('MeterValues', meter(id, values(5100, 60)), 60)
      rig.clock.nowMs += 7 * 86_400_000
      rig.sink.tidy({ beforeMs: 0 })
      await rig.send('StopTransaction', stop(id, 5200, 120))
    },
    lines: [{ wh: 100, completeness: 'end missing', remarks: ['after-end', 'closed-by-silence'] }],
    signed: [[5000, 5100]],
  },
  'SPEC-117: a begin that comes late never reaches into the session before': {
    version: 'ocpp2.0.1',
    async tell(rig) {
      const at = { evse: { id: 1 } }
      for (const [n, from] of [5000, 5100].entries()) {
        const begun = event('Started', 0, 300 * n, { ...at, idToken, meterValue: [values2(from, 300 * n)] }, `tx-${n}`)
        const more = { ...at, meterValue: [values2(5200 + 100 * n, 300 * n + 60)] }
        const ended = event('Ended', 1, 300 * n + 60, more, `tx-${n}`)
        for (const one of n === 0 ? [begun, ended] : [ended, begun])
          await rig.send('TransactionEvent', one, 300 * n + 60)
      }
    },
    lines: [plain, { ...plain, wh: 100 }],
    signed: [
      [5000, 5200],
      [5200, 5300],
    ],
  },
  'Q15, Q17: a stop without a usable id that comes again ends no later session': {
    async tell(rig) {
      await begin(rig, 5000, 0)
      await rig.send('StopTransaction', stop(-1, 5200, 120), 120)
      await begin(rig, 5200, 300)
      await rig.send('StopTransaction', stop(-1, 5200, 120), 310)
      await rig.send('StopTransaction', stop(-1, 5201, 121), 311)
    },
    lines: [
      { ...plain, remarks: ['matched-without-id'] },
      { wh: 0, completeness: 'running' },
    ],
    signed: [[5000, 5200]],
    quarantined: ['StopTransaction', 'StopTransaction'],
  },
  'values that name another place than their transaction move neither register': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      await rig.send('MeterValues', { ...meter(id, values(5300, 60)), connectorId: 2 }, 60)
      await rig.send('StopTransaction', stop(id, 5200, 120), 120)
    },
    lines: [{ ...plain, remarks: ['place-contradicted'] }],
    signed: [[5000, 5200]],
  },
  'a start at no place is refused and put aside': {
    async tell(rig) {
      const answer = await rig.send('StartTransaction', { ...start(5000, 0), connectorId: 0 }, 0)
      if (JSON.stringify(answer['idTagInfo']) !== '{"status":"Invalid"}') throw new Error('let in')
    },
    lines: [],
    signed: [],
    quarantined: ['StartTransaction'],
  },
  'a stop by a stranger’s card ends the session, and nothing is counted from it': {
    async tell(rig) {
      for (const [n, idTag] of ['OTHER', 'CARD2', undefined].entries()) {
        const id = await begin(rig, 5000 + 100 * n, 300 * n)
        const more = idTag === undefined ? {} : { idTag }
        await rig.send('StopTransaction', stop(id, 5100 + 100 * n, 300 * n + 120, more), 300 * n + 120)
      }
    },
    lines: [{ remarks: ['stopped-by-another-token'] }, { remarks: [] }, { remarks: [] }],
    signed: [
      [5000, 5100],
      [5100, 5200],
      [5200, 5300],
    ],
  },
  'a stop that claims to be before its start is a doubt': {
    async tell(rig) {
      const id = await begin(rig, 5000, 5000)
      await rig.send('StopTransaction', stop(id, 5100, 100), 5100)
    },
    lines: [{ wh: 100, remarks: ['stop-before-start'] }],
    signed: [[5000, 5100]],
  },
  'a start that arrives after the next session has begun takes nothing from that one': {
    async tell(rig) {
      const id = await begin(rig, 5300, 300)
      await rig.send('StartTransaction', start(5000, 0), 310)
      await rig.send('StopTransaction', stop(id, 5400, 400), 400)
    },
    lines: [
      { wh: 100, completeness: 'complete' },
      { wh: 0, remarks: ['outlived-by-the-next'] },
    ],
    signed: [[5300, 5400]],
  },
}

for (const [title, story] of Object.entries(stories)) test(title, (t) => checkStory(t, story))
