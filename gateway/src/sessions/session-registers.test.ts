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
  stop,
} from '../../test/session-stories.ts'

// What the registers of stations do, and what of it counts.
const stories: Record<string, Story> = {
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

for (const [title, story] of Object.entries(stories)) test(title, (t) => checkStory(t, story))
