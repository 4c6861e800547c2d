import test, { type ExecutionContext } from 'ava'
import { baseMs, makeSessionRig, type SessionLine, type SessionRig, time, values } from '../../test/session-rig.ts'
import type { Authorizer, PresentedToken } from '../ocpp/transaction-sink.ts'
import { SessionStore } from '../store/sessions.ts'

/** A story of one station, what is known after it, and how far the register of the place went on in it. */
interface Story {
  readonly version?: 'ocpp1.6' | 'ocpp2.0.1'
  tell(rig: SessionRig): Promise<void>
  readonly lines: readonly Partial<SessionLine>[]
  /** Session by session: begin and end as they were signed. */
  readonly signed: readonly (readonly [begin: number, end: number])[]
  readonly quarantined?: readonly string[]
}

const start = (meterStart: number, seconds: number, more: object = {}) => ({
  connectorId: 1,
  idTag: 'CARD',
  meterStart,
  timestamp: time(seconds),
  ...more,
})
const stop = (transactionId: unknown, meterStop: number, seconds: number, more: object = {}) => ({
  transactionId,
  meterStop,
  timestamp: time(seconds),
  ...more,
})
const meter = (transactionId: unknown, ...meterValue: object[]) => ({ connectorId: 1, transactionId, meterValue })

const idToken = { idToken: 'CARD', type: 'ISO14443' }
const values2 = (wh: number, seconds: number, context = 'Sample.Periodic') => ({
  timestamp: time(seconds),
  sampledValue: [
    { value: wh, context, measurand: 'Energy.Active.Import.Register', unitOfMeasure: { unit: 'Wh' } },
    { value: 7000, context, measurand: 'Power.Active.Import', unitOfMeasure: { unit: 'W' } },
  ],
})
const event = (eventType: string, seqNo: number, seconds: number, more: object = {}, transactionId = 'tx-1') => ({
  eventType,
  seqNo,
  timestamp: time(seconds),
  triggerReason: 'MeterValuePeriodic',
  transactionInfo: { transactionId },
  ...more,
})

async function begin(rig: SessionRig, meterStart: number, seconds: number, more: object = {}): Promise<unknown> {
  return (await rig.send('StartTransaction', start(meterStart, seconds, more), seconds))['transactionId']
}

// A session of 200 Wh from 5000 Wh, with one value in between.
async function plainSession(rig: SessionRig, from = 5000, seconds = 0): Promise<unknown> {
  const id = await begin(rig, from, seconds)
  await rig.send('MeterValues', meter(id, values(from + 100, seconds + 60)), seconds + 60)
  await rig.send('StopTransaction', stop(id, from + 200, seconds + 120), seconds + 120)
  return id
}

