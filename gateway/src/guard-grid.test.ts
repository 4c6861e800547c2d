import { makeTimestamp } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { toValues } from '../test/guard-rig.ts'
import { defaultGridLimits, judgeGrid } from './guard-grid.ts'
import type { OtherValue } from './modbus/other-values.ts'

const now = makeTimestamp(0)
const judged = (volts: readonly number[], hz?: number) => {
  const values = toValues({ volts, ...(hz === undefined ? {} : { hz }) }, now) ?? { takenAt: now, list: [] }
  return judgeGrid(values, defaultGridLimits).kind
}

const rows: readonly (readonly [
  what: string,
  volts: readonly number[],
  hz: number | undefined,
  kind: ReturnType<typeof judged>,
])[] = [
  ['230 V in three phases', [228, 233, 230], 50, 'sound'],
  ['120 V in one phase', [118], 60, 'sound'],
  ['100 V in two phases', [99, 101], 50.2, 'sound'],
  ['split phase 120 V and its 240 V', [120, 240], 60, 'sound'],
  ['a frequency alone', [], 50, 'sound'],
  ['a voltage alone', [207], undefined, 'sound'],
  ['one phase on a meter for three', [231, 0, 0], 50, 'sound'],
  ['a blown fuse with the voltage of what hangs behind it', [229, 71, 232], 50, 'sound'],
  ['all phases dead', [0, 0.4, 0], 0, 'dead'],
  ['nothing at all', [], undefined, 'untold'],
  ['a broken neutral', [390, 25, 240], 50, 'odd'],
  ['a single phase far too low', [160], 50, 'odd'],
  ['the line-to-line voltage in place of the phase', [400, 401, 399], 50, 'odd'],
  ['tenths of a volt without their scale', [2301, 2299, 2302], 50, 'odd'],
  ['a negative voltage', [-230, 230, 230], 50, 'odd'],
  ['all phases dead and a frequency', [0, 0, 0], 50, 'dead'],
  ['a frequency of nothing alone', [], 0, 'dead'],
  ['tenths of volts in all phases', [23, 23.1, 22.9], 50, 'odd'],
  ['words that are swapped', [1.1e-38, 4e30, 0], 2e-41, 'odd'],
  ['a frequency of nothing beside a voltage', [230], 0, 'odd'],
  ['aircraft', [115], 400, 'odd'],
]

for (const [what, volts, hz, kind] of rows) {
  test(`a grid: ${what} is ${kind}`, (t) => {
    t.is(judged(volts, hz), kind)
  })
}

test('the mean over all phases counts where there is no other, and the neutral never', (t) => {
  const voltage = (value: number, phase?: 'L1' | 'N'): OtherValue => ({
    measurand: 'Voltage',
    value,
    ...(phase === undefined ? {} : { phase }),
  })
  const kind = (...list: OtherValue[]) => judgeGrid({ takenAt: now, list }, defaultGridLimits).kind
  t.is(kind(voltage(77), voltage(231, 'L1')), 'sound')
  t.is(kind(voltage(77)), 'odd')
  t.is(kind(voltage(60, 'N')), 'untold')
  t.is(kind({ measurand: 'Power.Factor', value: -1 }), 'untold')
})

test('whatever registers hold, they are judged; above the limits they are never sound', (t) => {
  const volts = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(volts, fc.option(fc.double({ noNaN: true }), { nil: undefined }), (measured, hz) => {
      const kind = judged(measured, hz)
      if (measured.some((value) => value > 270 || value <= -5)) t.is(kind, 'odd')
      if (kind === 'sound' && hz !== undefined) t.true(hz >= 45 && hz <= 65)
    }),
  )
})
