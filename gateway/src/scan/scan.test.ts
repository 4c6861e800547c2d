import test from 'ava'
import { seeded } from '../modbus/bus-rig.ts'
import type { FakeScheduler } from '../modbus/fake-scheduler.ts'
import { withCrc } from '../modbus/rtu-framing.ts'
import { commonFormat, expect, makeMeter, scanVirtually } from './scan-rig.ts'
import type { VirtualLine } from './virtual-line.ts'

// On a line in virtual time: what a scan finds, how long the line is busy with it, and what it says.

const threePhase = 'eastron-sdm630'
const onePhase = 'eastron-sdm120'
const format = (baudRate: number, parity: 'none' | 'even' | 'odd' = 'none') => ({ ...commonFormat, baudRate, parity })

test('five unknown meters on a sound line are found and named, within 30 s of the line', async (t) => {
  const ids = [3, 34, 77, 120, 247]
  const devices = ids.map((unitId, i) => makeMeter({ unitId, profile: i % 2 === 0 ? threePhase : onePhase }))
  const { result, line } = await scanVirtually({ devices })
  t.deepEqual(
    result.devices.map(({ unitId, identity }) => [unitId, identity?.profile.id]),
    ids.map((unitId, i) => [unitId, i % 2 === 0 ? threePhase : onePhase]),
  )
  t.deepEqual(result.diagnoses, [])
  t.true(result.elapsedMs < 30_000, `${result.elapsedMs} ms`)
  t.deepEqual([...line.functionCodes].sort(), [3, 4])
})

for (const [unitId, settings] of [
  [1, format(38_400, 'odd')],
  [137, format(4800, 'even')],
  [247, format(1200, 'odd')],
] as const) {
  test(`unit ${unitId} at ${settings.baudRate} ${settings.parity} is found within 10 minutes of the line`, async (t) => {
    const { result } = await scanVirtually({
      devices: [makeMeter({ unitId, profile: threePhase, format: settings })],
    })
    const [found] = result.devices
    t.is(found?.unitId, unitId)
    t.is(found?.identity?.profile.id, threePhase)
    t.like(found?.format, { baudRate: settings.baudRate, parity: settings.parity })
    t.true(result.elapsedMs < 600_000, `${result.elapsedMs} ms`)
  })
}

test('where nobody answers, the search ends within 10 minutes and names the wires first', async (t) => {
  const { result } = await scanVirtually({ devices: [] })
  t.true(result.elapsedMs < 600_000, `${result.elapsedMs} ms`)
  t.deepEqual(result.devices, [])
  t.is(result.diagnoses[0]?.fault, 'a-b-swapped')
})

test('a line that falls to its level after each question has its wires swapped, at any setting', async (t) => {
  const { result } = await scanVirtually({
    devices: [],
    prepare: (line) => {
      line.rest = Buffer.of(0)
    },
  })
  t.like(result.diagnoses[0], { fault: 'a-b-swapped', certainty: 'likely' })
  t.true(result.elapsedMs < 60_000, `${result.elapsedMs} ms`)
})

test('only the unit ids that were named are asked', async (t) => {
  const devices = [makeMeter({ unitId: 5, profile: threePhase }), makeMeter({ unitId: 200, profile: threePhase })]
  const { result } = await scanVirtually({ devices, options: { unitIds: [4, 5, 6] } })
  t.deepEqual(
    result.devices.map(({ unitId }) => unitId),
    [5],
  )
})

test('cancelling leaves what was found so far', async (t) => {
  const { result } = await scanVirtually({
    devices: [makeMeter({ unitId: 5, profile: threePhase }), makeMeter({ unitId: 200, profile: threePhase })],
    prepare: (_, scheduler, abort) => void scheduler.after(8000, () => abort.abort()),
  })
  t.true(result.cancelled)
  t.deepEqual(
    result.devices.map(({ unitId }) => unitId),
    [5],
  )
})

test('progress comes to its end, and its estimate with it', async (t) => {
  const seen: { done: number; total: number; etaMs: number }[] = []
  await scanVirtually({
    devices: [makeMeter({ unitId: 9, profile: onePhase })],
    options: { onProgress: (progress) => void seen.push(progress) },
  })
  t.true(seen.every(({ done, total, etaMs }) => done <= total && etaMs >= 0))
  t.is(seen.at(-1)?.done, seen.at(-1)?.total)
  t.true((seen.at(-1)?.etaMs ?? 0) < (seen[0]?.etaMs ?? 0))
})