const plain = { place: 'CP1/1', driver: 'anna', wh: 200, completeness: 'complete', remarks: [] }

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
  'Q23: a register that begins at 0 with each session counts on at its place': {
    async tell(rig) {
      for (const at of [0, 1000, 2000]) {
        const id = await begin(rig, 0, at)
        await rig.send('MeterValues', meter(id, values(150, at + 60)), at + 60)
        await rig.send('StopTransaction', stop(id, 200 + at / 10, at + 120), at + 120)
      }
    },
    lines: [200, 300, 400].map((wh) => ({ ...plain, wh })),
    signed: [
      [0, 200],
      [200, 500],
      [500, 900],
    ],
  },
  'Q23: after a power cut within a session the register counts from what it tells twice': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      await rig.send('MeterValues', meter(id, values(5100, 60)), 60)
      await rig.send('MeterValues', meter(id, values(10, 180)), 180)
      await rig.send('MeterValues', meter(id, values(60, 240)), 240)
      await rig.send('StopTransaction', stop(id, 110, 300), 300)
    },
    lines: [{ ...plain, remarks: ['register-restarted', 'register-unbelievable'] }],
    signed: [[5000, 5200]],
  },
  'Q24: the value of the begin, told again beside the present one, is no restart': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      const both = values(5100, 60)
      both.sampledValue.push({ ...values(5000, 60).sampledValue[0]!, ...{ context: 'Transaction.Begin' } })
      await rig.send('MeterValues', meter(id, both), 60)
      await rig.send('StopTransaction', stop(id, 5200, 120), 120)
    },
    lines: [plain],
    signed: [[5000, 5200]],
  },
  'Q25: a start a little below the last value counts nothing twice': {
    async tell(rig) {
      await plainSession(rig)
      const id = await begin(rig, 5195, 300)
      await rig.send('StopTransaction', stop(id, 5300, 400), 400)
    },
    lines: [plain, { wh: 100, completeness: 'complete', remarks: ['register-below-last'] }],
    signed: [
      [5000, 5200],
      [5200, 5300],
    ],
  },
  'Q25: a stop of -1, of 0, or below the last value ends the session at the last value': {
    async tell(rig) {
      for (const [n, meterStop] of [-1, 0, 5095].entries()) {
        const id = await begin(rig, 5000 + 100 * n, 300 * n)
        await rig.send('MeterValues', meter(id, values(5100 + 100 * n, 300 * n + 60)), 300 * n + 60)
        await rig.send('StopTransaction', stop(id, n === 2 ? 5295 : meterStop, 300 * n + 120), 300 * n + 120)
      }
    },
    lines: [
      { wh: 100, remarks: ['end-register-missing', 'register-unbelievable'] },
      { wh: 100, remarks: ['end-register-missing', 'register-unbelievable'] },
      { wh: 100, remarks: ['register-below-last'] },
    ],
    signed: [
      [5000, 5100],
      [5100, 5200],
      [5200, 5300],
    ],
  },
  'Q26: kWh, fractions, blanks and missing words are read exactly; another unit is no energy': {
    async tell(rig) {
      const id = await begin(rig, 5000.9, 0)
      const told = [
        { value: ' 5.0509 ', unit: 'kWh' },
        { value: 5100.36, measurand: undefined, unit: undefined },
        { value: '9999', unit: 'Celsius' },
        { value: '' },
      ]
      for (const [n, more] of told.entries()) await rig.send('MeterValues', meter(id, values('', n * 9, more)), n * 9)
      await rig.send('StopTransaction', stop(id, 5200.7, 120), 120)
    },
    lines: [{ ...plain, remarks: ['value-unreadable'] }],
    signed: [[5000, 5200]],
  },
  'Q27: registers of 32 bits and of six digits count on where they begin again': {
    async tell(rig) {
      for (const [n, modulus] of [1_000_000, 2 ** 32].entries()) {
        const id = await begin(rig, modulus - 100, 900 * n, { connectorId: 1 + n })
        const told = { ...meter(id, values(50, 900 * n + 60)), connectorId: 1 + n }
        await rig.send('MeterValues', told, 900 * n + 60)
        await rig.send('StopTransaction', stop(id, 100, 900 * n + 120), 900 * n + 120)
      }
    },
    lines: [
      { ...plain, remarks: ['register-rolled-over'] },
      { ...plain, place: 'CP1/2', remarks: ['register-rolled-over'] },
    ],
    signed: [
      [999_900, 1_000_100],
      [2 ** 32 - 100, 2 ** 32 + 100],
    ],
  },
  'Q28: the export register is no consumption': {
    version: 'ocpp2.0.1',
    async tell(rig) {
      const other = (wh: number, seconds: number) => ({
        timestamp: time(seconds),
        sampledValue: [{ value: wh, measurand: 'Energy.Active.Export.Register' }],
      })
      const first = { evse: { id: 1 }, idToken, meterValue: [other(5000, 0)] }
      await rig.send('TransactionEvent', event('Started', 0, 0, first), 0)
      await rig.send('TransactionEvent', event('Ended', 1, 120, { meterValue: [other(9000, 120)] }), 120)
    },
    lines: [{ wh: 0, remarks: ['no-register'] }],
    signed: [],
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
  'a value from before the start does not move the begin that the start told': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      await rig.send('MeterValues', meter(id, values(4900, -60)), 10)
      await rig.send('StopTransaction', stop(id, 5200, 120), 120)
    },
    lines: [plain],
    signed: [[5000, 5200]],
  },
  'Q23: a late value of the session before, from before the register began anew, counts nothing': {
    async tell(rig) {
      const first = await begin(rig, 0, 0)
      await rig.send('StopTransaction', stop(first, 200, 120), 120)
      const second = await begin(rig, 0, 1000)
      await rig.send('MeterValues', meter(first, values(150, 60)), 1010)
      await rig.send('StopTransaction', stop(second, 100, 1120), 1120)
    },
    lines: [plain, { ...plain, wh: 100 }],
    signed: [
      [0, 200],
      [200, 300],
    ],
  },
  'a register that returns after two strange values goes on from where it was': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      for (const [n, wh] of [3, 4, 5100].entries()) {
        await rig.send('MeterValues', meter(id, values(wh, 60 * n + 30)), 60 * n + 30)
      }
      await rig.send('StopTransaction', stop(id, 5199, 200), 200)
    },
    lines: [{ ...plain, remarks: ['register-restarted', 'register-unbelievable'] }],
    signed: [[5000, 5200]],
  },
  'old values that are higher than the register can have been open no new epoch': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      await rig.send('MeterValues', meter(id, values(5100, 60)), 60)
      for (const n of [1, 2, 3]) await rig.send('MeterValues', meter(id, values(9_000_000 + n, 10 * n)), 60 + n)
      await rig.send('StopTransaction', stop(id, 5200, 120), 120)
    },
    lines: [plain],
    signed: [[5000, 5200]],
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
  'a jump that no station can deliver is not counted, and the register goes on from there once it is told twice': {
    async tell(rig) {
      const id = await begin(rig, 0, 0)
      for (const [n, wh] of [9_000_000, 9_000_100, 9_000_150].entries()) {
        await rig.send('MeterValues', meter(id, values(wh, 60 * n + 60)), 60 * n + 60)
      }
      await rig.send('StopTransaction', stop(id, 9_000_200, 300), 300)
    },
    lines: [{ ...plain, remarks: ['register-restarted', 'register-unbelievable'] }],
    signed: [[0, 200]],
  },
  'a single strange value between two good ones counts nothing': {
    async tell(rig) {
      const id = await begin(rig, 5000, 0)
      await rig.send('MeterValues', meter(id, values(3, 30)), 30)
      await rig.send('MeterValues', meter(id, values(5100, 60)), 60)
      await rig.send('StopTransaction', stop(id, 5200, 120), 120)
    },
    lines: [{ ...plain, remarks: ['register-unbelievable'] }],
    signed: [[5000, 5200]],
  },
}

