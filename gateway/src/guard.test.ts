import test from 'ava'
import { observe, rules, run, type Step } from '../test/guard-rig.ts'
import { judge, type Observation } from './guard.ts'
import { noHistory, parseHistory } from './guard-history.ts'

const never = { accepted: false }

const table: Record<string, { steps: readonly Step[]; states: readonly string[] }> = {
  'a first reading is sound, and so is a rising register': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 5_500 },
      { at: 2, wh: 5_500 },
    ],
    states: ['ok', 'ok', 'ok'],
  },
  'errors name their kind and change nothing': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, code: 'bus/timeout' },
      { at: 2, code: 'bus/closed' },
      { at: 3, code: 'port/missing' },
      { at: 4, code: 'bus/exception' },
      { at: 5, code: 'bus/frame' },
      { at: 6, code: 'reading/not-implemented' },
      { at: 7, wh: 5_500 },
    ],
    states: ['ok', 'no-answer', 'disconnected', 'disconnected', 'read-error', 'read-error', 'read-error', 'ok'],
  },
  'a register that falls is doubtful until it is back': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 4_999 },
      { at: 2, wh: 0 },
      { at: 3, wh: 5_100 },
    ],
    states: ['ok', 'register-decreased', 'register-decreased', 'ok'],
  },
  'a jump is what the fuse cannot carry in the time, and 100 Wh': {
    steps: [
      { at: 0, wh: 0 },
      { at: 60, wh: 54_438 },
      { at: 120, wh: 54_438 + 54_439 },
    ],
    states: ['ok', 'ok', 'implausible-jump'],
  },
  'a jump does not become plausible by waiting': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 400_000 },
      { at: 2, wh: 400_010 },
      { at: 100_000, wh: 400_020 },
      { at: 10_000_000, wh: 900_000 },
    ],
    states: ['ok', 'implausible-jump', 'implausible-jump', 'implausible-jump', 'implausible-jump'],
  },
  'a misread register is forgotten when the true one is back, even after a long absence': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 999_999 },
      { at: 2, code: 'bus/timeout' },
      { at: 3_000, wh: 205_000 },
      { at: 3_001, wh: 205_100 },
    ],
    states: ['ok', 'implausible-jump', 'no-answer', 'ok', 'ok'],
  },
  'the lowest of several jumps is the floor': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 900_000 },
      { at: 2, wh: 400_000 },
      { at: 100_000, wh: 500_000 },
      { at: 100_001, wh: 399_999 },
    ],
    states: ['ok', 'implausible-jump', 'implausible-jump', 'implausible-jump', 'ok'],
  },
  'a long outage of the gateway is no jump': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 20_000, wh: 905_000, boot: 'b', uptime: 1 },
    ],
    states: ['ok', 'ok'],
  },
  'a roll-over begins near the width and ends near zero': {
    steps: [
      { at: 0, wh: 999_800 },
      { at: 1, wh: 100 },
      { at: 2, wh: 200 },
    ],
    states: ['ok', 'roll-over', 'ok'],
  },
  'a reset is no roll-over, however long it took': {
    steps: [
      { at: 0, wh: 500_000 },
      { at: 100_000, wh: 10 },
    ],
    states: ['ok', 'register-decreased'],
  },
  'a roll-over that the fuse could not carry is none': {
    steps: [
      { at: 0, wh: 910_000 },
      { at: 1, wh: 90_000 },
    ],
    states: ['ok', 'register-decreased'],
  },
  'another serial number is a swap until it is accepted': {
    steps: [
      { at: 0, wh: 5_000, serial: 'A' },
      { at: 1, wh: 5_010 },
      { at: 2, wh: 20, serial: 'B' },
      { at: 3, wh: 30 },
      { at: 4, code: 'bus/timeout' },
      { at: 5, wh: 40 },
      { at: 6, code: 'bus/timeout', accepted: true },
      { at: 7, wh: 50, accepted: true },
      { at: 8, wh: 60, serial: 'B' },
    ],
    states: ['ok', 'ok', 'meter-swapped', 'meter-swapped', 'no-answer', 'meter-swapped', 'no-answer', 're-based', 'ok'],
  },
  'the bound meter takes up where it was': {
    steps: [
      { at: 0, wh: 5_000, serial: 'A' },
      { at: 1, wh: 7, serial: 'B' },
      { at: 2, wh: 5_100, serial: 'A' },
    ],
    states: ['ok', 'meter-swapped', 'ok'],
  },
  'a serial number that is first seen later is bound then': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 5_010, serial: 'A' },
      { at: 2, wh: 5_020, serial: 'B' },
    ],
    states: ['ok', 'ok', 'meter-swapped'],
  },
  'an accepted reset counts from there': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 3 },
      { at: 2, wh: 4, accepted: true },
      { at: 3, wh: 5 },
    ],
    states: ['ok', 'register-decreased', 're-based', 'ok'],
  },
  'an accepted jump counts from there': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 500_000 },
      { at: 2, wh: 500_010, accepted: true },
      { at: 3, wh: 500_020 },
    ],
    states: ['ok', 'implausible-jump', 're-based', 'ok'],
  },
  'one of two registers is enough for doubt': {
    steps: [
      { at: 0, wh: 5_000, exportWh: 100 },
      { at: 1, wh: 5_010, exportWh: 99 },
      { at: 2, wh: 900_000, exportWh: 110 },
      { at: 3, wh: 5_020, exportWh: 120 },
    ],
    states: ['ok', 'register-decreased', 'implausible-jump', 'ok'],
  },
  'a register that goes missing is an error, not a forgotten base': {
    steps: [
      { at: 0, wh: 5_000, exportWh: 100 },
      { at: 1, wh: 5_010 },
      { at: 2, wh: 5_020, exportWh: 110 },
    ],
    states: ['ok', 'read-error', 'ok'],
  },
  'a register that is new to the point starts to count': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 5_010, exportWh: 700_000 },
    ],
    states: ['ok', 'ok'],
  },
  'a register that stands still while 3 kW flow is frozen after 100 Wh, and well once it moves': {
    steps: [...[0, 1, 2, 3].map((at) => ({ at, wh: 5_000, powerW: 3_000 })), { at: 4, wh: 5_160, powerW: 3_000 }],
    states: ['ok', 'ok', 'frozen', 'frozen', 'ok'],
  },
  'standing still without power is rest': {
    steps: Array.from({ length: 60 }, (_, at) => ({ at, wh: 5_000, powerW: 5 })),
    states: Array.from({ length: 60 }, () => 'ok'),
  },
  'the import register may stand still while power is exported': {
    steps: [0, 1, 2, 3, 4].map((at) => ({ at, wh: 5_000, exportWh: 100 * at, powerW: -6_000 })),
    states: ['ok', 'ok', 'ok', 'ok', 'ok'],
  },
  'the export register must not': {
    steps: [0, 1, 2].map((at) => ({ at, exportWh: 100, powerW: -6_000 })),
    states: ['ok', 'frozen', 'frozen'],
  },
  'power on both sides of a long silence says nothing of what flowed in it': {
    steps: [
      { at: 0, wh: 5_000, powerW: 9_000 },
      { at: 60, wh: 5_000, powerW: 9_000 },
    ],
    states: ['ok', 'ok'],
  },
  'a serial number that is garbage once is a swap once': {
    steps: [
      { at: 0, wh: 5_000, serial: 'A' },
      { at: 1, wh: 5_010, serial: '0A' },
      { at: 2, wh: 5_020, serial: 'A' },
      { at: 3, wh: 5_030 },
    ],
    states: ['ok', 'meter-swapped', 'ok', 'ok'],
  },
  'without a serial number a swap shows by its register': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 20 },
      { at: 2, wh: 30, accepted: true },
      { at: 3, wh: 40 },
    ],
    states: ['ok', 'register-decreased', 're-based', 'ok'],
  },
  'a voltage that no grid has is a doubt until there is one that a grid has, with or without values in between': {
    steps: [
      { at: 0, wh: 5_000, volts: [230, 229, 231], hz: 50 },
      { at: 1, wh: 5_010, volts: [63, 0, 7], hz: 50 },
      { at: 2, wh: 5_020 },
      { at: 3, code: 'bus/timeout' },
      { at: 4, wh: 5_030 },
      { at: 5, wh: 5_040, volts: [230, 229, 231], hz: 50 },
    ],
    states: ['ok', 'implausible-grid', 'implausible-grid', 'no-answer', 'implausible-grid', 'ok'],
  },
  'a frequency that no grid has is one too': {
    steps: [
      { at: 0, wh: 5_000, volts: [230], hz: 0.1 },
      { at: 1, wh: 5_010, volts: [230], hz: 44.9 },
      { at: 2, wh: 5_020, volts: [230], hz: 65.1 },
      { at: 3, wh: 5_030, volts: [230], hz: 60 },
    ],
    states: ['implausible-grid', 'implausible-grid', 'implausible-grid', 'ok'],
  },
  'of a map that shows no grid nothing is learned, and nothing accepted': {
    steps: [
      { at: 0, wh: 5_000, serial: 'A', volts: [230] },
      { at: 1, wh: 77, serial: 'B', volts: [1e9], accepted: true },
      { at: 2, wh: 900_000, serial: 'C' },
      { at: 3, wh: 5_100, serial: 'A', volts: [230] },
      { at: 4, wh: 5_200 },
    ],
    states: ['ok', 'implausible-grid', 'implausible-grid', 'ok', 'ok'],
  },
  'a serial number that is read while the map is wrong is judged once it is right': {
    steps: [
      { at: 0, wh: 5_000, serial: 'A', volts: [230] },
      { at: 1, wh: 77, serial: 'X' },
      { at: 2, wh: 77, serial: 'X', volts: [1e9] },
      { at: 3, wh: 5_100, serial: 'A' },
      { at: 4, wh: 5_110, volts: [230] },
      { at: 5, wh: 5_120, serial: 'B', volts: [1e9] },
      { at: 6, wh: 5_130, volts: [230] },
      { at: 7, wh: 5_140 },
      { at: 8, wh: 5_150, accepted: true },
    ],
    states: [
      'ok',
      'meter-swapped',
      'implausible-grid',
      'implausible-grid',
      'ok',
      'implausible-grid',
      'meter-swapped',
      'meter-swapped',
      're-based',
    ],
  },
  'a grid that goes dead is no doubt, a map that was never more than zeros is one': {
    steps: [
      { at: 0, wh: 5_000, volts: [0, 0, 0], hz: 0 },
      { at: 1, wh: 5_000, volts: [230, 231, 229], hz: 50 },
      { at: 2, wh: 5_000, volts: [0, 3, 0], hz: 0 },
      { at: 3, wh: 5_000 },
    ],
    states: ['implausible-grid', 'ok', 'ok', 'ok'],
  },
  'a step that is coarser than the fuse and the interval is a doubt until it can have been counted': {
    steps: [
      { at: 0, wh: 5_000_000, stepWh: 2_000 },
      { at: 1, wh: 5_000_000, stepWh: 2_000 },
      { at: 2, wh: 5_002_000, stepWh: 2_000 },
      { at: 3, wh: 5_002_000, stepWh: 2_000 },
      { at: 4, wh: 5_002_000, stepWh: 2_000 },
    ],
    states: ['ok', 'ok', 'too-coarse', 'too-coarse', 'ok'],
  },
  'a coarse register that rises by more than its step and the fuse is a jump': {
    steps: [
      { at: 0, wh: 5_000_000, stepWh: 2_000 },
      { at: 1, wh: 5_004_000, stepWh: 2_000 },
      { at: 100, wh: 5_004_000, stepWh: 2_000 },
    ],
    states: ['ok', 'implausible-jump', 'implausible-jump'],
  },
  'steps of 100 Wh are never too coarse': {
    steps: [
      { at: 0, wh: 5_000, stepWh: 100 },
      { at: 0.001, wh: 5_100, stepWh: 100 },
      { at: 0.002, wh: 5_300, stepWh: 100 },
    ],
    states: ['ok', 'ok', 'implausible-jump'],
  },
  'a coarse register that stands still while less than its steps flows is not frozen': {
    steps: Array.from({ length: 60 }, (_, at) => ({ at, wh: 5_000, stepWh: 1_000, powerW: 3_000 })),
    states: Array.from({ length: 60 }, () => 'ok'),
  },
}

