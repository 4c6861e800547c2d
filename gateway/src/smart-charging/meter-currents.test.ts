import { makeTimestamp } from '@wattline/protocol'
import test from 'ava'
import type { OtherValue } from '../modbus/other-values.ts'
import { toPhaseCurrents } from './meter-currents.ts'

const three = [0, 1, 2]
const values = (...list: OtherValue[]) => ({ takenAt: makeTimestamp(1), list })
const of = (measurand: OtherValue['measurand'], ...each: number[]): OtherValue[] =>
  each.map((value, at) => ({ measurand, phase: (['L1', 'L2', 'L3'] as const)[at] ?? 'L1', value }))

test('a current has no sign: one that flows out is told by its power', (t) => {
  const read = values(...of('Current.Import', 5, 20, 3), ...of('Power.Active.Import', 1150, -4600, 690))
  t.deepEqual(toPhaseCurrents(read, three), [5, -20, 3])
})

test('a meter that tells two powers without a sign is understood too', (t) => {
  const read = values(
    ...of('Current.Import', 5, 20, 3),
    ...of('Power.Active.Import', 1150, 0, 690),
    ...of('Power.Active.Export', 0, 4600, 0),
  )
  t.deepEqual(toPhaseCurrents(read, three), [5, -20, 3])
})

test('without currents, the powers and voltages give them', (t) => {
  const read = values(...of('Power.Active.Import', 2300, -1150, 0), ...of('Voltage', 230, 230, 230))
  t.deepEqual(toPhaseCurrents(read, three), [10, -5, 0])
})

test('without any direction a current counts as drawn', (t) => {
  t.deepEqual(toPhaseCurrents(values(...of('Current.Import', 5, 20, 3)), three), [5, 20, 3])
})

test('a phase that could not be read leaves nothing', (t) => {
  t.is(toPhaseCurrents(values(...of('Current.Import', 5, 20)), three), undefined)
})

test('a meter of one phase need not say which', (t) => {
  const read = values({ measurand: 'Current.Import', value: 7 }, { measurand: 'Power.Active.Import', value: -1600 })
  t.deepEqual(toPhaseCurrents(read, [0]), [-7, 0, 0])
})