// What holds of every story: one begin and one end for each session, in the order of the register, and no watt-hour
// of the place in two sessions.
function checkSigned(t: ExecutionContext, rig: SessionRig, expected: Story['signed']): void {
  const places = new Set(rig.signed.map(({ place }) => place.connectorId))
  for (const connectorId of places) {
    const here = rig.signed.filter(({ place }) => place.connectorId === connectorId)
    const registers = here.map(({ registerWh }) => registerWh)
    t.deepEqual(
      registers,
      registers.toSorted((a, b) => Number(a - b)),
      'never falls',
    )
    const ends = here.filter(({ mark }) => mark !== 'interval')
    ends.forEach(({ mark, sessionId }, at) => {
      t.is(mark, at % 2 === 0 ? 'begin' : 'end')
      t.is(ends[at - (at % 2)]?.sessionId, sessionId)
    })
  }
  const pairs = rig.signed
    .filter(({ mark }) => mark === 'end')
    .map(({ sessionId, registerWh }) => {
      const first = rig.signed.find((one) => one.sessionId === sessionId && one.mark === 'begin')
      return [Number(first?.registerWh), Number(registerWh)]
    })
  t.deepEqual(pairs, expected as [number, number][])
}

for (const [title, story] of Object.entries(stories)) {
  test(title, async (t) => {
    const rig = makeSessionRig(t.teardown, { version: story.version ?? 'ocpp1.6' })
    await story.tell(rig)
    const lines = rig.lines()
    t.is(lines.length, story.lines.length)
    story.lines.forEach((expected, at) => {
      t.like(lines[at], expected)
    })
    checkSigned(t, rig, story.signed)
    t.deepEqual(
      rig.frames().flatMap(({ action, outcome }) => (outcome === 'quarantined' ? [action] : [])),
      story.quarantined ?? [],
    )
  })
}