for (const [title, { steps, states }] of Object.entries(table)) {
  test(`SPEC-20: ${title}`, (t) => {
    t.deepEqual(run(steps), states)
  })
}

test('a coarse register is frozen only after thirty of its own steps', (t) => {
  const energy = (registerWh: bigint) => ({ import: { registerWh, resolutionWh: 10 } })
  let history = noHistory
  const states = Array.from({ length: 8 }, (_, at) => {
    const seen: Observation = { ...observe({ at, wh: 0, powerW: 3_000 }), kind: 'read', energy: energy(5_000n) }
    const judged = judge(history, seen, rules, { accepted: false })
    history = judged.history
    return judged.state
  })
  t.deepEqual(states, ['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'frozen', 'frozen'])
})

test('every doubt tells its figures', (t) => {
  const reasons = (steps: readonly Step[]) => {
    let history = noHistory
    return steps.map((step) => {
      const judged = judge(history, observe(step), rules, { accepted: false })
      history = judged.history
      return judged.reason
    })
  }
  t.deepEqual(
    reasons([
      { at: 0, wh: 5_000, serial: 'A' },
      { at: 1, wh: 4_000 },
      { at: 2, wh: 400_000 },
      { at: 3, wh: 400_001 },
      { at: 4, wh: 10_000, stepWh: 2_000 },
      { at: 5, wh: 5_000, serial: 'B' },
      { at: 6, wh: 5_000, serial: 'A', volts: [230, 400] },
      { at: 7, wh: 5_000, serial: 'A', volts: [230, 230], hz: 500 },
    ]),
    [
      undefined,
      'import 4000 Wh, 5000 Wh before',
      'import 400000 Wh, 5000 Wh before, at most 1911 more can have flowed',
      'import 400001 Wh, 5000 Wh before, a jump since 400000',
      'import 10000 Wh, 5000 Wh before, at most 3722 more can have flowed and the register counts in steps of 2000 Wh',
      'serial number B, A before',
      'L2 400 V, expected 90 to 150 or 180 to 270 V',
      '500 Hz, expected 45 to 65 Hz',
    ],
  )
  const stuck = [0, 1, 2].map((at) => ({ at, wh: 5_000, powerW: 6_000 }))
  t.is(reasons(stuck).at(-1), 'import stands at 5000 Wh, about 200 Wh have flowed')
})

test('a grid of another kind is told by the configuration, and without limits nothing is said of it', (t) => {
  const steps = [{ at: 0, wh: 5_000, volts: [277, 278, 0], hz: 60 }]
  t.deepEqual(run(steps), ['implausible-grid'])
  t.deepEqual(run(steps, { ...rules, grid: { voltageV: [[250, 305]], frequencyHz: [59, 61] } }), ['ok'])
  const { maxPowerW } = rules
  const doubted = judge(
    { ...noHistory, oddGrid: 'odd' },
    observe({ at: 0, wh: 5_000, volts: [1] }),
    { maxPowerW },
    never,
  )
  t.is(doubted.state, 'ok')
})

test('without a known width nothing rolls over', (t) => {
  const steps = [
    { at: 0, wh: 999_900 },
    { at: 1, wh: 10 },
  ]
  t.deepEqual(run(steps, { maxPowerW: 54_338 }), ['ok', 'register-decreased'])
})

test('a history that is damaged in the database is told as such', (t) => {
  for (const text of ['', '{', '{}', '{"serial":1}']) {
    t.like(
      t.throws(() => parseHistory(text, 'x')),
      { code: 'storage/corrupt' },
    )
  }
})
