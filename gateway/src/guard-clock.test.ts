import test from 'ava'
import { run, type Step } from '../test/guard-rig.ts'

// What a clock that steps does to a judgement: uptime tells the time that passed, and a wrong time heals.
const table: Record<string, { steps: readonly Step[]; states: readonly string[] }> = {
  'a clock that is set back an hour costs nothing: uptime tells the time that passed': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 5_900, clockOffBy: -60 },
      { at: 2, wh: 6_800, clockOffBy: -60 },
    ],
    states: ['ok', 'ok', 'ok'],
  },
  'a clock that is set forward makes no jump plausible': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, wh: 90_000, clockOffBy: 1_000 },
    ],
    states: ['ok', 'implausible-jump'],
  },
  'a board that wakes with the wrong time heals once its clock is right': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 180, wh: 11_000, boot: 'b', uptime: 1, clock: 'U', clockOffBy: -181 },
      { at: 181, wh: 11_030, boot: 'b', uptime: 2 },
    ],
    states: ['ok', 'implausible-jump', 'ok'],
  },
  'a base in a future that never was heals as uptime grows': {
    steps: [
      { at: 0, wh: 5_000, clock: 'U', clockOffBy: 1_000_000 },
      { at: 10, wh: 8_000, boot: 'b', uptime: 1 },
      { at: 11, wh: 8_010, boot: 'b', uptime: 2 },
      { at: 12, wh: 8_020, boot: 'b', uptime: 4 },
    ],
    states: ['ok', 'implausible-jump', 'implausible-jump', 'ok'],
  },
  'a base in a future that never was heals although the machine is started again and again': {
    steps: [
      { at: 0, wh: 5_000, clock: 'U', clockOffBy: 1_000_000 },
      { at: 10, wh: 8_000, boot: 'b', uptime: 1 },
      { at: 12, wh: 8_200, boot: 'c', uptime: 1 },
      { at: 14, wh: 8_400, boot: 'd', uptime: 1 },
      { at: 16, wh: 8_600, boot: 'e', uptime: 1 },
    ],
    states: ['ok', 'implausible-jump', 'implausible-jump', 'ok', 'ok'],
  },
  'a synchronised base is not doubted by a clock that is not, so that a jump stays one': {
    steps: [
      { at: 0, wh: 5_000 },
      { at: 1, code: 'bus/timeout', boot: 'b', uptime: 1, clock: 'U', clockOffBy: -10_000_000 },
      { at: 2, wh: 500_000, boot: 'b', uptime: 2 },
    ],
    states: ['ok', 'no-answer', 'implausible-jump'],
  },
  'a register that rolls over in a gap of days is followed through it': {
    steps: [
      { at: 0, wh: 950_000 },
      { at: 3 * 1440, wh: 60_000, boot: 'b', uptime: 1 },
    ],
    states: ['ok', 'roll-over'],
  },
  'a gap by a clock that nobody vouches for proves no roll-over, until somebody does': {
    steps: [
      { at: 0, wh: 950_000 },
      { at: 2, wh: 60_000, boot: 'b', uptime: 1, clock: 'U', clockOffBy: 1_000_000 },
      { at: 3, wh: 60_010, boot: 'b', uptime: 2 },
    ],
    states: ['ok', 'register-decreased', 'register-decreased'],
  },
}

for (const [title, { steps, states }] of Object.entries(table)) {
  test(`SPEC-20: ${title}`, (t) => {
    t.deepEqual(run(steps), states)
  })
}