test('SPEC-103: what a station claims and when it arrived are both kept; a clock that is ahead or stands at 1970 is put right', async (t) => {
  const rig = makeSessionRig(t.teardown)
  const stories = [
    { claimed: 7200, told: 0, taken: 0, status: 'I', aheadMs: 7_200_000 },
    { claimed: 7300, told: 100, taken: 100, status: 'I', aheadMs: 7_200_000 },
    { claimed: 200, told: 200, taken: 200, status: 'S', aheadMs: 0 },
    { claimed: 210, told: 3000, taken: 210, status: 'I', aheadMs: 0 },
    { claimed: -baseMs / 1000 + 12, told: 3100, taken: 3100, status: 'U', aheadMs: 0 },
  ]
  for (const [n, { claimed, told, taken, status, aheadMs }] of stories.entries()) {
    await rig.send('StartTransaction', start(5000 + n, claimed), told)
    const [session] = rig.books.latest(1)
    t.like(session?.begunAt, {
      claimedAt: baseMs + claimed * 1000,
      arrivedAt: baseMs + told * 1000,
      takenAt: baseMs + taken * 1000,
      clockStatus: status as 'S',
    })
    t.is(new SessionStore(rig.store).readClock('CP1')?.aheadMs, aheadMs)
  }
  t.true(rig.lines()[0]?.remarks.includes('clock-ahead'))
})

test('a start that comes again gets the same answer, also where its code opens only once', async (t) => {
  const asked: PresentedToken[] = []
  const authorizer: Authorizer = {
    authorize: (token) => {
      asked.push(token)
      return asked.length === 1 ? { status: 'Accepted', driver: 'anna' } : { status: 'Invalid' }
    },
  }
  const rig = makeSessionRig(t.teardown, { authorizer })
  const first = await rig.send('StartTransaction', start(5000, 0, { reservationId: 7 }), 0)
  t.deepEqual(first, { transactionId: 1, idTagInfo: { status: 'Accepted' } })
  t.deepEqual(await rig.send('StartTransaction', start(5000, 0, { reservationId: 7 }), 5), first)
  t.like(asked, [{ stationId: 'CP1', idToken: 'CARD', connectorId: 1, reservationId: 7 }])
  t.is(asked.length, 1)
  t.regex(asked[0]?.attempt ?? '', /^[0-9a-f]{64}$/, 'by its content')
})