// A second client that polls unit 9 every 400 ms, and is answered.
function pollBeside(line: VirtualLine, scheduler: FakeScheduler): void {
  const request = withCrc(Buffer.from([9, 4, 0, 0, 0, 2]))
  const answer = withCrc(Buffer.from([9, 4, 4, 0x43, 0x66, 0x80, 0]))
  const poll = () => {
    line.say(request)
    scheduler.after(20, () => line.say(answer))
    scheduler.after(400, poll)
  }
  scheduler.after(400, poll)
}

// Each bit is read wrong with a small probability: long answers suffer more.
function flipBits(rate: number): (answer: Buffer) => Buffer {
  const random = seeded(7)
  return (answer) =>
    Buffer.from(
      answer.map((byte) => {
        let flipped = byte
        for (let bit = 0; bit < 8; bit++) if (random() < rate) flipped ^= 1 << bit
        return flipped
      }),
    )
}

const twoMeters = [makeMeter({ unitId: 1, profile: threePhase }), makeMeter({ unitId: 2, profile: threePhase })]
const expectTwo = [expect(1, threePhase), expect(2, threePhase)]
const known = { settingsKnown: true, meters: expectTwo, quick: true }

const cases = {
  'a-b-swapped': { devices: [], options: known },
  'wrong-baud-rate': {
    devices: [1, 2].map((unitId) => makeMeter({ unitId, profile: threePhase, format: format(19_200) })),
    options: known,
  },
  'wrong-parity': {
    devices: [1, 2].map((unitId) => makeMeter({ unitId, profile: threePhase, format: format(9600, 'even') })),
    options: known,
  },
  'duplicate-address': {
    devices: [
      ...twoMeters,
      makeMeter({ unitId: 5, profile: threePhase, serial: 11 }),
      makeMeter({ unitId: 5, profile: threePhase, serial: 12, turnaroundMs: 9 }),
    ],
  },
  'missing-termination': {
    devices: twoMeters,
    prepare: (line: VirtualLine) => {
      line.spoil = flipBits(0.002)
    },
  },
  'second-client': { devices: twoMeters, prepare: pollBeside },
  'shifted-map': { devices: [makeMeter({ unitId: 1, profile: threePhase, shift: 1 })] },
  'swapped-words': { devices: [makeMeter({ unitId: 1, profile: threePhase, swapped: true })] },
  'reversed-feed': { devices: [makeMeter({ unitId: 1, profile: threePhase, powerFactors: [-0.98] })] },
  'transformer-on-wrong-phase': {
    devices: [makeMeter({ unitId: 1, profile: threePhase, powerFactors: [-0.4, -0.6, 0.98] })],
  },
  'slow-device': { devices: [...twoMeters, makeMeter({ unitId: 40, profile: onePhase, turnaroundMs: 900 })] },
}

for (const [fault, scenario] of Object.entries(cases)) {
  test(`${fault} is the first guess where that is what is wrong`, async (t) => {
    const { result } = await scanVirtually(scenario)
    t.is(String(result.diagnoses[0]?.fault), fault, JSON.stringify(result.diagnoses, null, 1))
  })
}

test('a slow device among quick ones is found and named all the same', async (t) => {
  const { result } = await scanVirtually(cases['slow-device'])
  t.is(result.devices.find(({ unitId }) => unitId === 40)?.identity?.profile.id, onePhase)
})

test('a device that shifts its map is told by its profile, and by how far', async (t) => {
  for (const shift of [1, -1]) {
    const devices = [makeMeter({ unitId: 1, profile: threePhase, shift })]
    const { result } = await scanVirtually({ devices })
    t.like(result.devices[0]?.identity, { shift, swapped: false, profile: { id: threePhase } })
  }
})

test('a meter of the config that does not answer is told', async (t) => {
  const { result } = await scanVirtually({
    devices: twoMeters,
    options: { ...known, meters: [...expectTwo, expect(77, onePhase)] },
  })
  t.deepEqual(result.evidence.missing, [77])
  t.is(result.diagnoses[0]?.fault, 'missing-device')
})