test('OCPP 2.x: a token is asked about once for each message; one that comes in the session names its driver', async (t) => {
  const asked: PresentedToken[] = []
  const authorizer: Authorizer = {
    authorize: (token) => {
      asked.push(token)
      return { status: 'Accepted', driver: 'anna' }
    },
  }
  const rig = makeSessionRig(t.teardown, { authorizer, version: 'ocpp2.0.1' })
  const first = { evse: { id: 2, connectorId: 1 }, meterValue: [values2(5000, 0)] }
  t.deepEqual(await rig.send('TransactionEvent', event('Started', 0, 0, first), 0), {})
  const authorised = event('Updated', 1, 30, { idToken, reservationId: 9 })
  for (let n = 0; n < 2; n++) {
    t.deepEqual(await rig.send('TransactionEvent', authorised, 30 + n), { idTokenInfo: { status: 'Accepted' } })
  }
  await rig.send('TransactionEvent', event('Ended', 2, 60, { idToken, meterValue: [values2(5200, 60)] }), 60)
  const token = { stationId: 'CP1', idToken: 'CARD', type: 'ISO14443' }
  t.deepEqual(asked, [{ ...token, connectorId: 2, reservationId: 9, attempt: 'tx-1' }, token])
  t.like(rig.lines(), [{ ...plain, place: 'CP1/2' }])
  t.deepEqual(
    rig.signed.map(({ mark, driver }) => [mark, driver]),
    [
      ['begin', undefined],
      ['end', 'anna'],
    ],
  )
})

test('what cannot be signed has not happened: the message is put aside, and counts when it comes again', async (t) => {
  let fails = 0
  const rig = makeSessionRig(t.teardown, {
    sign: ({ mark }) => {
      if (mark === 'end' && fails++ === 0) throw new Error('no key')
    },
  })
  const id = await begin(rig, 5000, 0)
  await rig.send('StopTransaction', stop(id, 5200, 120), 120)
  t.like(rig.lines(), [{ wh: 0, completeness: 'running' }])
  t.like(rig.frames().at(-1), { outcome: 'quarantined', notes: '["not understood: no key"]' })
  await rig.send('StopTransaction', stop(id, 5200, 120), 130)
  t.like(rig.lines(), [plain])
  t.is(rig.signed.filter(({ mark }) => mark === 'end').length, 1)
})

test('a gateway that starts anew goes on with what it knew', async (t) => {
  const before = makeSessionRig(t.teardown)
  const id = await begin(before, 5000, 0)
  await before.send('MeterValues', meter(id, values(5100, 60)), 60)
  const after = makeSessionRig(t.teardown, { dataDir: before.dataDir })
  await after.send('MeterValues', meter(id, values(5100, 60)), 70)
  await after.send('StopTransaction', stop(id, 5200, 120), 120)
  t.like(after.lines(), [plain])
  t.deepEqual(
    [...before.signed, ...after.signed].map(({ mark, registerWh }) => [mark, Number(registerWh)]),
    [
      ['begin', 5000],
      ['interval', 5100],
      ['end', 5200],
    ],
  )
})

test('old sessions are forgotten, running ones never; a start of a forgotten one brings no energy back', async (t) => {
  const rig = makeSessionRig(t.teardown)
  await plainSession(rig)
  await plainSession(rig, 5200, 1000)
  await begin(rig, 5400, 2000, { connectorId: 2 })
  rig.sink.tidy({ beforeMs: baseMs + 900_000 })
  t.deepEqual(
    rig.lines().map(({ wh }) => wh),
    [200, 0],
  )
  t.is(rig.books.prune({ beforeMs: 0, most: 0, chunk: 10 }), 1, 'by number')
  await plainSession(rig, 5400, 3000)
  rig.sink.tidy({ beforeMs: baseMs + 9_000_000 })
  t.like(rig.lines(), [{ place: 'CP1/2', completeness: 'running' }])
  await plainSession(rig)
  t.is(rig.lines().at(-1)?.wh, 0)
  t.is(rig.placeWh(), 5600)
})

test('messages whose begin never comes are put aside after seven days', async (t) => {
  const rig = makeSessionRig(t.teardown, { version: 'ocpp2.0.1' })
  await rig.send('TransactionEvent', event('Ended', 2, 120, { meterValue: [values2(5200, 120)] }), 120)
  t.deepEqual([rig.lines(), rig.frames()[0]?.outcome], [[], 'accepted'])
  rig.clock.nowMs += 7 * 86_400_000 + 1
  rig.sink.tidy({ beforeMs: 0 })
  t.like(rig.frames()[0], { outcome: 'quarantined', notes: '["the begin of its transaction never came"]' })
})
